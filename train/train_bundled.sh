#!/usr/bin/env bash
# Train, export and evaluate the model that comes with the package: about an hour and a half on two CPU cores, 7 GB of memory.
# Usage: train/train_bundled.sh GENOMES RUN
#   GENOMES  a folder with <species>/genome.fa.gz (bgzip, indexed) and <species>/genes.gtf.gz for each species
#   RUN      where everything goes: corpus, soft targets, both parts of the run, the model (RUN/model), its scores
set -euo pipefail
genomes=$(realpath "$1")
run=$2

mkdir -p "$run"
for folder in "$genomes"/*/; do
    printf '%s\t%s\t%s\n' "$(basename "$folder")" "${folder}genome.fa.gz" "${folder}genes.gtf.gz"
done > "$run/species.tsv"

# Held out is ENCODE region ENm002 (human 5q31: the interleukin cluster), in every species at once.
sbert-vcf train corpus "$run/species.tsv" -o "$run/corpus" \
    --hold-out 'hg16\.chr5\.131332631' --hold-out '.*ENm002.*'
# One half is ENCODE region ENm001 (human 7q31: CFTR) of all species, the other all the rest.
sbert-vcf train soft-targets "$run/corpus" "$run/species.tsv" -o "$run/soft" \
    --half 'hg16\.chr7\.115365024' --half '.*ENm001.*'

export OMP_WAIT_POLICY=PASSIVE
small=(--config mini --layers 6 --soft-targets "$run/soft")
# Neighbours first, from crops of anywhere; then repeats; then all lengths.
sbert-vcf train pretrain "$run/corpus" -o "$run/1" "${small[@]}" --soft-share 0.8 \
    --learning-rate 1e-3 --warmup-steps 200 --max-steps 1000
sbert-vcf train pretrain "$run/corpus" -o "$run/2" "${small[@]}" --soft-share 0.8 --soft-focus 0.6 \
    --learning-rate 1.5e-3 --warmup-steps 100 --max-hours 0.45 --init-from "$run/1/last"
sbert-vcf train pretrain "$run/corpus" -o "$run/3" "${small[@]}" --soft-share 0.7 --soft-focus 0.3 \
    --learning-rate 8e-4 --warmup-steps 50 --max-hours 0.38 --init-from "$run/2/last" \
    --shortest-crop 64 --longest-crop 1024 --batch-tokens 3120
sbert-vcf train export "$run/3/last" "$run/model"
sbert-vcf train evaluate-mlm "$run/model" "$run/corpus" -o "$run/scores" --windows 100

#!/usr/bin/env bash
# Train, export and evaluate the model that comes with the package: about two and a half hours on two CPU cores, 7 GB of memory.
# Usage: train/train_bundled.sh GENOMES RUN
#   GENOMES  a folder with <species>/genome.fa.gz (bgzip, indexed) and <species>/genes.gtf.gz for each species
#   RUN      where everything goes: corpus, soft targets, the parts of the run, the model (RUN/model), its scores
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

# Two processes of one thread read half as much again as one process of two threads.
export OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1
pretrain() {
    torchrun --nproc-per-node 2 -m sbert_vcf train pretrain "$run/corpus" --config mini --layers 6 --threads 1 \
        --soft-targets "$run/soft" "$@"
}
# Neighbours first, from crops of anywhere; then repeats and splice sites; then all lengths, and masked bases alone.
pretrain -o "$run/1" --soft-share 0.8 --soft-visible 1 --batch-tokens 2080 \
    --learning-rate 1e-3 --warmup-steps 200 --max-hours 0.3
pretrain -o "$run/2" --soft-share 0.8 --soft-visible 1 --soft-focus 0.35 --site-focus 0.3 --batch-tokens 3120 \
    --learning-rate 1.5e-3 --warmup-steps 100 --max-hours 1.2 --init-from "$run/1/last"
pretrain -o "$run/3" --soft-share 0.6 --soft-focus 0.2 --site-focus 0.2 --batch-tokens 4160 \
    --shortest-crop 64 --longest-crop 1024 \
    --learning-rate 8e-4 --warmup-steps 50 --max-hours 0.3 --init-from "$run/2/last"
sbert-vcf train export "$run/3/last" "$run/model"
sbert-vcf train evaluate-mlm "$run/model" "$run/corpus" -o "$run/scores" --windows 100

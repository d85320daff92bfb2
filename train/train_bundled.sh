#!/usr/bin/env bash
# Train, export and evaluate the model that comes with the package: about 80 minutes on two CPU cores, then 10 to evaluate.
# Usage: train/train_bundled.sh GENOMES RUN
#   GENOMES  a folder with <species>/genome.fa.gz (bgzip, indexed) and <species>/genes.gtf.gz for each species
#   RUN      where checkpoints, the exported model (RUN/model) and its figures (RUN/scores.json) go
set -euo pipefail
genomes=$(realpath "$1")
run=$2

mkdir -p "$run"
for folder in "$genomes"/*/; do
    printf '%s\t%s\t%s\n' "$(basename "$folder")" "${folder}genome.fa.gz" "${folder}genes.gtf.gz"
done > "$run/genomes.tsv"

# ENCODE region ENm002 (human 5q31: the interleukin cluster) in every species at once.
corpus=(--genomes "$run/genomes.tsv" --hold-out 'hg16\.chr5\.131332631' --hold-out '.*ENm002.*')

export OMP_WAIT_POLICY=PASSIVE
sbert-vcf train pretrain "${corpus[@]}" -o "$run/train" \
    --hidden-size 256 --layers 4 --heads 8 --ffn 1024 --max-nt 1024 --dropout 0 --init offset-heads --initializer-range 0.03 \
    --sequence-length 128:0.6,512:0.15,1024:0.25 --batch-tokens 2080 --learning-rate 5e-4 --warmup-steps 100 \
    --max-hours 1.28 --bfloat16 --threads 2
sbert-vcf train export "$run/train" "$run/model"
sbert-vcf train evaluate "$run/model" "${corpus[@]}" --windows 100 --json "$run/scores.json"

"""`python -m sbert_vcf` is `sbert-vcf`."""

from sbert_vcf.cli import main

if __name__ == "__main__":
    main()

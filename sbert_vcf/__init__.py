"""Annotate VCF files with splicing scores from SpliceBERT."""

__version__ = "0.1.0"

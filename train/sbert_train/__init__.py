"""Pretraining and fine-tuning of SpliceBERT-like models. Knows nothing of VCF."""

"""The SpliceBERT network: tokenizer, encoder, checkpoints, prediction and scores. Knows nothing of VCF."""

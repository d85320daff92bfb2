"""Fuzz one harness with atheris: python -m fuzz.run HARNESS [options of libFuzzer].

New inputs go to fuzz/found/HARNESS, which git ignores; what fails is written beside them as crash-…, to be fixed and
kept in fuzz/regressions/HARNESS, where the tests replay it.
"""

import importlib
import logging
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
INSTRUMENTED = ["sbert_vcf", "sbert_model.annotation", "sbert_model.gene_pred", "sbert_model.contigs"]


def main() -> None:
    """Run libFuzzer until one of its limits is reached or something fails."""
    name, options = sys.argv[1], sys.argv[2:]
    with atheris.instrument_imports(include=INSTRUMENTED):
        harness_module = importlib.import_module(f"fuzz.{name}")
    for logger in ("sbert_vcf", "sbert_model"):
        logging.getLogger(logger).addHandler(logging.NullHandler())
        logging.getLogger(logger).propagate = False
    found = HERE / "found" / name
    found.mkdir(parents=True, exist_ok=True)
    folders = [str(found), str(HERE / "corpus" / name), str(HERE / "regressions" / name)]
    fixed = [f"-artifact_prefix={found}/", f"-dict={HERE / 'tokens.dict'}", "-timeout=20", "-max_len=8192"]
    with harness_module.open_harness() as harness:
        atheris.Setup([sys.argv[0], *fixed, *options, *folders], harness.check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

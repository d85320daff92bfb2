"""The choices of a run, from the command line, the environment and the user's configuration file."""

import os
from dataclasses import dataclass
from pathlib import Path

from sbert_model import registry
from sbert_model.errors import InputError
from sbert_vcf import settings
from sbert_vcf.notices import LOGGER

NO_MODEL = "none"
REFERENCE_VARIABLE = "SBERT_VCF_REFERENCE"


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """What `annotate` and `score` have in common; None stands for the default."""

    reference: str | None = None
    genes: str | None = None
    model: str | None = None
    strand: str = "auto"
    csq_field: str | None = None
    alias: str | None = None
    device: str = "auto"
    workers: int = 1
    precision: str = "auto"
    batch_size: int | None = None
    threads: int | None = None
    delta: bool = False
    branchpoint_model: str | None = None
    bp_distance: int = 0
    cache: str | None = None


def find_reference(option: str | None, header_reference: str | None = None) -> Path:
    """Return the FASTA: the option, SBERT_VCF_REFERENCE, the configuration file, or what the header names.

    Raises InputError when none of them names one.
    """
    chosen = option or os.environ.get(REFERENCE_VARIABLE)
    if chosen:
        return Path(chosen)
    configured = settings.load().reference
    if configured is not None:
        return configured
    if header_reference and Path(header_reference).is_file():
        LOGGER.warning("reference: %s, from the input's ##reference line", header_reference)
        return Path(header_reference)
    raise InputError(
        f"no reference FASTA: give --reference, set {REFERENCE_VARIABLE}, or put reference = FILE into "
        f"{settings.config_path()}"
    )


def find_branchpoint_model(option: str | None) -> str | None:
    """Return the branchpoint model's name or path: the option, or the bundled one; None for 'none', or without it."""
    if option == NO_MODEL:
        return None
    return option or registry.default_branchpoint()


def find_model(option: str | None) -> str:
    """Return the model's name or path: the option, the user's default, or the bundled one."""
    return option or settings.load().model or registry.DEFAULT

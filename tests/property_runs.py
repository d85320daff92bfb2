"""Runs of `annotate` for properties: tiny models, and from a genome and records to annotated lines."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import safetensors.torch
from hypothesis import HealthCheck, Phase, settings

from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.line_source import silence_htslib
from sbert_vcf.options import ScoringOptions
from tests.models import write_random_masked_lm, write_random_token_classifier
from tests.odd_runs import content
from tests.strategies import WINDOW, Gene, Genome, write_fasta, write_genes
from tests.world import info_of, records_of, vcf_text

MORE = int(os.environ.get("SBERT_VCF_MORE_EXAMPLES", "0"))
"""How many times the examples to try, other ones in every run; by default the same few in all."""
PER_ALT = ("SBERT_KL", "SBERT_SS", "SBERT_BP", "SBERT_DELTA", "SBERT_STATUS")


def examples(count: int) -> settings:
    """So many examples of a property."""
    return settings(
        max_examples=count * max(MORE, 1),
        deadline=None,
        derandomize=not MORE,
        database=None,
        print_blob=True,
        phases=[Phase.generate] if MORE else [Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


def write_models(folder: Path) -> Path:
    """Write a masked language model that reads WINDOW nt, and beside it one of branchpoints and one that is blind.

    To the blind one all positions are alike: what it expects of a base depends on the window's letters, not on their
    order.
    """
    masked = write_random_masked_lm(folder / "masked", hidden=8, heads=2, layers=1, max_nt=WINDOW)
    write_random_token_classifier(folder / "branchpoint", hidden=8, heads=1, layers=1, scale=1)
    blind = write_random_masked_lm(folder / "blind", hidden=8, heads=2, layers=1, max_nt=WINDOW)
    tensors = safetensors.torch.load_file(blind / "model.safetensors")
    tensors["bert.embeddings.position_embeddings.weight"].zero_()
    safetensors.torch.save_file(tensors, blind / "model.safetensors", metadata={"format": "pt"})
    return masked


class Bench:
    """A folder with a genome, perhaps genes, in which records are annotated. Use as a context manager."""

    def __init__(self, model: Path, genome: Genome, genes: Sequence[Gene] = ()) -> None:
        silence_htslib()
        self._folder = TemporaryDirectory(prefix="sbert-vcf-properties-")
        self.folder = Path(self._folder.name)
        self.genome = genome
        self.fasta = write_fasta(self.folder / "genome.fa", genome)
        self._scoring: dict[str, Any] = {
            "reference": str(self.fasta),
            "genes": str(write_genes(self.folder / "genes.gtf", genes)) if genes else None,
            "model": str(model),
            "branchpoint_model": str(model.with_name("branchpoint")) if genes else "none",
            "strand": "auto" if genes else "+",
            "device": "cpu",
            "threads": 1,
            "delta": bool(genes),
        }

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def vcf(self, lines: Sequence[str]) -> Path:
        """Write a VCF with these records."""
        path = self.folder / "in.vcf"
        contigs = [f"##contig=<ID={name},length={len(bases)}>" for name, bases in self.genome.items()]
        path.write_text(vcf_text(lines, contigs=[*contigs, "##contig=<ID=chrNone>"]))
        return path

    def annotate(self, vcf: Path, output: str = "out.vcf", **scoring: Any) -> Path:
        """Annotate a file beside it."""
        out = self.folder / output
        annotate(AnnotateOptions(str(vcf), str(out), overwrite=True), ScoringOptions(**{**self._scoring, **scoring}))
        return out

    def lines(self, lines: Sequence[str], **scoring: Any) -> list[str]:
        """Annotate records; their lines as they come out."""
        return records_of(content(self.annotate(self.vcf(lines), **scoring)))


def per_alt(line: str) -> list[tuple[str, ...]]:
    """Our values of each ALT of a record: those of the fields of PER_ALT that it has."""
    info = info_of(line)
    columns = [info[field].split(",") for field in PER_ALT if field in info]
    return list(zip(*columns, strict=True))

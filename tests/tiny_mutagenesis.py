"""A genome with two genes whose acceptors are known, an annotation of them, and tiny models."""

import random
from dataclasses import dataclass
from pathlib import Path

import pysam

from sbert_vcf.options import ScoringOptions
from tests.models import write_random_masked_lm, write_random_token_classifier

SEQUENCE = "".join(random.Random(4).choices("ACGT", k=1600))
WITH_GAP = f"{SEQUENCE[:500]}N{SEQUENCE[501:800]}"
EXONS = {
    "ONE.1": ("chr1", "+", "G1", ((300, 400), (600, 640), (800, 830))),  # acceptors 600, 800
    "TWO.1": ("chr1", "-", "G2", ((650, 740), (1100, 1200))),  # acceptor 739
    "TWO.2": ("chr1", "-", "G2", ((650, 745), (1100, 1200))),  # acceptor 744
    "FAR.1": ("chr9", "+", "G3", ((10, 20), (30, 40))),
    "ALONE.1": ("chr1", "+", "G4", ((1400, 1500),)),
    "EDGE.1": ("chr1", "+", "G5", ((10, 20), (50, 200))),
    "COPY.1": ("chr1", "+", "G6", ((1300, 1310), (1320, 1330))),
}
"""Contig, strand, gene and exons, 0-based half-open, by transcript; COPY.1 lies on chr2 as well."""


@dataclass(frozen=True)
class TinyMutagenesis:
    """The files."""

    folder: Path
    fasta: Path
    genes: Path

    def scoring(self, *, genes: bool = True, branchpoints: bool = True, strand: str = "auto") -> ScoringOptions:
        """The options of a run on one CPU thread."""
        return ScoringOptions(
            reference=str(self.fasta),
            genes=str(self.genes) if genes else None,
            model=str(self.folder / "mlm"),
            branchpoint_model=str(self.folder / "bp") if branchpoints else "none",
            bp_distance=30,
            strand=strand,
            device="cpu",
            threads=1,
        )

    def options(self) -> list[str]:
        """The same for a command line."""
        models = ["-m", str(self.folder / "mlm"), "--branchpoint-model", str(self.folder / "bp")]
        return ["-r", str(self.fasta), "-g", str(self.genes), *models, "--device", "cpu", "--threads", "1"]


def write_tiny_mutagenesis(folder: Path) -> TinyMutagenesis:
    """Write the files."""
    fasta, genes = folder / "genome.fa", folder / "genes.gtf"
    fasta.write_text(f">chr1\n{SEQUENCE}\n>chr2\n{WITH_GAP}\n")
    pysam.faidx(str(fasta))
    places = [(name, *place) for name, place in EXONS.items()]
    places.append(("COPY.1", "chr2", *EXONS["COPY.1"][1:3], ((300, 310), (320, 330))))
    genes.write_text(
        "".join(
            f'{contig}\tx\texon\t{start + 1}\t{end}\t.\t{strand}\t.\tgene_id "{gene}"; transcript_id "{name}"; '
            f'gene_name "S{gene}";\n'
            for name, contig, strand, gene, exons in places
            for start, end in exons
        )
    )
    write_random_masked_lm(folder / "mlm", hidden=16, layers=1, heads=2, max_nt=402)
    write_random_token_classifier(folder / "bp", hidden=16, layers=1, heads=2, scale=1.2)
    return TinyMutagenesis(folder, fasta, genes)

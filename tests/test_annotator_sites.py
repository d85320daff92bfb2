"""Splice sites in the annotator: answers known by hand, whose sites they are, and when the field is there at all."""

import logging
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sbert_model.annotation import Transcript
from sbert_model.checkpoint import Checkpoint, load_masked_lm
from sbert_model.network import MaskedLM
from sbert_model.predict import FinishAt, Indices, Predictor
from sbert_model.tokenizer import Ids
from sbert_vcf import fields
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.annotator import Annotator
from sbert_vcf.consequence import ConsequenceField
from sbert_vcf.genes import Genes
from sbert_vcf.genes_columns import GeneColumns
from sbert_vcf.notices import LOGGER
from sbert_vcf.options import ScoringOptions
from sbert_vcf.reference import Reference
from sbert_vcf.results import AlleleResult
from sbert_vcf.strand import Site
from sbert_vcf.variant import Status
from tests.models import write_random_masked_lm
from tests.world import info_of, records_of

CPU = torch.device("cpu")
SEQUENCE = "".join(random.Random(3).choices("ACGT", k=1200))
EXONS = ((300, 400), (500, 560), (700, 800))
PLUS = Transcript("chr1", 300, 800, "+", "T1", "G1", "ONE", EXONS)
SKIPPING = Transcript("chr1", 300, 800, "+", "T2", "G1", "ONE", ((300, 400), (700, 800)))
MINUS = Transcript("chr1", 450, 900, "-", "T3", "G2", "TWO", ((450, 520), (850, 900)))


class CopyPredictor(Predictor):
    """At every base 0.7 for the base that stands there and 0.1 for each of the others."""

    def start_at(self, windows: Sequence[Ids], positions: Sequence[Indices]) -> FinishAt:
        table = np.log(np.full((16, 4), 0.1) + 0.6 * (np.arange(16)[:, None] - 6 == np.arange(4)))
        found = [table[window[bases]] for window, bases in zip(windows, positions, strict=True)]
        return lambda: np.concatenate(found)


def near(value: float | None, rel: float | None = None) -> Any:
    return None if value is None else pytest.approx(value, rel=rel)


CHANGED = 0.6 * math.log(7)
"""Divergence where another base stands."""


@pytest.fixture(autouse=True)
def warnings_reach_caplog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOGGER, "propagate", True)


@pytest.fixture(scope="module")
def fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">chr1\n{SEQUENCE}\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_masked_lm(tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2, max_nt=402)


@pytest.fixture(scope="module")
def model(folder: Path) -> Checkpoint[MaskedLM]:
    return load_masked_lm(folder)


@pytest.fixture
def reference(fasta: Path) -> Iterator[Reference]:
    with Reference(fasta) as opened:
        yield opened


def genes_of(*transcripts: Transcript) -> Genes:
    return Genes(Path("memory.gtf"), GeneColumns.from_transcripts(transcripts))


def snv(start: int, **more: str) -> Site:
    ref = SEQUENCE[start]
    return Site("chr1", start, ref, ("ACGT"["ACGT".index(ref) - 1],), **more)


def deletion(start: int, end: int) -> Site:
    return Site("chr1", start - 1, SEQUENCE[start - 1 : end], (SEQUENCE[start - 1],))


def result_of(annotator: Annotator, site: Site) -> AlleleResult:
    ((result,),) = annotator.score_sites([site])
    assert result.status is Status.OK
    return result


@pytest.mark.parametrize(
    ("start", "donor", "acceptor"),
    [
        (560, CHANGED / 2, 0.0),  # first base of the donor
        (561, CHANGED / 2, 0.0),
        (562, 0.0, 0.0),
        (499, 0.0, CHANGED / 2),
        (498, 0.0, CHANGED / 2),
        (530, 0.0, 0.0),
        (399, 0.0, None),  # the first exon has no acceptor
        (401, CHANGED / 2, None),
        (698, None, CHANGED / 2),  # the last exon has no donor
    ],
)
def test_a_changed_base_of_a_site(
    reference: Reference, model: Checkpoint[MaskedLM], start: int, donor: float | None, acceptor: float | None
) -> None:
    annotator = Annotator(reference, CopyPredictor(model.network, CPU), model, genes=genes_of(PLUS))
    sites = result_of(annotator, snv(start)).scores[0].splice_sites
    assert sites == (near(donor), near(acceptor))


def test_a_deleted_site_has_no_value(reference: Reference, model: Checkpoint[MaskedLM]) -> None:
    annotator = Annotator(reference, CopyPredictor(model.network, CPU), model, genes=genes_of(PLUS))
    start, end = 559, 563
    assert SEQUENCE[start - 1] != SEQUENCE[end - 1]  # it cannot be shifted
    result = result_of(annotator, deletion(start, end))
    # What remains is aligned with itself.
    assert result.scores[0].splice_sites == (None, near(0.0))
    assert result.ss == near(0.0)


def test_the_transcript_that_suffers_most_counts(reference: Reference, model: Checkpoint[MaskedLM]) -> None:
    predictor = CopyPredictor(model.network, CPU)
    both = Annotator(reference, predictor, model, genes=genes_of(PLUS, SKIPPING))
    # The donor of the exon that one transcript skips; the nearest exon of the other is 140 bases away.
    assert result_of(both, snv(560)).scores[0].splice_sites == (near(CHANGED / 2), near(0.0))


def test_each_gene_has_its_own_sites_and_the_maximum_is_the_alleles(
    reference: Reference, model: Checkpoint[MaskedLM]
) -> None:
    annotator = Annotator(reference, CopyPredictor(model.network, CPU), model, genes=genes_of(PLUS, MINUS))
    result = result_of(annotator, snv(520))  # in an acceptor on the minus strand, in an exon on the other
    found = {score.placement.symbol: score.splice_sites for score in result.scores}
    assert found == {"ONE": (near(0.0), near(0.0)), "TWO": (None, near(CHANGED / 2))}
    assert result.ss == near(CHANGED / 2)


def test_genes_of_a_consequence_field_take_their_exons_from_the_annotation(
    reference: Reference, model: Checkpoint[MaskedLM]
) -> None:
    field = ConsequenceField("CSQ", ["Allele", "Consequence", "SYMBOL", "STRAND"])
    predictor = CopyPredictor(model.network, CPU)
    site = snv(520)
    entries = "".join(f"{site.alts[0]}|intron_variant|{name}|{strand}," for name, strand in (("TWO", -1), ("NEW", 1)))
    site = site._replace(consequences=entries.rstrip(","))
    with_genes = Annotator(reference, predictor, model, field=field, genes=genes_of(PLUS, MINUS))
    found = {score.placement.symbol: score.splice_sites for score in result_of(with_genes, site).scores}
    assert found == {"TWO": (None, near(CHANGED / 2)), "NEW": (None, None)}
    without = Annotator(reference, predictor, model, field=field)
    assert result_of(without, site).ss is None
    assert without.optional_fields == frozenset()
    assert with_genes.optional_fields == {fields.SS_ID}


def test_bare_strands_are_judged_by_all_genes_on_them(reference: Reference, model: Checkpoint[MaskedLM]) -> None:
    annotator = Annotator(
        reference, CopyPredictor(model.network, CPU), model, strand="both", genes=genes_of(PLUS, MINUS)
    )
    plus, minus = result_of(annotator, snv(520)).scores
    assert (plus.splice_sites.total, minus.splice_sites.total) == (near(0.0), near(CHANGED / 2))
    outside = result_of(annotator, snv(250))
    assert (outside.ss, outside.scores[0].splice_sites) == (None, (None, None))


def test_splice_sites_take_no_pass_of_their_own(reference: Reference, model: Checkpoint[MaskedLM]) -> None:
    predictor = Predictor(model.network, CPU)
    annotator = Annotator(reference, predictor, model, genes=genes_of(PLUS, SKIPPING))
    assert (result_of(annotator, snv(555)).ss or 0) > 0
    assert predictor.windows_run == 2


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
def test_batch_size_changes_no_site(reference: Reference, model: Checkpoint[MaskedLM], batch_size: int) -> None:
    sites = [snv(start) for start in range(493, 503)]
    genes = genes_of(PLUS, MINUS)
    alone = Annotator(reference, Predictor(model.network, CPU, remember=0), model, genes=genes)
    expected = [result_of(alone, site) for site in sites]
    together = Annotator(reference, Predictor(model.network, CPU), model, genes=genes)
    chunks = [sites[start : start + batch_size] for start in range(0, len(sites), batch_size)]
    assert [result for chunk in chunks for (result,) in together.score_sites(chunk)] == expected


def gtf(path: Path, features: Sequence[str]) -> Path:
    path.write_text(
        "".join(
            f'chr1\tx\t{feature}\t{start + 1}\t{end}\t.\t+\t.\tgene_id "G"; transcript_id "T";\n'
            for feature in features
            for start, end in (EXONS if feature == "exon" else [(300, 800)])
        )
    )
    return path


def run(tmp_path: Path, fasta: Path, folder: Path, features: Sequence[str]) -> list[str]:
    vcf, out = tmp_path / "in.vcf", tmp_path / "out.vcf"
    rows = [(snv(start).ref, snv(start).alts[0], start) for start in (398, 560, 561)]
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    vcf.write_text(header + "".join(f"chr1\t{start + 1}\t.\t{ref}\t{alt}\t.\t.\t.\n" for ref, alt, start in rows))
    genes = gtf(tmp_path / "genes.gtf", features)
    options = ScoringOptions(
        reference=str(fasta), model=str(folder), branchpoint_model="none", genes=str(genes), device="cpu", threads=1
    )
    annotate(AnnotateOptions(str(vcf), str(out)), options)
    return out.read_text().splitlines()


def test_annotate_writes_the_field(tmp_path: Path, fasta: Path, folder: Path) -> None:
    lines = run(tmp_path, fasta, folder, ["transcript", "exon"])
    assert sum(line.startswith("##INFO=<ID=SBERT_SS,Number=A,Type=Float,") for line in lines) == 1
    for line in records_of("\n".join(lines)):
        info = info_of(line)
        packed = info["SBERT"].split("|")
        columns = [column.name for column in fields.PACKED_COLUMNS]
        donor, acceptor = (packed[columns.index(name)] for name in ("KL_DONOR", "KL_ACCEPTOR"))
        values = [float(value) for value in (donor, acceptor) if value]
        assert float(info["SBERT_SS"]) == near(sum(values), rel=1e-4)
        assert float(info["SBERT_SS"]) > 0


def test_an_annotation_without_exons_leaves_the_field_out_and_says_so_once(
    tmp_path: Path, fasta: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        lines = run(tmp_path, fasta, folder, ["transcript"])
    assert not any("SBERT_SS" in line for line in lines)
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{tmp_path / 'genes.gtf'}: names no exons: SBERT_SS is left out"]
    assert all(info_of(line)["SBERT_STATUS"] == "OK" for line in records_of("\n".join(lines)))

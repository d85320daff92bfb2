"""sbert_vcf.mutagenesis_rows: which substitutions, on which gene, where from the acceptor, and with whose scores."""

from collections.abc import Iterator

import numpy as np
import pytest

from sbert_model.branchpoint import REGION
from sbert_model.checkpoint import load_token_classifier
from sbert_model.tokenizer import encode, reverse_complement
from sbert_vcf.acceptors import Acceptor
from sbert_vcf.annotator import Annotator
from sbert_vcf.mutagenesis_rows import COLUMNS, Mutagenesis, Row, line, substitutions
from sbert_vcf.mutagenesis_targets import Stretch, locate, parse_target
from sbert_vcf.reference import Reference
from sbert_vcf.variant import Status, Variant
from tests.tiny_mutagenesis import SEQUENCE, TinyMutagenesis, write_tiny_mutagenesis


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyMutagenesis:
    return write_tiny_mutagenesis(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def annotator(tiny: TinyMutagenesis) -> Iterator[Annotator]:
    with Annotator.open(tiny.scoring()) as opened:
        yield opened


def rows_of(text: str, annotator: Annotator, up: int = 20, down: int = 3) -> list[Row]:
    return list(Mutagenesis(annotator).rows(locate(parse_target(text), annotator.reference, annotator.genes, up, down)))


def cells(row: Row) -> dict[str, str]:
    return dict(zip((name for name, _ in COLUMNS), line(row).rstrip("\n").split("\t"), strict=True))


def test_every_substitution_in_order(tiny: TinyMutagenesis) -> None:
    with Reference(tiny.fasta) as reference:
        found = list(substitutions(Stretch("", "chr1", 100, 103), reference))
        assert found == [
            Variant("chr1", at, SEQUENCE[at], alt) for at in range(100, 103) for alt in "ACGT" if alt != SEQUENCE[at]
        ]
        assert [variant.alt for variant in substitutions(Stretch("", "chr2", 500, 501), reference)] == list("ACGT")


def test_scores_are_those_of_the_annotator(annotator: Annotator) -> None:
    rows = rows_of("ONE.1:2", annotator)
    assert len(rows) == 3 * 23
    assert {row.status for row in rows} == {Status.OK}
    (direct,) = annotator.score([rows[10].variant])
    # Of the two genes there, that of the transcript; the other's rows come with a region.
    assert [score.placement.symbol for score in direct.scores] == ["SG1", "SG2"]
    assert rows[10].score == direct.scores[0]
    assert {row.score.placement.symbol for row in rows if row.score} == {"SG1"}


def test_offsets_run_in_sense_direction_with_the_first_exon_base_at_0(annotator: Annotator) -> None:
    plus = rows_of("ONE.1:2", annotator)
    assert [row.offset for row in plus] == [offset for offset in range(-20, 3) for _ in range(3)]
    assert {row.acceptor for row in plus} == {Acceptor("chr1", 800, "+")}
    minus = rows_of("TWO.1:1", annotator)
    assert [row.variant.start for row in minus[::3]] == list(range(737, 760))
    assert [row.offset for row in minus] == [offset for offset in range(2, -21, -1) for _ in range(3)]


def test_reference_probability_is_that_of_the_model_at_the_base(annotator: Annotator) -> None:
    network = load_token_classifier(annotator.branchpoints.model.folder).network if annotator.branchpoints else None
    assert network is not None
    import torch

    for text, ids in (
        ("ONE.1:2", encode(SEQUENCE[800 - 44 - 241 : 800 - 17 + 242])),
        ("TWO.1:1", reverse_complement(encode(SEQUENCE[740 + 17 - 242 : 740 + 44 + 241]))),
    ):
        assert len(ids) == 510
        tokens = torch.tensor([[2, *ids.tolist(), 3]])
        with torch.no_grad():
            probabilities = network(tokens)[0].softmax(-1)[1 + 241 :, 1].numpy()
        rows = rows_of(text, annotator, up=46)
        assert {row.offset for row in rows if row.reference_bp is not None} == set(REGION)
        for row in rows:
            if row.reference_bp is not None and row.offset is not None:
                assert row.reference_bp == pytest.approx(probabilities[row.offset - REGION.start], rel=1e-3)


def test_a_base_loses_no_more_than_it_had(annotator: Annotator) -> None:
    """Where a base loses most itself, its loss is what it had, less what is left of it."""
    rows = [row for row in rows_of("ONE.1:2", annotator, up=44) if row.score and row.score.branchpoint]
    own = [row for row in rows if row.score and row.score.branchpoint and row.score.branchpoint.position == row.offset]
    assert len(own) > 10
    for row in own:
        assert row.reference_bp is not None
        assert row.score is not None
        assert row.score.branchpoint is not None
        assert 0 < row.score.branchpoint.loss <= row.reference_bp + 1e-6


def test_a_region_has_rows_for_every_gene_and_the_nearest_acceptor_of_each(annotator: Annotator) -> None:
    rows = rows_of("chr1:731-760", annotator)
    assert len(rows) == 2 * 3 * 30
    found = {(row.score.placement.symbol, row.variant.start): row for row in rows if row.score}
    assert found["SG1", 730].acceptor == Acceptor("chr1", 800, "+")
    assert found["SG1", 730].offset == -70
    assert found["SG2", 739].acceptor == Acceptor("chr1", 739, "-")
    assert found["SG2", 739].offset == 0
    assert found["SG2", 742].acceptor == Acceptor("chr1", 744, "-")
    assert found["SG2", 759].offset == -15
    assert found["SG2", 759].reference_bp is None


def test_the_minus_strand_has_complementary_letters(annotator: Annotator) -> None:
    rows = rows_of("TWO.1:1", annotator)
    assert {row.sense(base) for row in rows for base in "A"} == {"T"}
    shown = cells(rows[0])
    assert shown["ref"] == SEQUENCE[737]
    assert shown["sense_ref"] == SEQUENCE[737].translate(str.maketrans("ACGT", "TGCA"))
    assert shown["sense_alt"] == shown["alt"].translate(str.maketrans("ACGT", "TGCA"))
    assert (shown["strand"], shown["transcript"], shown["acceptor"]) == ("-", "TWO.1", "740")
    assert (shown["pos"], shown["offset"], shown["target"]) == ("738", "2", "TWO.1:1")


def test_what_has_no_score_has_a_status(annotator: Annotator) -> None:
    outside = rows_of("chr1:231-232", annotator)
    assert [(row.status, row.score, row.offset) for row in outside] == [(Status.NO_GENE, None, None)] * 6
    unknown = rows_of("chr2:500-501", annotator)
    assert [row.status for row in unknown] == [Status.GAP] * 3 + [Status.NON_ACGT] * 4
    shown = cells(unknown[3])
    assert (shown["ref"], shown["alt"], shown["status"]) == ("N", "A", "NON_ACGT")
    assert {value for name, value in shown.items() if name.startswith(("sense", "kl", "bp", "gene", "strand"))} == {"."}
    edge = rows_of("chr1:50-50", annotator)
    assert [row.status for row in edge] == [Status.CONTIG_END] * 3


def test_bases_of_the_stretch_that_the_gene_does_not_have(annotator: Annotator) -> None:
    rows = rows_of("ONE.1:2", annotator, up=1, down=32)
    assert [row.status for row in rows] == [Status.OK] * 3 * 31 + [Status.NO_GENE] * 3 * 2


def test_without_genes_both_strands_have_rows_without_sites(tiny: TinyMutagenesis) -> None:
    with Annotator.open(tiny.scoring(genes=False, branchpoints=False)) as annotator:
        rows = rows_of("chr1:731-732", annotator)
    assert len(rows) == 2 * 2 * 3
    assert [row.sense("A") for row in rows[:2]] == ["A", "T"]
    assert np.isfinite([row.score.kl for row in rows if row.score]).sum() == 12
    assert {(row.acceptor, row.offset, row.reference_bp) for row in rows} == {(None, None, None)}


def test_a_bare_strand_has_the_sites_of_its_genes(tiny: TinyMutagenesis) -> None:
    with Annotator.open(tiny.scoring(strand="-")) as annotator:
        rows = rows_of("chr1:741-742", annotator)
        named = rows_of("TWO.2:1", annotator, up=1, down=1)
    assert [row.acceptor for row in rows] == [Acceptor("chr1", 739, "-")] * 6
    assert [row.offset for row in named] == [0] * 3 + [-1] * 3
    assert all(row.score for row in named)

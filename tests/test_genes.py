"""Genes by position and by name, on hand-made annotations, against brute force, and on real ones."""

import gzip
import random
from pathlib import Path

import pytest

from sbert_model.annotation import Transcript
from sbert_model.errors import InputError
from sbert_vcf.genes import ExonEdge, Gene, Genes
from sbert_vcf.genes_columns import GeneColumns


def transcript(
    name: str,
    gene: str,
    *exons: tuple[int, int],
    strand: str = "+",
    contig: str = "chr1",
    symbol: str | None = None,
) -> Transcript:
    return Transcript(contig, exons[0][0], exons[-1][1], strand, name, gene, symbol or gene, exons)


def genes_of(*transcripts: Transcript, aliases: tuple[tuple[str, str], ...] = ()) -> Genes:
    return Genes(Path("memory.gtf"), GeneColumns.from_transcripts(transcripts), aliases)


PLUS = (transcript("T1", "PLUS", (100, 120), (200, 220), (300, 320)), transcript("T2", "PLUS", (100, 120), (200, 250)))
MINUS = transcript("T3", "MINUS", (210, 230), (400, 420), strand="-")
TINY_GTF = """\
#!genome-build toy
1\ttest\tgene\t101\t320\t.\t+\t.\tgene_id "ENSG01.3"; gene_name "ABC.1";
1\ttest\ttranscript\t101\t320\t.\t+\t.\tgene_id "ENSG01.3"; transcript_id "ENST01.5"; gene_name "ABC.1";
1\ttest\texon\t101\t120\t.\t+\t.\tgene_id "ENSG01.3"; transcript_id "ENST01.5"; gene_name "ABC.1"; exon_number "1";
1\ttest\texon\t201\t320\t.\t+\t.\tgene_id "ENSG01.3"; transcript_id "ENST01.5"; gene_name "ABC.1"; exon_number "2";
MT\ttest\tgene\t11\t20\t.\t-\t.\tgene_id "ENSG02"; gene_name "naïve";
"""


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (99, 100, []),
        (100, 101, ["PLUS"]),
        (99, 101, ["PLUS"]),
        (209, 210, ["PLUS"]),
        (210, 211, ["PLUS", "MINUS"]),
        (319, 320, ["PLUS", "MINUS"]),
        (320, 321, ["MINUS"]),
        (420, 500, []),
        (0, 1000, ["PLUS", "MINUS"]),
        (100, 100, []),  # insertions: bases of the gene on both sides
        (101, 101, ["PLUS"]),
        (319, 319, ["PLUS", "MINUS"]),
        (320, 320, ["MINUS"]),
        (420, 420, []),
    ],
)
def test_overlapping_at_the_edges(start: int, end: int, expected: list[str]) -> None:
    genes = genes_of(*PLUS, MINUS)
    assert [gene.gene_id for gene in genes.overlapping("chr1", start, end)] == expected


def test_gene_spans_its_transcripts_and_names_the_one_with_most_exonic_bases() -> None:
    assert genes_of(*PLUS).overlapping("chr1", 150, 151) == [Gene("PLUS", "PLUS", "chr1", 100, 320, "+", "T2")]


def test_of_equally_long_transcripts_the_first_by_position_represents_the_gene() -> None:
    late, early = transcript("LATE", "G", (20, 40)), transcript("EARLY", "G", (10, 30))
    assert [gene.transcript_id for gene in genes_of(late, early)] == ["EARLY"]


def test_order_is_by_start_end_and_id_whatever_the_order_of_the_file() -> None:
    names = ["B", "A", "C", "D"]
    spans = {"A": (10, 30), "B": (10, 30), "C": (10, 20), "D": (5, 40)}
    transcripts = [transcript(name, name, spans[name]) for name in names]
    for some in (transcripts, transcripts[::-1]):
        assert [gene.gene_id for gene in genes_of(*some).overlapping("chr1", 12, 13)] == ["D", "C", "A", "B"]


def test_overlapping_agrees_with_brute_force() -> None:
    numbers = random.Random(3)
    transcripts = []
    for number in range(150):
        start = numbers.randrange(1000)
        length = 600 if number % 50 == 0 else numbers.randint(1, 40)  # a few genes hold many others
        transcripts.append(transcript(f"T{number}", f"G{number}", (start, start + length), strand=numbers.choice("+-")))
    genes = genes_of(*transcripts)
    for start in range(0, 1100, 7):
        for length in (0, 1, 30):
            end = start + length
            expected = {t.gene_id for t in transcripts if t.start < end and t.end > start}
            assert {gene.gene_id for gene in genes.overlapping("chr1", start, end)} == expected


def test_one_id_on_two_contigs_or_strands_is_several_genes() -> None:
    genes = genes_of(
        transcript("X", "PAR", (10, 20), contig="chrX"),
        transcript("Y", "PAR", (10, 20), contig="chrY"),
        transcript("Z", "PAR", (12, 22), contig="chrY", strand="-"),
    )
    assert [(gene.contig, gene.strand) for gene in genes] == [("chrX", "+"), ("chrY", "+"), ("chrY", "-")]
    assert len(genes) == 3


def test_copies_of_a_gene_far_apart_leave_the_place_between_them_empty() -> None:
    genes = genes_of(
        transcript("A2", "G", (9000, 9100)), transcript("A1", "G", (100, 200)), transcript("A1b", "G", (150, 300))
    )
    assert [(gene.start, gene.end) for gene in genes] == [(100, 300), (9000, 9100)]
    assert genes.overlapping("chr1", 5000, 5001) == []


def test_contigs_are_found_under_their_other_names() -> None:
    genes = genes_of(*PLUS, transcript("M", "MITO", (5, 9), contig="chrM"), aliases=(("NC_000001.10", "1"),))
    for name in ("chr1", "1", "NC_000001.10"):
        assert [gene.contig for gene in genes.overlapping(name, 110, 111)] == ["chr1"]
    assert genes.has_contig("MT")
    assert [gene.gene_id for gene in genes.overlapping("MT", 6, 7)] == ["MITO"]


def test_unknown_contig_has_nothing() -> None:
    genes = genes_of(*PLUS)
    assert not genes.has_contig("chr2")
    assert genes.overlapping("chr2", 0, 1000) == []
    assert genes.transcripts_overlapping("chr2", 0, 1000) == []
    assert genes.strands_by_name("chr2", "PLUS") == set()
    assert genes.nearest_exon_edge("chr2", 0, 1000) is None


def test_transcripts_come_back_whole_and_only_where_they_lie() -> None:
    genes = genes_of(MINUS, *PLUS)
    assert genes.transcripts_overlapping("1", 0, 1000) == [PLUS[1], PLUS[0], MINUS]
    assert genes.transcripts_overlapping("1", 260, 261) == [PLUS[0], MINUS]
    assert genes.transcripts_overlapping("1", 320, 320) == [MINUS]


def test_gene_without_transcripts_has_a_place_and_no_exons() -> None:
    genes = genes_of(Transcript("chr1", 10, 20, "-", "", "G", "G", ()))
    assert genes.overlapping("chr1", 15, 16) == [Gene("G", "G", "chr1", 10, 20, "-", "")]
    assert genes.transcripts_overlapping("chr1", 15, 16)[0].exons == ()
    assert genes.strands_by_name("chr1", "G") == {"-"}
    assert genes.strands_by_name("chr1", "") == set()
    assert genes.nearest_exon_edge("chr1", 15, 16) is None


NAMED = (
    transcript("ENST01.5", "ENSG01.3", (10, 20), symbol="ABC"),
    transcript("ENST02", "ENSG02", (30, 40), symbol="ABC", strand="-"),
    transcript("ENST03.1_2", "ENSG03.1_4", (50, 60), symbol="RP11-1.1", strand="-"),
    transcript("ENST04.2", "ENSG04.7_PAR_Y", (70, 80), symbol="RP11-1.2"),
    transcript("ENST01.5", "ENSG01.3", (10, 20), symbol="ABC", strand="-", contig="chr2"),
)


@pytest.mark.parametrize(
    ("name", "strands"),
    [
        ("ENSG01.3", "+"),
        ("ENSG01", "+"),
        ("ENSG01.9", "+"),
        ("ENST01", "+"),
        ("ENST02.4", "-"),
        ("ENSG03", "-"),
        ("ENST03.1", "-"),
        ("ENSG04", "+"),
        ("ABC", "+-"),
        ("RP11-1.1", "-"),
        ("RP11-1.2", "+"),
        ("RP11-1", ""),  # the number of a clone is no version
        ("ENSG05", ""),
        ("", ""),
    ],
)
def test_strands_by_name(name: str, strands: str) -> None:
    assert genes_of(*NAMED).strands_by_name("1", name) == set(strands)


def test_strands_are_those_of_the_contig() -> None:
    assert genes_of(*NAMED).strands_by_name("chr2", "ENSG01") == {"-"}


COPIES = (
    transcript("N1.2", "G1", (10, 20), (30, 40), contig="chr2", symbol="SYM"),
    transcript("N1.2", "G1", (500, 520), (530, 540), contig="chr2", symbol="SYM"),
    transcript("N10.1", "G2.7", (10, 20), contig="chr3", symbol="OTHER"),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("T1", [("chr1", 100)]),
        ("T2", [("chr1", 100)]),
        ("T3", [("chr1", 210)]),
        ("T3.9", [("chr1", 210)]),
        ("N1", [("chr2", 10), ("chr2", 500)]),
        ("N1.2", [("chr2", 10), ("chr2", 500)]),
        ("N10", [("chr3", 10)]),
        ("PLUS", [("chr1", 100), ("chr1", 100)]),
        ("SYM", [("chr2", 10), ("chr2", 500)]),
        ("G2.7", [("chr3", 10)]),
        ("OTHER", [("chr3", 10)]),
        ("N", []),
        ("sym", []),
    ],
)
def test_transcripts_by_name(name: str, expected: list[tuple[str, int]]) -> None:
    found = genes_of(*PLUS, MINUS, *COPIES).transcripts_by_name(name)
    assert [(item.contig, item.start) for item in found] == expected
    assert all(item in (*PLUS, MINUS, *COPIES) for item in found)


def test_found_strands_are_the_callers_own() -> None:
    genes = genes_of(*NAMED)
    genes.strands_by_name("1", "ENSG01").add("-")
    assert genes.strands_by_name("1", "ENSG01") == {"+"}


# chr1 + 100-120 [donor at 120] 200-220 | - 500-520 [acceptor at 520] 600-620
EDGES = genes_of(transcript("P", "P", (100, 120), (200, 220)), transcript("M", "M", (500, 520), (600, 620), strand="-"))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (120, 121, (120, "donor", "+", 1)),
        (121, 122, (120, "donor", "+", 2)),
        (119, 120, (120, "donor", "+", -1)),
        (199, 200, (200, "acceptor", "+", -1)),
        (198, 199, (200, "acceptor", "+", -2)),
        (200, 201, (200, "acceptor", "+", 1)),
        (0, 1, (120, "donor", "+", -120)),  # the start of the transcript is no splice site
        (519, 520, (520, "acceptor", "-", 1)),
        (520, 521, (520, "acceptor", "-", -1)),
        (599, 600, (600, "donor", "-", 1)),
        (600, 601, (600, "donor", "-", -1)),
        (619, 640, (600, "donor", "-", -20)),
        (118, 122, (120, "donor", "+", 0)),
        (119, 121, (120, "donor", "+", 0)),
        (120, 120, (120, "donor", "+", 0)),
        (121, 121, (120, "donor", "+", 1)),
        (118, 118, (120, "donor", "+", -2)),
        (120, 201, (200, "acceptor", "+", 0)),
        (160, 160, (120, "donor", "+", 40)),  # as far from 200
    ],
)
def test_nearest_exon_edge(start: int, end: int, expected: tuple[int, str, str, int]) -> None:
    assert EDGES.nearest_exon_edge("1", start, end) == expected


def test_nearest_exon_edge_of_one_gene() -> None:
    (gene,) = EDGES.overlapping("1", 510, 511)
    assert EDGES.nearest_exon_edge("1", 120, 121, gene) == ExonEdge(520, "acceptor", "-", 400)


def test_nearest_exon_edge_agrees_with_brute_force() -> None:
    numbers = random.Random(4)
    transcripts = []
    for number in range(30):
        at = numbers.randrange(2000)
        exons = []
        for _ in range(numbers.randint(1, 4)):
            exons.append((at, at + numbers.randint(1, 30)))
            at = exons[-1][1] + numbers.randint(1, 60)
        transcripts.append(transcript(f"T{number}", f"G{number // 2}", *exons, strand=numbers.choice("+-")))
    genes = genes_of(*transcripts)
    positions = {end for t in transcripts for _, end in t.exons[:-1]} | {
        start for t in transcripts for start, _ in t.exons[1:]
    }
    for start in range(0, 2300, 3):
        distances = {abs(start - at) + (start >= at) for at in positions}
        edge = genes.nearest_exon_edge("chr1", start, start + 1)
        assert edge is not None
        assert abs(edge.distance) == min(distances)
        assert edge.position in positions


@pytest.mark.parametrize("packed", [False, True])
def test_open_reads_once_and_then_from_the_cache(tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ("tiny.gtf.gz" if packed else "tiny.gtf")
    path.write_bytes(gzip.compress(TINY_GTF.encode()) if packed else TINY_GTF.encode())
    first = Genes.open(path, cache=tmp_path / "cache")
    monkeypatch.setattr("sbert_vcf.genes.read_transcripts", None)
    second = Genes.open(path, cache=tmp_path / "cache")
    expected = [
        Gene("ENSG01.3", "ABC.1", "1", 100, 320, "+", "ENST01.5"),
        Gene("ENSG02", "naïve", "MT", 10, 20, "-", ""),
    ]
    assert list(first) == list(second) == expected
    assert first.path == second.path == path
    assert first.transcripts_overlapping("chr1", 0, 999) == second.transcripts_overlapping("chr1", 0, 999)
    assert second.nearest_exon_edge("chr1", 121, 122) == (120, "donor", "+", 2)


def test_open_takes_aliases_and_the_default_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBERT_VCF_CACHE", str(tmp_path / "user"))
    path = tmp_path / "tiny.gtf"
    path.write_text(TINY_GTF)
    assert Genes.open(path, aliases=[("NC_1", "1")]).has_contig("NC_1")
    assert not Genes.open(path).has_contig("NC_1")
    assert len(list((tmp_path / "user" / "genes").glob("*.genes"))) == 1


@pytest.mark.parametrize("content", ["", "#only a comment\n", '1\tx\tCDS\t1\t9\t.\t+\t0\tgene_id "a";\n', "nonsense\n"])
def test_file_without_genes_is_one_line_and_not_cached(tmp_path: Path, content: str) -> None:
    path = tmp_path / "empty.gtf"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        Genes.open(path, cache=tmp_path / "cache")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


@pytest.mark.real_data
def test_canonical_transcripts_of_hg19(data: Path, tmp_path: Path) -> None:
    genes = Genes.open(data / "hg19" / "genes.gtf.gz", cache=tmp_path)
    contigs = sorted({gene.contig for gene in genes})
    transcripts = [found for contig in contigs for found in genes.transcripts_overlapping(contig, 0, 1 << 40)]
    assert (len(genes), len(transcripts)) == (18677, 18677)
    assert sum(len(found.exons) for found in transcripts) == 203507
    (titin,) = genes.overlapping("2", 179_400_000, 179_400_001)
    assert titin == genes.overlapping("chr2", 179_400_000, 179_400_001)[0]
    assert (titin.gene_name, titin.strand) == ("TTN", "-")
    assert genes.strands_by_name("2", "TTN-T1") == {"-"}


@pytest.mark.real_data
def test_genes_in_the_sequenced_regions_of_hg19(data: Path, tmp_path: Path) -> None:
    genes = Genes.open(data / "hg19" / "genes.gtf.gz", cache=tmp_path)
    introns, with_introns, whole = 0, set(), set()
    for line in (data / "hg19" / "regions.bed").read_text().splitlines():
        contig, start, end = line.split("\t")[0], *map(int, line.split("\t")[1:3])
        for found in genes.transcripts_overlapping(contig, start, end):
            pairs = zip(found.exons[:-1], found.exons[1:], strict=True)
            inside = [left for left, right in pairs if start <= left[1] and right[0] <= end]
            introns += len(inside)
            if inside:
                with_introns.add(found.gene_id)
                whole |= {found.gene_id} if start <= found.start and found.end <= end else set()
    assert (introns, len(with_introns), len(whole)) == (1178, 117, 110)

"""sbert_vcf.mutagenesis_targets: what texts name, where that lies, and what is told of those that name nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sbert_model.errors import InputError
from sbert_vcf.acceptors import Acceptor
from sbert_vcf.genes import Genes
from sbert_vcf.mutagenesis_targets import AcceptorTarget, RegionTarget, Stretch, locate, parse_target
from sbert_vcf.reference import Reference
from tests.tiny_mutagenesis import TinyMutagenesis, write_tiny_mutagenesis


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyMutagenesis:
    return write_tiny_mutagenesis(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def reference(tiny: TinyMutagenesis) -> Iterator[Reference]:
    with Reference(tiny.fasta) as opened:
        yield opened


@pytest.fixture(scope="module")
def genes(tiny: TinyMutagenesis) -> Genes:
    return Genes.open(tiny.genes, cache=tiny.folder / "cache")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chr1:11-20", ("chr1", 10, 20)),
        ("chr1:11-11", ("chr1", 10, 11)),
        ("7:117,199,500-117,199,600", ("7", 117199499, 117199600)),
        ("HLA-A*01:01:01:5-6", ("HLA-A*01:01:01", 4, 6)),
        ("NM_000492.3:5", ("NM_000492.3", 5)),
        ("NKX2-5:1", ("NKX2-5", 1)),
        ("NM_1:0", ("NM_1", 0)),
    ],
)
def test_what_a_text_names(text: str, expected: tuple[object, ...]) -> None:
    target = parse_target(text)
    assert target == (text, *expected)
    assert isinstance(target, RegionTarget if len(expected) == 3 else AcceptorTarget)


@pytest.mark.parametrize("text", ["", "chr1", "chr1:", ":5", "chr1:5-", "chr1:-5", "chr1:a-b", "NM_1:x", "chr 1:5-6"])
def test_other_texts(text: str) -> None:
    with pytest.raises(InputError, match="expected contig:start-end"):
        parse_target(text)


@pytest.mark.parametrize("text", ["chr1:0-5", "chr1:6-5", "chr1:,-5"])
def test_regions_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="a region runs from a position, 1 or larger"):
        parse_target(text)


def found(text: str, reference: Reference, genes: Genes | None, up: int = 5, down: int = 2) -> Stretch:
    return locate(parse_target(text), reference, genes, up, down)


def test_a_region_needs_no_genes(reference: Reference) -> None:
    assert found("1:11-20", reference, None) == Stretch("1:11-20", "chr1", 10, 20)
    assert len(found("chr1:1-1600", reference, None)) == 1600


@pytest.mark.parametrize(
    ("text", "strand", "position", "start", "end"),
    [
        ("ONE.1:1", "+", 600, 595, 602),
        ("ONE.1:2", "+", 800, 795, 802),
        ("ONE:2", "+", 800, 795, 802),
        ("SG1:2", "+", 800, 795, 802),
        ("G1:2", "+", 800, 795, 802),
        ("TWO.1:1", "-", 739, 738, 745),
        ("TWO.2:1", "-", 744, 743, 750),
    ],
)
def test_around_an_acceptor(
    text: str, strand: str, position: int, start: int, end: int, reference: Reference, genes: Genes
) -> None:
    stretch = found(text, reference, genes)
    assert (stretch.name, stretch.contig, stretch.start, stretch.end) == (text, "chr1", start, end)
    assert stretch.acceptor == Acceptor("chr1", position, strand)
    assert stretch.transcript is not None
    assert stretch.transcript.strand == strand


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "chr1:1-1601",
            r"chr1:1-1601: chr1:1-1601 reaches over the end of the contig, which has 1600 nt in .*genome.fa$",
        ),
        ("chrX:1-2", r"chrX:1-2: .*genome\.fa has no contig chrX; --alias can name it$"),
        ("NM_1:1", r"NM_1:1: .*genes\.gtf has no transcript or gene NM_1$"),
        ("ONE.1:0", r"ONE\.1:0: ONE\.1 has introns 1 to 2$"),
        ("ONE.1:3", r"ONE\.1:3: ONE\.1 has introns 1 to 2$"),
        ("ALONE.1:1", r"ALONE\.1:1: ALONE\.1 has no intron$"),
        ("G2:1", r"G2:1: G2 has 2 transcripts; name one: TWO\.1, TWO\.2$"),
        ("FAR.1:1", r"FAR\.1:1: .*genome\.fa has no contig chr9; --alias can name it$"),
        ("COPY.1:1", r"COPY\.1 lies at 2 places \(chr1:1301-1330, chr2:301-330\); give a region$"),
        ("EDGE.1:1", r"EDGE\.1:1: chr1:-9-52 reaches over the end of the contig"),
    ],
)
def test_what_is_not_there(text: str, message: str, reference: Reference, genes: Genes) -> None:
    with pytest.raises(InputError, match=message):
        found(text, reference, genes, up=60)


def test_a_transcript_without_genes_or_exons(reference: Reference, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"T:1: a transcript needs an annotation: name one with --genes$"):
        found("T:1", reference, None)
    path = tmp_path / "bare.gtf"
    path.write_text('chr1\tx\ttranscript\t11\t50\t.\t+\t.\tgene_id "G"; transcript_id "T";\n')
    with pytest.raises(InputError, match=r"T:1: .*bare\.gtf names no exons of T$"):
        found("T:1", reference, Genes.open(path, cache=tmp_path / "cache"))


@pytest.mark.real_data
def test_acceptors_of_hg19_are_ag_in_front_of_the_exon(data: Path, tmp_path: Path) -> None:
    """On both strands: the last two bases of the intron by the number of the intron and the strand."""
    genes = Genes.open(data / "hg19" / "genes.gtf.gz", cache=tmp_path)
    seen: dict[str, list[bool]] = {"+": [], "-": []}
    with Reference(data / "hg19" / "hg19.regions.fa.gz") as reference:
        for region in (data / "hg19" / "regions.bed").read_text().splitlines():
            contig, start, end = region.split("\t")[0], *map(int, region.split("\t")[1:3])
            for transcript in genes.transcripts_overlapping(contig, start, end):
                if not start <= transcript.start < transcript.end <= end:
                    continue
                for intron in range(1, len(transcript.exons)):
                    stretch = found(f"{transcript.transcript_id}:{intron}", reference, genes, up=2, down=0)
                    letters = reference.letters(stretch.contig, stretch.start, stretch.end)
                    seen[transcript.strand].append(letters == ("AG" if transcript.strand == "+" else "CT"))
    assert min(map(len, seen.values())) > 300
    assert all(sum(of_strand) / len(of_strand) > 0.98 for of_strand in seen.values())

"""The toy chromosome: the same every time, right where it should be and wrong where it is meant to be."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pysam
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
STOPS = {"TAA", "TAG", "TGA"}


def run(script: str, *arguments: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    done = run("make_example.py", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def sequence(toy: Path) -> str:
    with pysam.FastaFile(str(toy / "toy.fa")) as fasta:
        text: str = fasta.fetch("chrToy")
    return text


@pytest.fixture(scope="module")
def records(toy: Path) -> dict[str, pysam.VariantRecord]:
    with pysam.VariantFile(str(toy / "toy.vcf")) as vcf:
        return {str(record.id): record for record in vcf}


@pytest.fixture(scope="module")
def genome_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("toy_genome", EXAMPLES / "toy_genome.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy_genome"] = module
    spec.loader.exec_module(module)
    return module


def entries(toy: Path, record: pysam.VariantRecord) -> list[dict[str, str]]:
    with pysam.VariantFile(str(toy / "toy.vcf")) as vcf:
        columns = str(vcf.header.info["CSQ"].description).split("Format: ")[1].split("|")
    return [dict(zip(columns, text.split("|"), strict=True)) for text in record.info.get("CSQ", ())]


def test_same_files_every_time(toy: Path, tmp_path: Path) -> None:
    assert run("make_example.py", tmp_path).returncode == 0
    names = sorted(path.name for path in toy.iterdir())
    assert names == ["toy.fa", "toy.fa.fai", "toy.gtf", "toy.vcf"]
    for name in names:
        assert (tmp_path / name).read_bytes() == (toy / name).read_bytes()


def test_ref_is_that_of_the_fasta_but_for_the_planted_mismatch(
    records: dict[str, pysam.VariantRecord], sequence: str
) -> None:
    wrong = [name for name, record in records.items() if not sequence.startswith(str(record.ref), record.start)]
    assert wrong == ["reference_mismatch"]


def test_records_are_sorted_and_of_every_kind(records: dict[str, pysam.VariantRecord], sequence: str) -> None:
    starts = [record.start for record in records.values()]
    assert starts == sorted(starts)
    assert len(records) == 20
    assert {record.contig for record in records.values()} == {"chrToy"}
    assert records["donor_1_plus"].header.contigs["chrToy"].length == len(sequence)
    assert records["no_alt"].alts is None
    assert records["star_in_multi_alt"].alts == ("A", "*")
    assert records["symbolic_deletion"].alts == ("<DEL>",)
    alleles = [(record.ref, alt) for record in records.values() for alt in record.alts or ()]
    assert all(ref != alt for ref, alt in alleles)


def test_star_lies_in_the_deletion_before_it(records: dict[str, pysam.VariantRecord]) -> None:
    deletion, star = records["deletion_donor_plus"], records["star_in_multi_alt"]
    assert deletion.start < star.start < deletion.stop


def test_insertion_is_written_at_the_right_end_of_a_run(records: dict[str, pysam.VariantRecord], sequence: str) -> None:
    record = records["insertion_in_repeat"]
    base = str(record.ref)
    assert record.alts == (base * 2,)
    assert sequence[record.start - 3 : record.start + 1] == base * 4
    assert sequence[record.start + 1] != base


def test_csq_names_alleles_and_strands_as_vep_does(toy: Path, records: dict[str, pysam.VariantRecord]) -> None:
    names = {name: [entry["Allele"] for entry in entries(toy, record)] for name, record in records.items()}
    two_alts = records["two_alts_minus"].alts
    assert two_alts is not None
    assert names["deletion_donor_plus"] == names["deletion_branchpoint_minus"] == ["-"]
    assert names["insertion_in_repeat"] == [records["insertion_in_repeat"].ref]
    assert names["two_alts_minus"] == ["-", two_alts[1][1:]]
    assert names["no_alt"] == []
    for name, record in records.items():
        for entry in entries(toy, record):
            assert entry["STRAND"] == (
                "" if name == "intergenic" else "-1" if int(entry["SYMBOL"][3:]) % 2 == 0 else "1"
            )
            assert 1 <= int(entry["ALLELE_NUM"]) <= len(record.alts or ())


@pytest.mark.parametrize(
    ("name", "offset", "motif"),
    [
        ("donor_1_plus", 0, "GT"),
        ("donor_1_minus", -1, "AC"),
        ("acceptor_1_minus", 0, "CT"),
        ("acceptor_2_plus", 0, "AG"),
    ],
)
def test_splice_site_variants_hit_the_splice_site(
    records: dict[str, pysam.VariantRecord], sequence: str, name: str, offset: int, motif: str
) -> None:
    start = records[name].start + offset
    assert sequence[start : start + 2] == motif


def test_genes_are_like_real_ones(genome_module: ModuleType, sequence: str) -> None:
    genome = genome_module.build_genome()
    assert genome.sequence == sequence
    assert [gene.strand for gene in genome.genes] == list("+-+-+-")
    for gene in genome.genes:
        for (start, end), branchpoint in zip(gene.introns, gene.branchpoints, strict=True):
            assert genome.sense(gene, start, start + 2) == "GT"
            assert genome.sense(gene, end - 2, end) == "AG"
            assert genome.sense(gene, branchpoint, branchpoint + 1) == "A"
            assert 18 <= end - branchpoint <= 44
        spliced = "".join(genome.sense(gene, *exon) for exon in gene.exons)
        coding = spliced[gene.coding[0] : gene.coding[1] - sum(end - start for start, end in gene.introns)]
        codons = [coding[at : at + 3] for at in range(0, len(coding), 3)]
        assert codons[0] == "ATG"
        assert [codon in STOPS for codon in codons] == [False] * (len(codons) - 1) + [True]


def test_gtf_has_the_exons(toy: Path, genome_module: ModuleType) -> None:
    lines = [line.split("\t") for line in (toy / "toy.gtf").read_text().splitlines()]
    genes = genome_module.build_genome().genes
    exons = [gene.interval(*exon) for gene in genes for exon in gene.exons]
    assert [(int(line[3]) - 1, int(line[4])) for line in lines if line[2] == "exon"] == exons
    assert [line[2] for line in lines].count("gene") == [line[2] for line in lines].count("transcript") == len(genes)


ANNOTATED = """\
##fileformat=VCFv4.2
##contig=<ID=chrToy,length=71284>
##INFO=<ID=SBERT_KL,Number=A,Type=Float,Description="KL-context">
##INFO=<ID=SBERT_SS,Number=A,Type=Float,Description="Splice-site KL">
##INFO=<ID=SBERT_BP,Number=A,Type=Float,Description="Branchpoint disruption">
##INFO=<ID=SBERT_STATUS,Number=A,Type=String,Description="OK, or why not">
##INFO=<ID=SBERT,Number=.,Type=String,Description="Scores. Format: ALLELE_NUM|Gene|SYMBOL|STRAND|Consequence|KL">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO
chrToy	10	.	A	G	.	.	SBERT_KL=-512.25;SBERT_SS=0.5;SBERT_BP=0.25;SBERT_STATUS=OK;SBERT=1|G1|TOY1|1|a&b|-5
chrToy	20	.	A	G,*	.	.	SBERT_KL=-7.5,.;SBERT_STATUS=OK,STAR;SBERT=1|G1||-1|c|-7.5,1|G2|TOY2|1|c|-9
chrToy	30	.	ACGTACGTACGTACGT	A	.	.	SBERT_KL=.;SBERT_STATUS=NO_GENE
chrToy	40	.	A	.	.	.	.
"""


def test_show_prints_a_line_per_alt(tmp_path: Path) -> None:
    path = tmp_path / "annotated.vcf"
    path.write_text(ANNOTATED)
    done = run("show.py", path)
    assert done.stderr == ""
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["variant", "gene", "strand", "consequence", "SBERT_KL", "SBERT_SS", "SBERT_BP", "status"],
        ["chrToy:10", "A>G", "TOY1", "+", "a&b", "-512.25", "0.5000", "0.250", "OK"],
        ["chrToy:20", "A>G", "G1,TOY2", "-,+", "c", "-7.50", "OK"],
        ["chrToy:20", "A>*", "STAR"],
        ["chrToy:30", "ACGTACGT…16>A", "NO_GENE"],
        ["chrToy:40", "A>.", "no", "ALT"],
    ]


def test_show_says_in_one_line_what_is_missing(toy: Path, tmp_path: Path) -> None:
    for path, words in ((toy / "toy.vcf", "annotate it first"), (tmp_path / "none.vcf", "cannot read")):
        done = run("show.py", path)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr

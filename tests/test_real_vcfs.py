"""The public VCFs, annotated from end to end: nothing lost, nothing else changed, every ALT accounted for.

A tiny random model does: what is proved here does not depend on the scores.
"""

import csv
import gzip
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pysam
import pytest

from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.consequence import find_field
from sbert_vcf.fields import BP_ID, OPTIONAL_IDS, OUR_IDS, PACKED_COLUMNS, SS_ID
from sbert_vcf.genes import Genes
from sbert_vcf.notices import Notices
from sbert_vcf.options import ScoringOptions
from sbert_vcf.strand import Placement, Site, StrandSource
from sbert_vcf.variant import Status, trim, unscorable
from sbert_vcf.vcf_input import VcfInput
from tests.models import write_random_masked_lm, write_random_token_classifier

pytestmark = pytest.mark.real_data

# The consequence field of each file: with STRAND, without it, or none.
FILES = {
    "exac.vep_csq.hg19.vcf.gz": "CSQ+STRAND",
    "split_vep.csq.hg19.vcf.gz": "CSQ+STRAND",
    "gnomad.vep_csq.hg19.vcf.gz": "CSQ+STRAND",
    "freebayes.3samples.chr1.hg19.vcf.gz": "CSQ",
    "gatk.cohort.chr1.hg19.vcf.gz": "CSQ",
    "gvcf.chr1.vcf.gz": "no",
    "1000g.chr6.hg19.vcf.gz": "no",
    "1000g.chr9.genotypes.hg19.vcf.gz": "no",
    "exome.60samples.chr1.hg19.vcf.gz": "CSQ",
    "1000g.multi_alts.chr1.hg19.vcf.gz": "no",
    "de_novo.exome.hg19.vcf.gz": "no",
    "vexseq.hg19.vcf.gz": "no",
    "haplotypes.chr6.hg19.vcf.gz": "no",
    "exome.3samples.hg19.vcf.gz": "no",
    "exome.chrX.vep_csq.hg19.vcf.gz": "CSQ",
}
RUNS = [
    (name, mode) for name, csq in FILES.items() for mode in ("csq", "genes", "both") if mode != "csq" or csq != "no"
]
GENES = "hg19/genes.gtf.gz"
OFF_THE_SEQUENCE = {Status.CONTIG_MISSING.value, Status.CONTIG_END.value, Status.GAP.value}
WITHOUT_SEQUENCE = {Status.SYMBOLIC.value, Status.STAR.value, Status.BREAKEND.value}


@dataclass(frozen=True)
class Line:
    """A record of the output beside the line of the input that it must come from."""

    before: bytes
    after: bytes

    @property
    def columns(self) -> list[str]:
        return self.after.decode().split("\t")

    @property
    def alts(self) -> list[str]:
        alt = self.columns[4]
        return [] if alt == "." else alt.split(",")

    @property
    def ours(self) -> dict[str, str]:
        pairs = (part.partition("=") for part in self.columns[7].split(";"))
        return {key: value for key, _, value in pairs if key in OUR_IDS}

    @property
    def statuses(self) -> list[str]:
        return self.ours["SBERT_STATUS"].split(",") if self.alts else []

    @property
    def without_ours(self) -> bytes:
        columns = self.after.split(b"\t")
        kept = [part for part in columns[7].split(b";") if part.split(b"=")[0].decode() not in OUR_IDS]
        columns[7] = b";".join(kept) or b"."
        return b"\t".join(columns)

    @property
    def packed(self) -> list[dict[str, str]]:
        names = [column.name for column in PACKED_COLUMNS]
        entries = self.ours.get("SBERT", "")
        return [dict(zip(names, entry.split("|"), strict=True)) for entry in entries.split(",") if entry]


class Run(NamedTuple):
    tally: Counter[Status]
    header_before: list[bytes]
    header_after: list[bytes]
    lines: list[Line]


@pytest.fixture(scope="module")
def index(data: Path) -> dict[str, dict[str, str]]:
    with (data / "vcf/INDEX.tsv").open() as table:
        return {row["file"]: row for row in csv.DictReader(table, delimiter="\t")}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model; beside it, as `bp`, a branchpoint model."""
    folder = tmp_path_factory.mktemp("models")
    write_random_token_classifier(folder / "bp", hidden=8, heads=1, layers=1, scale=1)
    return write_random_masked_lm(folder / "tiny", hidden=16, heads=1, layers=1, max_nt=402)


def genes_for(csq: str, mode: str) -> bool:
    """Whether a run needs the GTF: by mode, and for CSQ without STRAND."""
    return mode == "genes" or (mode == "csq" and csq == "CSQ")


def optional_of(name: str, mode: str) -> set[str]:
    """The optional fields of a run: with exons both, with CSQ alone branchpoints, for each of these files has HGVSc."""
    if genes_for(FILES[name], mode):
        return {SS_ID, BP_ID}
    return {BP_ID} if mode == "csq" else set()


def scoring_of(data: Path, fasta: str, csq: str, mode: str, model: Path) -> ScoringOptions:
    return ScoringOptions(
        reference=str(data / fasta),
        genes=str(data / GENES) if genes_for(csq, mode) else None,
        model=str(model),
        branchpoint_model=str(model.with_name("bp")),
        strand=mode,
        device="cpu",
        threads=1,
    )


def split(text: bytes) -> tuple[list[bytes], list[bytes]]:
    """Header lines and records."""
    lines = text.splitlines()
    return [line for line in lines if line.startswith(b"#")], [line for line in lines if not line.startswith(b"#")]


@pytest.fixture(scope="module", params=RUNS, ids=lambda run: f"{run[0].removesuffix('.vcf.gz')}-{run[1]}")
def name_and_run(
    request: pytest.FixtureRequest,
    data: Path,
    index: dict[str, dict[str, str]],
    model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, str, Run]:
    name, mode = request.param
    out = tmp_path_factory.mktemp("out") / "out.vcf"
    options = AnnotateOptions(str(data / "vcf" / name), str(out))
    tally = annotate(options, scoring_of(data, index[name]["fasta"], FILES[name], mode, model))
    header_before, before = split(gzip.decompress((data / "vcf" / name).read_bytes()))
    header_after, after = split(out.read_bytes())
    assert len(after) == len(before)
    return name, mode, Run(tally, header_before, header_after, list(map(Line, before, after)))


def test_the_files_are_those_of_the_index(index: dict[str, dict[str, str]]) -> None:
    assert {name: row["csq"] for name, row in index.items()} == FILES


def test_nothing_is_lost_and_nothing_else_is_changed(
    name_and_run: tuple[str, str, Run], index: dict[str, dict[str, str]]
) -> None:
    name, mode, run = name_and_run
    assert len(run.lines) == int(index[name]["records"])
    assert [line.without_ours for line in run.lines] == [line.before for line in run.lines]
    declared = tuple(f"##INFO=<ID={field},".encode() for field in OUR_IDS)
    theirs = [line for line in run.header_after if not line.startswith((*declared, b"##sbert_vcf"))]
    assert theirs == run.header_before
    written = {
        field for field in OUR_IDS if any(line.startswith(f"##INFO=<ID={field},".encode()) for line in run.header_after)
    }
    assert written == OUR_IDS - OPTIONAL_IDS | optional_of(name, mode)
    assert len(run.header_after) - len(theirs) == len(written) + 2  # two lines of provenance


def test_every_alt_is_accounted_for(name_and_run: tuple[str, str, Run]) -> None:
    _, mode, run = name_and_run
    written: Counter[str] = Counter()
    for line in run.lines:
        written.update(line.statuses or ["NO_ALT"])
        if not line.alts:
            assert line.ours == {}
            continue
        values = line.ours["SBERT_KL"].split(",")
        assert len(line.statuses) == len(values) == len(line.alts)
        for number, (status, value) in enumerate(zip(line.statuses, values, strict=True), 1):
            entries = [entry for entry in line.packed if entry["ALLELE_NUM"] == str(number)]
            assert (status == "OK") == (value != ".") == bool(entries)
            if status != "OK":
                continue
            assert -1381.56 < float(value) < 500
            assert float(value) == max(float(entry["KL"]) for entry in entries)
            assert {entry["Allele"] for entry in entries} == {line.alts[number - 1]}
            if mode == "both":
                assert [entry["STRAND"] for entry in entries] == ["1", "-1"]
    assert written == {status.value: count for status, count in run.tally.items() if count}
    assert sum(written.values()) == sum(max(len(line.alts), 1) for line in run.lines)


def test_fields_are_the_maxima_of_their_packed_parts(name_and_run: tuple[str, str, Run]) -> None:
    name, mode, run = name_and_run
    for line in run.lines:
        for number in range(len(line.alts)):
            entries = [entry for entry in line.packed if entry["ALLELE_NUM"] == str(number + 1)]
            parts = {
                SS_ID: [
                    sum(float(entry[site]) for site in ("KL_DONOR", "KL_ACCEPTOR") if entry[site])
                    for entry in entries
                    if entry["KL_DONOR"] or entry["KL_ACCEPTOR"]
                ],
                BP_ID: [float(entry["BP_LOSS"]) for entry in entries if entry["BP_LOSS"]],
            }
            for field, values in parts.items():
                if field not in optional_of(name, mode):
                    assert values == []
                    continue
                text = line.ours[field].split(",")[number]
                assert (text == ".") == (not values)
                if values:
                    assert float(text) == pytest.approx(max(values), rel=1e-4, abs=1e-8)
            for entry in entries:
                assert bool(entry["BP_LOSS"]) == bool(entry["BP_GAIN"]) == bool(entry["BP_ACCEPTOR"])
                assert not entry["BP_POS"] or -44 <= int(entry["BP_POS"]) <= -18


@pytest.fixture(scope="module")
def exons(data: Path) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """First and last base (1-based) of the exons of each gene of the table, by contig and symbol."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    with gzip.open(data / GENES, "rt") as table:
        for line in table:
            columns = line.split("\t")
            if len(columns) > 2 and columns[2] == "exon":
                symbol = columns[8].split('gene_name "')[1].split('"')[0]
                found.setdefault((columns[0], symbol), []).append((int(columns[3]), int(columns[4])))
    return {gene: sorted(of_gene) for gene, of_gene in found.items()}


def test_sites_are_there_where_the_table_has_them(
    name_and_run: tuple[str, str, Run], exons: dict[tuple[str, str], list[tuple[int, int]]]
) -> None:
    """Every substitution of a base, against the positions of all exons of its gene."""
    _, mode, run = name_and_run
    if mode != "genes":
        return
    for line in run.lines:
        contig, pos, _, ref, alt = line.columns[:5]
        if len(ref) > 1 or alt not in "ACGT":
            continue
        for entry in line.packed:
            of_gene = exons["chr" + contig.removeprefix("chr"), entry["SYMBOL"]]
            plus = entry["STRAND"] == "1"
            acceptors = [start for start, _ in of_gene[1:]] if plus else [end for _, end in of_gene[:-1]]
            upstream = {acceptor: (acceptor - int(pos)) * (1 if plus else -1) for acceptor in acceptors}
            reached = [str(acceptor) for acceptor, distance in upstream.items() if 15 <= distance <= 47]
            assert entry["BP_ACCEPTOR"] in (reached or [""]), line.after[:60]
            index = min(
                range(len(of_gene)), key=lambda at: max(of_gene[at][0] - int(pos), int(pos) - of_gene[at][1], 0)
            )
            left, right = of_gene[index]
            # Both ends border on introns but those of the gene; the window has 201 nt on either side.
            for edge, borders, site in (
                (left, index > 0, "KL_ACCEPTOR" if plus else "KL_DONOR"),
                (right, index < len(of_gene) - 1, "KL_DONOR" if plus else "KL_ACCEPTOR"),
            ):
                distance = abs(int(pos) - edge)
                if not borders or distance < 190 or distance > 210:
                    assert bool(entry[site]) == (borders and distance < 200), line.after[:60]


def test_counts_are_those_of_the_index(
    name_and_run: tuple[str, str, Run], index: dict[str, dict[str, str]], data: Path
) -> None:
    name, mode, run = name_and_run
    row = {key: int(value) for key, value in index[name].items() if value.isdecimal()}
    assert row["ref_match"] == row["records_on_ACGT"]
    assert run.tally[Status.REF_MISMATCH] == 0
    assert sum(len(line.alts) > 1 for line in run.lines) == row["multi_allelic"]
    assert sum(not WITHOUT_SEQUENCE.isdisjoint(line.statuses) for line in run.lines) == row["symbolic_or_star"]
    if mode == "genes":
        assert sum("OK" in line.statuses for line in run.lines) == row["records_on_ACGT_in_genes"]
    with pysam.FastaFile(str(data / index[name]["fasta"])) as fasta:
        known = [_is_known(fasta, line, 0) for line in run.lines]
        assert sum(known) == row["records_on_ACGT"]
        for line in run.lines:
            ref, alts = line.columns[3], line.alts
            if len(ref) == 1 and alts and all(alt in "ACGT" for alt in alts):
                assert OFF_THE_SEQUENCE.isdisjoint(line.statuses) == _is_known(fasta, line, 100), line.after[:60]


def _is_known(fasta: pysam.FastaFile, line: Line, flank: int) -> bool:
    """Whether REF and `flank` bases on either side are A, C, G or T in the FASTA."""
    name, pos, _, ref = line.columns[:4]
    contig = name if name.startswith("chr") else f"chr{name}"
    start, end = int(pos) - 1 - flank, int(pos) - 1 + len(ref) + flank
    if contig not in fasta.references or start < 0 or end > fasta.get_reference_length(contig):
        return False
    return set(fasta.fetch(contig, start, end)) <= set("ACGT")


# Strands: where VEP's CSQ and the gene table both place an ALT, they must agree.

RENAMED = {
    "PUDP": "HDHD1",
    "ANOS1": "KAL1",
    "CFAP47": "CXorf22",
    "PRR32": "CXorf64",
    "SMIM10L2A": "LINC00086",
    "ADGRG4": "GPR112",
}
"""Genes of exome.chrX whose CSQ, without STRAND, has a symbol that the newer gene table no longer knows."""

LONGER_IN_VEP = {
    ("RBBP7", "TXLNG"),
    ("CDKL5", "RS1"),
    ("ZNF81", "ZNF182"),
    ("PDZD11", "KIF4A"),
    ("PIN4", "RPS4X"),
    ("PIN4", "CITED1"),
    ("MORC4", "TBC1D8B"),
    ("STAG2", "TENM1"),
    ("L1CAM", "AVPR2"),
    ("RPL10", "DNASE1L1"),
}
"""(A, B): a transcript of A in VEP reaches into B on the other strand, the table's only one of A does not."""

LATER_IN_THE_TABLE = {("RP5-972B16.2", "DYNLT3"), ("RP5-972B16.2", "SRPX")}
"""(A, B): A lies across B on the other strand in the table (GENCODE 24), and VEP's older release has no A."""


class Compared(NamedTuple):
    file: str
    csq: list[Placement]
    genes: list[Placement]

    @property
    def only_csq(self) -> set[str]:
        return {place.symbol for place in self.csq} - {place.symbol for place in self.genes}

    @property
    def only_genes(self) -> set[str]:
        return {place.symbol for place in self.genes} - {place.symbol for place in self.csq}


@pytest.fixture(scope="module")
def compared(data: Path) -> list[Compared]:
    """Every ALT with bases of the files that have CSQ, wherever it lies: on the FASTA or not."""
    genes = Genes.open(data / GENES)
    by_table = StrandSource("genes", None, genes, Notices())
    found = []
    for name in (name for name, csq in FILES.items() if csq != "no"):
        with VcfInput(str(data / "vcf" / name), Notices()) as vcf:
            field = find_field(vcf.header.info)
            assert field is not None
            assert field.has_strand == (FILES[name] == "CSQ+STRAND")
            by_csq = StrandSource("csq", field, None if field.has_strand else genes, Notices())
            for record in vcf:
                consequences = record.info(field.id)
                site = Site(record.contig, record.start, record.ref, record.alts, consequences)
                for number, alt in enumerate(record.alts):
                    if consequences and not unscorable(record.ref, alt):
                        allele = trim(record.contig, record.start, record.ref, alt)
                        places = (source.placements(site, number, allele) for source in (by_csq, by_table))
                        found.append(Compared(name, *places))
    return found


def test_every_gene_that_both_name_has_one_strand(compared: list[Compared]) -> None:
    agreeing: Counter[str] = Counter()
    for one in compared:
        strands = {place.symbol: place.strand for place in one.csq}
        for place in one.genes:
            if place.symbol in strands:
                assert strands[place.symbol] == place.strand, one
                agreeing[one.file] += 1
    assert agreeing == {
        "split_vep.csq.hg19.vcf.gz": 37,
        "exome.60samples.chr1.hg19.vcf.gz": 825,
        "exome.chrX.vep_csq.hg19.vcf.gz": 630,
    }


def test_strands_of_csq_are_those_of_the_table_but_for_the_named_exceptions(compared: list[Compared]) -> None:
    counts: Counter[str] = Counter()
    for one in compared:
        if not one.genes:
            continue
        by_csq, by_table = ({place.strand for place in places} for places in (one.csq, one.genes))
        if by_csq == by_table:
            counts["same strands"] += 1
        elif not by_csq:
            assert {RENAMED.get(symbol) for symbol in one.only_genes} <= set(RENAMED.values()), one
            counts["renamed"] += 1
        elif by_csq > by_table:
            assert {(a, b.symbol) for a in one.only_csq for b in one.genes} <= LONGER_IN_VEP, one
            counts["longer in VEP"] += 1
        else:
            assert by_table > by_csq, one
            assert {(a, b.symbol) for a in one.only_genes for b in one.csq} <= LATER_IN_THE_TABLE, one
            counts["later in the table"] += 1
    assert counts == {"same strands": 1451, "renamed": 24, "longer in VEP": 18, "later in the table": 3}


def test_renamed_genes_have_their_old_symbol_in_csq(data: Path) -> None:
    text = gzip.decompress((data / "vcf/exome.chrX.vep_csq.hg19.vcf.gz").read_bytes()).decode()
    with gzip.open(data / GENES, "rt") as table:
        known = {line.split('gene_name "')[1].split('"')[0] for line in table if "\tgene\t" in line}
    for new, old in RENAMED.items():
        assert f"|{old}|" in text
        assert f"|{new}|" not in text
        assert new in known
        assert old not in known

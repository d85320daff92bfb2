"""What `bcftools csq` itself writes, for a world of two genes, and what its strands are used for."""

import gzip
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pysam
import pysam.bcftools
import pytest

from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.consequence import find_field
from sbert_vcf.header import Header
from sbert_vcf.variant import Status
from tests.world import World, build_world, info_of, records_of

COMPLEMENT = str.maketrans("ACGT", "TGCA")
EXONS = {"PLUS": [(301, 420), (601, 720), (901, 1020)], "MINUS": [(1501, 1620), (1801, 1920)]}
CODING = {"PLUS": [(331, 420), (601, 720), (901, 990)], "MINUS": [(1531, 1620), (1801, 1890)]}
STRANDS = {"PLUS": "+", "MINUS": "-"}
# Position, ALTs: letters, or the number of bases by which the one there is turned on in ACGT; genotypes.
RECORDS = [
    (310, "1", "0|1"),  # 5' UTR
    (340, "1,2", "1|2"),  # two changes of one codon
    (361, "1", "0|1"),  # compound with the next
    (362, "1", "0|1"),
    (380, "*,1", "1|2"),
    (421, "1,2", "1|2"),  # donor
    (500, "1", "0|1"),  # intron
    (600, "1", "1|0"),  # acceptor
    (1005, "1", "0|1"),  # 3' UTR
    (1200, "1", "0|1"),  # between genes
    (1550, "1,2", "1|2"),
    (1621, "1", "0|1"),
    (1700, "1", "1|0"),
]


class Annotated(NamedTuple):
    """The world, the path of what bcftools has written, and the GFF3 that it was given."""

    world: World
    vcf: Path
    gff3: Path


def coding_sequence(numbers: random.Random, length: int) -> str:
    codons = ["".join(numbers.choices("ACGT", k=3)) for _ in range(length)]
    return "ATG" + "".join(codon for codon in codons if codon not in ("TAA", "TAG", "TGA"))[: length - 6] + "TAA"


def gff3_of(name: str) -> Iterator[str]:
    """An Ensembl gene with one transcript."""
    exons, coding, strand = EXONS[name], CODING[name], STRANDS[name]
    span, low, high = f"{exons[0][0]}\t{exons[-1][1]}", coding[0][0], coding[-1][1]
    ids = f"biotype=protein_coding;Name={name}"
    yield f"chr1\tx\tgene\t{span}\t.\t{strand}\t.\tID=gene:G_{name};{ids};gene_id=G_{name}"
    yield f"chr1\tx\tmRNA\t{span}\t.\t{strand}\t.\tID=transcript:T_{name};Parent=gene:G_{name};{ids}-201"
    parent = f"Parent=transcript:T_{name}"
    ends = ["five_prime_UTR", "three_prime_UTR"][:: 1 if strand == "+" else -1]
    parts = [
        *(("exon", start, end) for start, end in exons),
        (ends[0], exons[0][0], low - 1),
        (ends[1], high + 1, exons[-1][1]),
        *(("CDS", start, end) for start, end in coding),  # of lengths that are whole codons
    ]
    for kind, start, end in parts:
        yield f"chr1\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t{0 if kind == 'CDS' else '.'}\t{parent}"


@pytest.fixture(scope="module", params=["haplotypes", "local"])
def annotated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Annotated:
    folder = tmp_path_factory.mktemp("csq")
    world = build_world(folder)
    numbers = random.Random(5)
    bases = list(world.bases["chr1"])
    for name, parts in CODING.items():
        length = sum(end - start + 1 for start, end in parts)
        sequence = coding_sequence(numbers, length)
        if STRANDS[name] == "-":
            sequence = sequence[::-1].translate(COMPLEMENT)
        for start, end in parts:
            bases[start - 1 : end] = sequence[: end - start + 1]
            sequence = sequence[end - start + 1 :]
    world.bases["chr1"] = "".join(bases)
    world.fasta.write_text("".join(f">{name}\n{text}\n" for name, text in world.bases.items()))
    pysam.faidx(str(world.fasta))
    gff3 = folder / "genes.gff3"
    gff3.write_text("".join(f"{line}\n" for line in ("##gff-version 3", *gff3_of("PLUS"), *gff3_of("MINUS"))))
    plain = folder / "plain.vcf"
    with plain.open("w") as out:
        out.write("##fileformat=VCFv4.2\n##contig=<ID=chr1>\n")
        out.write('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n')
        out.write("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\n")
        for pos, alts, genotype in RECORDS:
            ref = world.base("chr1", pos)
            letters = [alt if alt == "*" else "ACGT"[("ACGT".index(ref) + int(alt)) % 4] for alt in alts.split(",")]
            out.write(f"chr1\t{pos}\t.\t{ref}\t{','.join(letters)}\t.\t.\t.\tGT\t{genotype}\n")
    local = ["--local-csq"] if request.param == "local" else []
    text = pysam.bcftools.csq("-f", str(world.fasta), "-g", str(gff3), "-p", "a", *local, str(plain))
    assert isinstance(text, str)
    vcf = folder / "csq.vcf"
    vcf.write_text(text)
    return Annotated(world, vcf, gff3)


def packed(path: Path) -> dict[int, list[list[str]]]:
    """For each record the ALLELE_NUM, symbol, strand, source and consequence of its entries."""
    rows = {}
    for line in records_of(path.read_text()):
        entries = [entry.split("|") for entry in info_of(line).get("SBERT", "").split(",") if entry]
        rows[int(line.split("\t")[1])] = [[entry[at] for at in (1, 3, 6, 7, 2)] for entry in entries]
    return rows


def test_the_field_is_found(annotated: Annotated) -> None:
    field = find_field(Header(annotated.vcf.read_text().split("\n")).info)
    assert field is not None
    assert field.id == "BCSQ"
    assert field.leaves_out_strands


def test_strands_of_bcftools_csq(annotated: Annotated, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    output = tmp_path / "out.vcf"
    tally = annotate(AnnotateOptions(str(annotated.vcf), str(output)), annotated.world.scoring(strand="auto"))
    rows = packed(output)
    assert rows[340][0][:4] == ["1", "PLUS", "1", "BCSQ"]
    assert rows[340][-1][:4] == ["2", "PLUS", "1", "BCSQ"]
    assert [row[:4] for row in rows[1550]] == [[number, "MINUS", "-1", "BCSQ"] for number in "12"]
    assert rows[380] == [["2", "PLUS", "1", "BCSQ", rows[380][0][4]]]
    both = [["1", "PLUS", "1", "both", "splice_donor"], ["1", "PLUS", "-1", "both", "splice_donor"]]
    assert rows[421] == both + [["2", *row[1:]] for row in both]
    assert [row[1:4] for row in rows[1700]] == [["MINUS", "1", "both"], ["MINUS", "-1", "both"]]
    assert rows[1200] == []
    pointer = [row for row in rows[362] if row[4].startswith("@")]
    assert bool(pointer) == ("haplotypes" in request.node.name)
    assert tally == {Status.OK: 15, Status.NO_GENE: 1, Status.STAR: 1}


def test_with_genes_every_strand_is_that_of_the_gene(annotated: Annotated, tmp_path: Path) -> None:
    output = tmp_path / "out.vcf"
    scoring = annotated.world.scoring(strand="auto")
    annotate(AnnotateOptions(str(annotated.vcf), str(output)), replace(scoring, genes=str(annotated.gff3)))
    rows = packed(output)
    assert rows.pop(1200) == []
    for pos, entries in rows.items():
        expected = ("PLUS", "1") if pos < 1100 else ("MINUS", "-1")
        assert {(symbol, strand) for _, symbol, strand, _, _ in entries} == {expected}
        assert {source for _, _, _, source, _ in entries} <= {"BCSQ", "BCSQ+GTF", "GTF"}


@pytest.mark.real_data
def test_strands_of_bcftools_and_of_vep_agree(data: Path) -> None:
    ours = (data / "vcf" / "odd" / "bcftools.split-vep.4.vcf").read_text()
    vep = gzip.decompress((data / "vcf" / "split_vep.csq.hg19.vcf.gz").read_bytes()).decode()
    strands: dict[str, dict[str, set[str]]] = {}
    for text in (ours, vep):
        field = find_field(Header([line for line in text.split("\n") if line.startswith("#")]).info)
        assert field is not None
        found = strands.setdefault(field.id, {})
        for line in records_of(text):
            for entry in field.entries(info_of(line).get(field.id, "")):
                if entry.symbol and entry.strand:
                    found.setdefault(entry.symbol, set()).add(entry.strand)
    assert {symbol: strands["CSQ"][symbol] for symbol in strands["BCSQ"]} == strands["BCSQ"] == {"OR4F5": {"+"}}

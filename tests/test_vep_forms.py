"""CSQ, ANN and BCSQ in the forms in which programs write them: from header and record to the genes of each ALT."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from sbert_model.annotation import Transcript
from sbert_vcf.consequence import find_field
from sbert_vcf.genes import Genes
from sbert_vcf.genes_columns import GeneColumns
from sbert_vcf.notices import LOGGER, Notices
from sbert_vcf.strand import Placement, Site, StrandSource
from sbert_vcf.variant import trim, unscorable
from sbert_vcf.vcf_input import VcfInput
from tests.world import vcf_text

VEP = "Consequence annotations from Ensembl VEP. Format: "
# Release 110 with --symbol.
FULL = (
    "Allele|Consequence|IMPACT|SYMBOL|Gene|Feature_type|Feature|BIOTYPE|EXON|INTRON|HGVSc|HGVSp|cDNA_position|"
    "CDS_position|Protein_position|Amino_acids|Codons|Existing_variation|DISTANCE|STRAND|FLAGS|SYMBOL_SOURCE|HGNC_ID"
)
SNPEFF = (
    "Functional annotations: 'Allele | Annotation | Annotation_Impact | Gene_Name | Gene_ID | Feature_Type | "
    "Feature_ID | Transcript_BioType | Rank | HGVS.c | HGVS.p | cDNA.pos / cDNA.length | CDS.pos / CDS.length | "
    "AA.pos / AA.length | Distance | ERRORS / WARNINGS / INFO'"
)
BCSQ = (
    "Haplotype-aware consequence annotation from BCFtools/csq, see http://samtools.github.io/bcftools/howtos/"
    "csq-calling.html for details. Format: Consequence|gene|transcript|biotype|strand|amino_acid_change|dna_change"
)
POS = 1000


def transcript(name: str, gene: str, start: int, end: int, strand: str, symbol: str) -> Transcript:
    return Transcript("chr1", start, end, strand, name, gene, symbol, ((start, end),))


GENES = Genes(
    Path("genes.gtf"),
    GeneColumns.from_transcripts(
        (transcript("ENST1", "ENSG1", 900, 1100, "+", "ABC"), transcript("ENST2", "ENSG2", 1900, 2100, "-", "XYZ"))
    ),
)


@pytest.fixture(autouse=True)
def warnings_reach_caplog(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The command line, where an earlier test ran it, keeps them to itself."""
    monkeypatch.setattr(LOGGER, "propagate", True)
    caplog.set_level(logging.WARNING, logger=LOGGER.name)


def declared(subfields: str, info_id: str = "CSQ", program: str = VEP) -> str:
    return f'##INFO=<ID={info_id},Number=.,Type=String,Description="{program}{subfields}">'


def placed(
    tmp_path: Path,
    declarations: Sequence[str],
    info: str,
    ref: str = "A",
    alt: str = "T",
    *,
    genes: Genes | None = None,
    csq_field: str | None = None,
    mode: str = "auto",
) -> list[list[Placement]]:
    """Read a file of one record and return the placements of each of its ALTs; [] for one that has no score."""
    path = tmp_path / "in.vcf"
    record = f"chr1\t{POS}\t.\t{ref}\t{alt}\t.\t.\t{info}"
    path.write_bytes(vcf_text([record], extra=declarations).encode("utf-8", "surrogateescape"))
    with VcfInput(str(path), Notices()) as vcf:
        field = find_field(vcf.header.info, csq_field)
        source = StrandSource(mode, field, genes, Notices())
        [read] = vcf
        site = Site(read.contig, read.start, read.ref, read.alts, read.info(field.id) if field else "")
        return [
            []
            if unscorable(ref, letters)
            else source.placements(site, index, trim(read.contig, read.start, ref, letters))
            for index, letters in enumerate(read.alts)
        ]


def genes_and_strands(placements: list[list[Placement]]) -> list[str]:
    """One text per ALT, for tables: `ABC+`, or `ABC+ XYZ-` on two genes."""
    return [
        " ".join(f"{place.symbol or place.gene or place.feature}{place.strand}" for place in places)
        for places in placements
    ]


def entry(
    allele: str = "T", consequence: str = "intron_variant", symbol: str = "ABC", gene: str = "ENSG1",
    feature: str = "ENST1", strand: str = "1", kind: str = "Transcript",
) -> str:  # fmt: skip
    """An entry of `FULL`."""
    values = {
        "Allele": allele,
        "Consequence": consequence,
        "IMPACT": "MODIFIER",
        "SYMBOL": symbol,
        "Gene": gene,
        "Feature_type": kind,
        "Feature": feature,
        "INTRON": "2/5",
        "STRAND": strand,
    }
    return "|".join(values.get(name, "") for name in FULL.split("|"))


def other(allele: str = "T", strand: str = "-1") -> str:
    return entry(allele, "missense_variant", "XYZ", "ENSG2", "ENST2", strand)


@pytest.mark.parametrize(
    ("subfields", "value", "expected"),
    [
        # Every order and every subset that --fields may name.
        ("STRAND|Feature|Gene|SYMBOL|Consequence|Allele", "-1|ENST1|ENSG1|ABC|intron_variant|T", "ABC-"),
        ("Allele|Consequence|Gene|Feature|STRAND", "T|intron_variant|ENSG1|ENST1|1", "ENSG1+"),
        ("Allele|Consequence|SYMBOL|Feature|STRAND", "T|intron_variant|ABC|ENST1|1", "ABC+"),
        ("Allele|Consequence|SYMBOL|Gene|STRAND", "T|intron_variant|ABC|ENSG1|1", "ABC+"),
        ("Allele|Consequence|Feature|STRAND", "T|intron_variant|ENST1|-1,T|intron_variant|ENST3|1", "ENST1- ENST3+"),
        ("Allele|Consequence|STRAND", "T|intron_variant|-1,T|intron_variant|-1", "-"),
        ("Consequence|STRAND|SYMBOL", "intron_variant|1|ABC", "ABC+"),  # without Allele
        # Flags of picking: the picked transcript stands for its gene, entries that are not picked count as well.
        (
            "Allele|Consequence|SYMBOL|Feature|STRAND|PICK",
            "T|intron_variant|ABC|ENST1|1|,T|missense_variant|ABC|ENST9|1|1,T|intron_variant|XYZ|ENST2|-1|",
            "ABC+ XYZ-",
        ),
        # Lists inside a subfield, and what VEP writes for `,`, `;`, `|` and blanks.
        (
            "Allele|Consequence|SYMBOL|STRAND|FLAGS|CLIN_SIG|DOMAINS",
            "T|splice_region_variant&intron_variant&NMD_transcript_variant|ABC|-1|cds_start_NF&cds_end_NF|benign%3B_x&y|a&b",
            "ABC-",
        ),
        # Subfields of plugins behind those that are read; a value that ends early; one that goes on.
        ("Allele|Consequence|SYMBOL|STRAND|CADD_PHRED|am_class(x)", "T|intron_variant|ABC|1|23.1|", "ABC+"),
        ("Allele|Consequence|SYMBOL|STRAND|SIFT|PolyPhen", "T|intron_variant|ABC|1", "ABC+"),
        ("Allele|Consequence|SYMBOL|STRAND", "T|intron_variant|ABC|1|more|and more", "ABC+"),
    ],
)
def test_layouts(tmp_path: Path, caplog: pytest.LogCaptureFixture, subfields: str, value: str, expected: str) -> None:
    placements = placed(tmp_path, [declared(subfields)], f"DP=3;CSQ={value};FLAG")
    assert genes_and_strands(placements) == [expected]
    assert {place.source for place in placements[0]} == {"CSQ"}
    assert caplog.messages == []


def test_the_picked_transcript_is_the_one_that_is_named(tmp_path: Path) -> None:
    layout = declared("Allele|Consequence|SYMBOL|Feature|STRAND|PICK")
    value = "T|intron_variant|ABC|ENST1|1|,T|missense_variant|ABC|ENST9|1|1"
    [[place]] = placed(tmp_path, [layout], f"CSQ={value}")
    assert (place.feature, place.consequence) == ("ENST9", "missense_variant")


@pytest.mark.parametrize(
    ("ref", "alt", "alleles", "expected"),
    [
        ("A", "T", "T", ["ABC+"]),
        # One ALT: insertions, deletions and replacements lose the first base if they share it.
        ("A", "AT", "T", ["ABC+"]),
        ("AT", "A", "-", ["ABC+"]),
        ("ATT", "AC", "C", ["ABC+"]),
        ("ATT", "CA", "CA", ["ABC+"]),
        ("AT", "GC", "GC", ["ABC+"]),
        # Several ALTs: all of them lose it, or none.
        ("A", "T,C", "T C", ["ABC+", "XYZ-"]),
        ("AT", "A,ATT", "- TT", ["ABC+", "XYZ-"]),
        ("AT", "A,GT", "A GT", ["ABC+", "XYZ-"]),
        ("ATT", "A,AT", "- T", ["ABC+", "XYZ-"]),
        ("AT", "A,AG", "- G", ["ABC+", "XYZ-"]),
        # `*` has no entries and counts for nothing; <*> and <NON_REF> of gVCFs neither.
        ("AT", "A,*", "-", ["ABC+", ""]),
        ("A", "*,T", "T", ["", "ABC+"]),
        ("AT", "A,<*>", "-", ["ABC+", ""]),
        ("A", "T,<NON_REF>", "T", ["ABC+", ""]),
        # A symbolic ALT is named by its kind.
        ("A", "<DEL>,T", "deletion T", ["", "XYZ-"]),
        ("A", "T,<DUP:TANDEM>", "T tandem_duplication", ["ABC+", ""]),
        # --minimal: each ALT is trimmed from both ends.
        ("ATG", "AG,ATCG", "- C", ["ABC+", "XYZ-"]),
        ("CATG", "CAG,TATG", "- T", ["ABC+", "XYZ-"]),
        # SnpEff leaves alleles as they are.
        ("AT", "A,ATT", "A ATT", ["ABC+", "XYZ-"]),
        # VEP writes upper case.
        ("at", "a,att", "- TT", ["ABC+", "XYZ-"]),
    ],
)
def test_alleles(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ref: str, alt: str, alleles: str, expected: list[str]
) -> None:
    first, *second = alleles.split()
    value = ",".join([entry(first), *(other(allele) for allele in second)])
    assert genes_and_strands(placed(tmp_path, [declared(FULL)], f"CSQ={value}", ref, alt)) == expected
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("ref", "alt", "alleles", "expected"),
    [
        # --minimal: CAG>CG is A>-, CAG>C is AG>-.
        ("CAG", "CG,C,CTG", ["-", "-", "T"], [2, 2, 1]),
        ("A", "C,G", ["T"], [1, 1]),  # an allele of neither
        ("A", "C,G", [""], [1, 1]),  # --fields without Allele
    ],
)
def test_alts_that_no_allele_tells_apart_share_their_entries(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ref: str, alt: str, alleles: list[str], expected: list[int]
) -> None:
    value = ",".join(entry(allele, symbol=f"GENE{number}") for number, allele in enumerate(alleles))
    assert [len(places) for places in placed(tmp_path, [declared(FULL)], f"CSQ={value}", ref, alt)] == expected
    assert caplog.messages == [
        "INFO CSQ does not tell the ALTs of some records apart (first: chr1:1000): they share its entries; VEP "
        "--allele_number would tell, or bcftools norm -m- before it was made"
    ]


def test_allele_num_tells_apart_what_alleles_do_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layout = declared("Allele|Consequence|SYMBOL|STRAND|ALLELE_NUM|MINIMISED")
    value = "-|intron_variant|ABC|1|1|1,-|frameshift_variant|XYZ|-1|2|1"
    assert genes_and_strands(placed(tmp_path, [layout], f"CSQ={value}", "CAG", "CG,C")) == ["ABC+", "XYZ-"]
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("genes", "expected", "messages"),
    [
        (GENES, [["ABC+", "CSQ"], ["ABC+", "GTF"]], 0),
        (None, [["ABC+", "CSQ"], ["", ""]], 1),
    ],
)
def test_pick_leaves_the_other_alts_to_genes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, genes: Genes | None, expected: list[list[str]], messages: int
) -> None:
    placements = placed(tmp_path, [declared(FULL)], f"CSQ={entry('T')}", "A", "T,C", genes=genes)
    sources = ["".join(place.source for place in alt) for alt in placements]
    assert [list(pair) for pair in zip(genes_and_strands(placements), sources, strict=True)] == expected
    assert len(caplog.messages) == messages
    if messages:
        assert caplog.messages[0].startswith("ALTs without an entry in INFO CSQ (first: chr1:1000 C) get NO_GENE")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (entry(consequence="intergenic_variant", symbol="", gene="", feature="", strand="", kind=""), ""),
        (
            entry(
                consequence="regulatory_region_variant", symbol="", gene="", feature="ENSR1", kind="RegulatoryFeature"
            ),
            "",
        ),
        (entry(consequence="TF_binding_site_variant", symbol="", gene="", feature="ENSM1", kind="MotifFeature"), ""),
        (f"{entry(consequence='TFBS_ablation&TF_binding_site_variant', symbol='', strand='-1')},{entry()}", "ABC+"),
        (f"{entry(consequence='upstream_gene_variant', symbol='UP')},{other()}", "XYZ-"),
        # One symbol on both strands (readthrough, duplicates): both count.
        (f"{entry(feature='ENST1')},{entry(feature='ENST3', strand='-1')}", "ABC+ ABC-"),
        # A merged cache: Ensembl and RefSeq transcripts of one gene have its symbol in common.
        (
            f"{entry()},{entry(gene='672', feature='NM_007294.4')},{entry(symbol='', gene='672', feature='XM_1')}",
            "ABC+ 672+",
        ),
    ],
)
def test_what_entries_count(tmp_path: Path, value: str, expected: str) -> None:
    assert genes_and_strands(placed(tmp_path, [declared(FULL)], f"CSQ={value}")) == [expected]


@pytest.mark.parametrize(
    "line",
    [
        declared(FULL),
        declared(FULL, "ANN"),  # --vcf_info_field ANN: SnpEff's name, VEP's form
        declared(FULL, "vep"),
        declared(FULL, "my.csq_1"),
        f'##INFO=<Number=.,Type=String,ID=CSQ,Description="{VEP}{FULL}">',
        f'##INFO=<ID=CSQ,Number=.,Type=String,Description="{VEP}{FULL}",Source="ensembl-vep",Version="110">',
        f'##INFO=<ID=CSQ,Number=.,Type=String,Description="Größe – 変異; {VEP}{FULL}">',
        f'##INFO=<ID=CSQ,Number=.,Type=String,Description="100%25 of %22it%22, {VEP}{FULL}">',
        f'##INFO=<ID=CSQ,Number=.,Type=String,Description="A \\"quoted\\" word. {VEP}\\"{FULL}\\"">',
        f'##INFO=<ID=CSQ,Number=.,Type=String,Description="\udcff\udcfe {VEP}{FULL}">',  # no UTF-8
        declared(FULL) + "\r",
    ],
)
def test_headers(tmp_path: Path, line: str) -> None:
    info_id = line.split("ID=")[1].split(",")[0]
    [[place]] = placed(tmp_path, [line], f"{info_id}={entry()}")
    assert place == Placement("+", info_id, "intron_variant", "ABC", "ENSG1", "ENST1")


def test_a_field_that_is_declared_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """VEP --keep_csq leaves the older field in the header and in the records, before the newer one."""
    old, new = declared("Allele|Consequence|SYMBOL|STRAND"), declared("Allele|SYMBOL|Consequence|STRAND")
    values = "CSQ=T|intron_variant|ABC|1;CSQ=T|XYZ|intron_variant|-1"
    assert genes_and_strands(placed(tmp_path, [old, new], values)) == ["ABC+"]
    assert caplog.messages == [
        "INFO CSQ is declared more than once, with different subfields: the first declaration counts, and the first "
        "value of a record"
    ]
    caplog.clear()
    assert genes_and_strands(placed(tmp_path, [old, old], values)) == ["ABC+"]
    assert caplog.messages == []


def test_both_vep_and_snpeff(tmp_path: Path) -> None:
    lines = [declared(SNPEFF, "ANN", ""), declared(FULL)]
    info = f"ANN=T|intron_variant|LOW|OTHER|G9|transcript|T9|||||||||;CSQ={entry()}"
    assert genes_and_strands(placed(tmp_path, lines, info)) == ["ABC+"]
    [[place]] = placed(tmp_path, lines, info.replace("OTHER", "ABC"), csq_field="ANN", genes=GENES)
    assert (place.symbol, place.source) == ("ABC", "ANN+GTF")


BOTH = [Placement("+", "both"), Placement("-", "both")]


@pytest.mark.parametrize("value", ["T", "T||", "", ".", "1,2", "||||||||", ",", "|"])
def test_a_value_that_names_no_consequence_counts_as_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    assert placed(tmp_path, [declared(FULL)], f"CSQ={value}") == [BOTH]
    malformed = [message for message in caplog.messages if "without a Consequence" in message]
    assert len(malformed) == (value not in ("", "."))
    assert caplog.messages[-1].startswith("records without INFO CSQ (first: chr1:1000) are scored on both strands")
    assert genes_and_strands(placed(tmp_path, [declared(FULL)], f"CSQ={value}", genes=GENES)) == ["ABC+"]


def test_a_flag_in_place_of_the_field(tmp_path: Path) -> None:
    assert placed(tmp_path, [declared(FULL)], "CSQ;DP=1") == [BOTH]


def test_most_severe_names_no_transcript(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    value = entry(consequence="splice_donor_variant", symbol="", gene="", feature="", strand="", kind="")
    [places] = placed(tmp_path, [declared(FULL)], f"CSQ={value}")
    assert [(place.strand, place.source, place.consequence) for place in places] == [
        ("+", "both", "splice_donor_variant"),
        ("-", "both", "splice_donor_variant"),
    ]
    assert caplog.messages == [
        "genes whose strand INFO CSQ does not tell (first: chr1:1000) are scored on both strands; --genes would tell"
    ]
    assert genes_and_strands(placed(tmp_path, [declared(FULL)], f"CSQ={value}", genes=GENES)) == ["ABC+"]
    outside = value.replace("splice_donor_variant", "intergenic_variant")
    assert placed(tmp_path, [declared(FULL)], f"CSQ={outside}") == [[]]


def ann(
    allele: str = "T", consequence: str = "intron_variant", gene: str = "ABC ENSG1 ENST1.5", notes: str = ""
) -> str:
    """An entry of SnpEff; gene: name, ID and feature."""
    return "|".join([allele, consequence, "LOW", *gene.split()[:2], "transcript", *gene.split()[2:], *[""] * 8, notes])


SECOND = "XYZ ENSG2 ENST2"


@pytest.mark.parametrize(
    ("value", "alt", "expected"),
    [
        (ann(consequence="missense_variant&splice_region_variant"), "T", ["ABC+"]),
        (ann(gene=SECOND, notes="WARNING_TRANSCRIPT_NO_START_CODON"), "T", ["XYZ-"]),
        (ann(gene=SECOND, notes="ERROR_OUT_OF_CHROMOSOME_RANGE&INFO_REALIGN_3_PRIME"), "T", ["XYZ-"]),
        (ann(consequence="intergenic_region", gene="ABC-XYZ ENSG1-ENSG2 ENSG1-ENSG2"), "T", ["ABC+"]),
        (ann(consequence="upstream_gene_variant", gene=SECOND), "T", ["ABC+"]),
        # A fusion names two genes, which no annotation knows under one name: the position tells.
        (ann(consequence="gene_fusion", gene="ABC&XYZ ENSG1&ENSG2 ENSG1&ENSG2"), "T", ["ABC+"]),
        # A tumour's T where the germline has C; T together with another variant of the haplotype.
        (f"{ann('C')},{ann('T-C', gene=SECOND)}", "C,T", ["ABC+", "XYZ-"]),
        (f"{ann('C')},{ann('T-chr1:1003_A>G', gene=SECOND)}", "C,T", ["ABC+", "XYZ-"]),
    ],
)
def test_snpeff(tmp_path: Path, value: str, alt: str, expected: list[str]) -> None:
    placements = placed(tmp_path, [declared(SNPEFF, "ANN", "")], f"ANN={value}", alt=alt, genes=GENES)
    assert genes_and_strands(placements) == expected


def test_snpeff_without_genes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    value = "T|intron_variant|MODIFIER|ABC|ENSG1|transcript|ENST1|||||||||"
    assert placed(tmp_path, [declared(SNPEFF, "ANN", "")], f"ANN={value}") == [BOTH]
    assert caplog.messages[0] == "INFO ANN has no STRAND subfield: it tells no strand without --genes"


MISSENSE = "missense|ABC|ENST1|protein_coding|+|4D>4Y|1000A>T"
ON_XYZ = "missense|XYZ|ENST2|protein_coding|-|54H>54L|1000A>G"
NO_STRAND = "splice_region|ABC|ENST1|protein_coding"


@pytest.mark.parametrize(
    ("value", "alt", "expected"),
    [
        (MISSENSE, "T", ["ABC+ missense BCSQ"]),
        (ON_XYZ, "G", ["XYZ- missense BCSQ"]),
        (f"*{MISSENSE}", "T", ["ABC+ *missense BCSQ"]),  # behind a stop codon on its haplotype
        (MISSENSE.replace("1000A>T", "990C>CA+1000A>T"), "T", ["ABC+ missense BCSQ"]),
        # No strand, but another entry of the gene has it.
        (f"{NO_STRAND},{MISSENSE.replace('1000', '999')}", "T", ["ABC+ splice_region BCSQ"]),
        # Not even that: both strands.
        (NO_STRAND, "T", ["ABC+ splice_region both ABC- splice_region both"]),
        ("intron|ABC||protein_coding", "T", ["ABC+ intron both ABC- intron both"]),
        (f"intron|XYZ||protein_coding,{MISSENSE}", "T", ["ABC+ missense BCSQ XYZ+ intron both XYZ- intron both"]),
        # Entries that stand in another record.
        ("@990", "T", ["+ @990 both - @990 both"]),
        (f"@990,{MISSENSE}", "T", ["ABC+ missense BCSQ"]),
        # Several ALTs: dna_change tells which; entries without it count for all, behind the others.
        (f"{MISSENSE},{ON_XYZ}", "T,G", ["ABC+ missense BCSQ", "XYZ- missense BCSQ"]),
        (f"{NO_STRAND},{MISSENSE}", "T,G", ["ABC+ missense BCSQ", "ABC+ splice_region BCSQ"]),
        # Of a compound change only the part at this record counts, though another has the letters of the other ALT.
        (f"{MISSENSE}+1002A>G", "T,G", ["ABC+ missense BCSQ", "ABC+ . BCSQ"]),
        # `bcftools csq -s -` looks at the first ALT only: the gene is that of the others too.
        (MISSENSE, "T,C", ["ABC+ missense BCSQ", "ABC+ . BCSQ"]),
    ],
)
def test_bcftools_csq(tmp_path: Path, value: str, alt: str, expected: list[str]) -> None:
    placements = placed(tmp_path, [declared(BCSQ, "BCSQ", "")], f"BCSQ={value}", alt=alt)
    texts = [
        " ".join(f"{place.symbol}{place.strand} {place.consequence} {place.source}" for place in places)
        for places in placements
    ]
    assert texts == expected


def test_bcftools_csq_with_genes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    line = declared(BCSQ, "OTHER", "")  # --custom-tag
    for value, expected in [
        ("intron|XYZ||protein_coding", "XYZ- OTHER+GTF"),
        ("splice_donor|NEW|ENST2.4|protein_coding", "NEW- OTHER+GTF"),
        ("intron|NEW||protein_coding", "ABC+ GTF"),
        ("@990", "ABC+ GTF"),
        (MISSENSE, "ABC+ OTHER"),
    ]:
        [[place]] = placed(tmp_path, [line], f"OTHER={value}", genes=GENES)
        assert f"{place.symbol}{place.strand} {place.source}" == expected
    assert caplog.messages == []


def test_a_record_without_bcsq_lies_outside_genes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert placed(tmp_path, [declared(BCSQ, "BCSQ", "")], "DP=1") == [[]]
    assert caplog.messages == ["records without INFO BCSQ (first: chr1:1000) get NO_GENE"]
    assert genes_and_strands(placed(tmp_path, [declared(BCSQ, "BCSQ", "")], "DP=1", genes=GENES)) == ["ABC+"]


def test_strand_csq_scores_nothing_whose_strand_it_does_not_tell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = declared(BCSQ, "BCSQ", "")
    assert placed(tmp_path, [line], "BCSQ=intron|ABC||protein_coding", mode="csq") == [[]]
    assert caplog.messages == ["genes whose strand INFO BCSQ does not tell (first: chr1:1000) get NO_GENE"]


def test_vep_goes_before_bcftools_csq_unless_it_lacks_strand(tmp_path: Path) -> None:
    bcsq = declared(BCSQ, "BCSQ", "")
    info = f"BCSQ={MISSENSE.replace('ABC', 'B')};CSQ={entry()}"
    assert genes_and_strands(placed(tmp_path, [bcsq, declared(FULL)], info)) == ["ABC+"]
    assert genes_and_strands(placed(tmp_path, [bcsq, declared(FULL.replace("STRAND", "NONE"))], info)) == ["B+"]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "info_id", "expected"),
    [
        ("exac.vep_csq.hg19.vcf.gz", "CSQ", {"+CSQ": 119, "-CSQ": 28, "": 1}),
        ("split_vep.csq.hg19.vcf.gz", "CSQ", {"+CSQ": 289, "-CSQ": 313, "+CSQ -CSQ": 130, "": 86}),
        ("exome.60samples.chr1.hg19.vcf.gz", "CSQ", {"+both -both": 879}),  # neither STRAND nor Allele
        ("gnomad.vep_csq.hg19.vcf.gz", "CSQ", {"+both -both": 127}),  # declared, but no record has it
        ("gatk.cohort.chr1.hg19.vcf.gz", "CSQ", {"+both -both": 115}),  # declares ANN as well
        ("odd/bcftools.split-vep.4.vcf", "BCSQ", {"+BCSQ": 14, "+both -both": 89, "": 20}),
        ("odd/gemini.test.dashes.vcf", "CSQ", {"+both -both": 15}),
        ("odd/vatools.input.multiallelic.vcf.gz", "CSQ", {"-CSQ": 2}),
        ("odd/vatools.complex_indel.readcount.vcf.gz", "CSQ", {"+both -both": 2}),
        (
            "odd/vatools.vep_annotation_reporter_input.variants_without_csq.vcf.gz",
            "CSQ",
            {"-CSQ": 2, "+both -both": 1},
        ),
    ],
)
def test_public_files(data: Path, name: str, info_id: str, expected: dict[str, int]) -> None:
    """How many ALTs have which strands and sources, without an annotation."""
    found: Counter[str] = Counter()
    with VcfInput(str(data / "vcf" / name), Notices()) as vcf:
        field = find_field(vcf.header.info)
        assert field is not None
        assert field.id == info_id
        source = StrandSource("auto", field, None, Notices())
        for record in vcf:
            site = Site(record.contig, record.start, record.ref, record.alts, record.info(field.id))
            for index, alt in enumerate(record.alts):
                if unscorable(record.ref, alt) is None:
                    allele = trim(record.contig, record.start, record.ref, alt)
                    placements = source.placements(site, index, allele)
                    found[" ".join(sorted({place.strand + place.source for place in placements}))] += 1
    assert found == expected

"""CSQ and ANN: the layout that the header declares, entries, and which ALT an entry is about."""

import gzip
import re
from pathlib import Path

import pytest

from sbert_model.errors import InputError
from sbert_vcf.consequence import ConsequenceField, InfoDeclaration, find_field, subfields_of
from sbert_vcf.consequence_entries import Entry, entries_of_alt

VEP = "Consequence annotations from Ensembl VEP. Format: Allele|Consequence|SYMBOL|Gene|Feature|STRAND"
NAMES = ["Allele", "Consequence", "SYMBOL", "Gene", "Feature", "STRAND"]
SNPEFF = (
    "Functional annotations: 'Allele | Annotation | Annotation_Impact | Gene_Name | Gene_ID | Feature_Type | "
    "Feature_ID | Transcript_BioType | Rank | HGVS.c | HGVS.p | cDNA.pos / cDNA.length | Distance | ERRORS / INFO' "
)


@pytest.mark.parametrize(
    "description",
    [
        VEP,
        f"{VEP}.",
        f"{VEP}. Made on Monday",
        f"{VEP} (see the documentation)",
        VEP.replace("Format:", "Format:  "),
        VEP.replace("Format: ", "format:"),
        VEP.replace("Format: ", "Format: '") + "'",
        VEP.replace("Format: ", 'Format: \\"') + '\\"',
        VEP.replace("Format: ", "Format: [") + "]. More",
        VEP.replace("Format: ", "Format: (") + ")",
        f'{VEP}",Source="ensembl",Version="110',
        VEP.replace("|", " | "),
        "Entries are in the usual format: one per transcript. " + VEP,
        "'" + "|".join(NAMES) + "'",
    ],
)
def test_subfields_in_every_form_of_description(description: str) -> None:
    assert subfields_of(description) == NAMES


def test_subfields_of_plugins_may_have_brackets_and_dots() -> None:
    names = ["Allele", "pos(1-based)", "gnomAD2.1_AF", "GERP++_RS", "STRAND"]
    assert subfields_of("Format: " + "|".join(names)) == names


def test_subfields_of_snpeff() -> None:
    names = subfields_of(SNPEFF)
    assert len(names) == 14
    assert names[:5] == ["Allele", "Annotation", "Annotation_Impact", "Gene_Name", "Gene_ID"]
    assert names[11:13] == ["cDNA.pos / cDNA.length", "Distance"]


@pytest.mark.parametrize("description", ["", "Depth", "Format: Allele", "A|B", "See the format: there is none"])
def test_a_description_without_subfields(description: str) -> None:
    assert subfields_of(description) == []


def test_find_field_by_its_name_by_vep_and_by_strand() -> None:
    depth = InfoDeclaration("DP", "Depth")
    csq, ann = InfoDeclaration("CSQ", VEP), InfoDeclaration("ANN", SNPEFF)
    without_strand = InfoDeclaration("CSQ", VEP.replace("|STRAND", ""))
    renamed = InfoDeclaration("EFFECTS", VEP)
    for declarations, expected in [
        ([depth], None),
        ([], None),
        ([depth, csq], "CSQ"),
        ([ann], "ANN"),
        ([ann, csq], "CSQ"),
        ([ann, without_strand], "CSQ"),
        ([without_strand, renamed], "EFFECTS"),
        ([renamed, csq], "CSQ"),
        ([InfoDeclaration("vep", VEP)], "vep"),
        ([InfoDeclaration("CSQ", "Consequences")], None),
        ([InfoDeclaration("CSQ", "Format: Allele|STRAND")], None),
        ([InfoDeclaration("BCSQ", "Local consequence. Format: Consequence|gene|strand")], None),
    ]:
        found = find_field(declarations)
        assert (found.id if found else None) == expected
    field = find_field([csq])
    assert field is not None
    assert field.has_strand
    field = find_field([ann])
    assert field is not None
    assert not field.has_strand


def test_find_the_field_that_is_asked_for() -> None:
    declarations = [InfoDeclaration("CSQ", VEP), InfoDeclaration("MINE", VEP.replace("Ensembl VEP", "us"))]
    field = find_field(declarations, "MINE")
    assert field is not None
    assert field.id == "MINE"
    assert field.has_strand


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (None, "INFO MINE is not declared"),
        ("Depth", "INFO MINE: its Description"),
        ("Format: Allele|STRAND|Gene", "no Consequence among them"),
    ],
)
def test_a_field_that_cannot_be_what_is_asked_for(description: str | None, message: str) -> None:
    mine = [] if description is None else [InfoDeclaration("MINE", description)]
    with pytest.raises(InputError, match=message):
        find_field([InfoDeclaration("CSQ", VEP), *mine], "MINE")


def entry(allele: str = "T", number: str = "", consequence: str = "intron_variant") -> Entry:
    return Entry(allele, number, consequence, "", "", "", "+", False)


def test_entries_of_vep() -> None:
    field = ConsequenceField("CSQ", ["Allele", "Consequence", "IMPACT", "SYMBOL", "Gene", "Feature", "STRAND", "PICK"])
    assert field.entries(
        "T|splice_region_variant&intron_variant|LOW|ABC|ENSG1|ENST1|-1|1,-|intergenic_variant||||||,A|x|||672|NM_1|1|"
    ) == [
        Entry("T", "", "splice_region_variant&intron_variant", "ABC", "ENSG1", "ENST1", "-", True),
        Entry("-", "", "intergenic_variant", "", "", "", "", False),
        Entry("A", "", "x", "", "672", "NM_1", "+", False),
    ]


def test_entries_in_any_order_of_subfields() -> None:
    field = ConsequenceField("X", ["STRAND", "Feature", "ALLELE_NUM", "Consequence", "Allele", "Gene", "SYMBOL"])
    assert field.entries("-1|ENST1|2|intron_variant|T|ENSG1|ABC") == [
        Entry("T", "2", "intron_variant", "ABC", "ENSG1", "ENST1", "-", False)
    ]


def test_entries_of_snpeff() -> None:
    field = ConsequenceField("ANN", subfields_of(SNPEFF))
    value = "T|missense_variant&splice_region_variant|MODERATE|ABC|ENSG1|transcript|ENST1.5|coding|2/3|c.1A>T||1/9||"
    assert field.entries(value) == [
        Entry("T", "", "missense_variant&splice_region_variant", "ABC", "ENSG1", "ENST1.5", "", False, "c.1A>T")
    ]


def test_hgvs_descriptions() -> None:
    field = ConsequenceField("CSQ", ["Allele", "Consequence", "HGVSc"])
    assert field.has_hgvsc
    assert [entry.hgvsc for entry in field.entries("T|intron_variant|ENST1.2:c.9-25A>T,T|intron_variant")] == [
        "ENST1.2:c.9-25A>T",
        "",
    ]
    assert not ConsequenceField("CSQ", NAMES).has_hgvsc


def test_vep_names_go_before_those_of_snpeff() -> None:
    field = ConsequenceField("CSQ", ["Allele", "Gene_ID", "Annotation", "Consequence", "Gene"])
    assert field.entries("T|mine|note|intron_variant|ENSG1")[0][2:5] == ("intron_variant", "", "ENSG1")


def test_an_entry_with_fewer_or_more_subfields_than_the_header() -> None:
    field = ConsequenceField("CSQ", NAMES)
    assert field.entries("T|intron_variant|ABC,T,,T|intron_variant|A|B|C|1|extra|last") == [
        Entry("T", "", "intron_variant", "ABC", "", "", "", False),
        Entry("T", "", "", "", "", "", "", False),
        Entry("", "", "", "", "", "", "", False),
        Entry("T", "", "intron_variant", "A", "B", "C", "+", False),
    ]


@pytest.mark.parametrize(("text", "strand"), [("1", "+"), ("-1", "-"), ("+", "+"), ("-", "-"), ("", ""), (".", "")])
def test_strand(text: str, strand: str) -> None:
    assert ConsequenceField("CSQ", NAMES).entries(f"T|intron_variant|A|B|C|{text}")[0].strand == strand


@pytest.mark.parametrize(
    ("subfields", "values", "preferred"),
    [
        ("PICK", ["1", ""], [True, False]),
        ("CANONICAL", ["YES", "", "NO"], [True, False, False]),
        ("MANE_SELECT", ["NM_000492.4", ""], [True, False]),
        ("CANONICAL|PICK", ["YES|", "|1"], [False, True]),
        ("MANE_SELECT|CANONICAL", ["NM_1|", "|YES"], [False, True]),
        ("IMPACT", ["HIGH"], [False]),
    ],
)
def test_preferred_transcripts(subfields: str, values: list[str], preferred: list[bool]) -> None:
    field = ConsequenceField("CSQ", ["Allele", *subfields.split("|")])
    assert [found.preferred for found in field.entries(",".join(f"T|{value}" for value in values))] == preferred


@pytest.mark.parametrize(
    ("consequence", "expected"),
    [
        ("intron_variant", True),
        ("splice_donor_variant&intron_variant", True),
        ("5_prime_UTR_variant", True),
        ("non_coding_transcript_exon_variant", True),
        ("intragenic_variant", True),
        ("upstream_gene_variant", False),
        ("downstream_gene_variant", False),
        ("intergenic_variant", False),
        ("intergenic_region", False),
        ("regulatory_region_variant", False),
        ("TF_binding_site_variant", False),
        ("regulatory_region_variant&TF_binding_site_variant", False),
        ("upstream_gene_variant&intron_variant", True),
        ("", False),
    ],
)
def test_in_transcript(consequence: str, expected: bool) -> None:
    assert entry(consequence=consequence).in_transcript is expected


def matched(ref: str, alts: str, alleles: str) -> list[list[str]]:
    """Return for every ALT (comma-separated) the alleles of the entries that belong to it."""
    entries = [entry(allele) for allele in alleles.split(",")]
    written = alts.split(",")
    return [[found.allele for found in entries_of_alt(entries, ref, written, index)] for index in range(len(written))]


@pytest.mark.parametrize(
    ("ref", "alts", "alleles"),
    [
        ("A", "C,G", "C,G"),
        ("A", "G,C", "G,C"),
        ("AC", "GC,TC", "GC,TC"),  # all as long as REF: nothing is dropped
        ("CA", "C,CAA", "-,AA"),
        ("CA", "CT,C", "T,-"),
        ("C", "CA,T", "CA,T"),  # the first bases differ: nothing is dropped
        ("CAG", "CG,G", "CG,G"),
        ("CAG", "C,CAGAG,CTG", "-,AGAG,TG"),
        ("CAAA", "C,CA,CAA,CAAAA", "-,A,AA,AAAA"),
    ],
)
def test_vep_drops_the_first_base_of_all_alleles_or_of_none(ref: str, alts: str, alleles: str) -> None:
    assert matched(ref, alts, alleles) == [[allele] for allele in alleles.split(",")]


@pytest.mark.parametrize(
    ("ref", "alts", "alleles", "expected"),
    [
        ("A", "*,C", "C", [[], ["C"]]),
        ("T", "*,TTA", "TA", [[], ["TA"]]),
        ("TAT", "T,*", "-", [["-"], []]),
        ("CA", "CT,*", "T", [["T"], []]),  # `*` is shorter than REF: an indel record for VEP
        ("C", "T,*", "T", [["T"], []]),
        ("CA", "C,*,CAA", "-,*,AA", [["-"], ["*"], ["AA"]]),
        ("CA", "C,*,CAA", "-,*", [["-"], ["*"], []]),
        ("CAA", "CTA,CGA,*", "TA,GA", [["TA"], ["GA"], []]),
    ],
)
def test_star_does_not_count_for_the_first_base(ref: str, alts: str, alleles: str, expected: list[list[str]]) -> None:
    for index, alleles_of_alt in enumerate(matched(ref, alts, alleles)):
        if alts.split(",")[index] != "*":
            assert alleles_of_alt == expected[index]


@pytest.mark.parametrize(
    ("ref", "alts", "alleles"),
    [
        ("CA", "C,CAA", "C,CAA"),  # SnpEff
        ("CAG", "CG,GAG", "-,G"),  # VEP --minimal: G>-, CA>... trimmed from the left, then from the right
        ("CAG", "C,CTG", "-,T"),  # --minimal
        ("CA", "C,CAA,GA", "-,AA,GA"),  # one ALT a record for VEP, joined afterwards
        ("ca", "c,caa,caaa", "-,AA,AAA"),  # VEP writes upper case
    ],
)
def test_other_notations(ref: str, alts: str, alleles: str) -> None:
    assert matched(ref, alts, alleles) == [[allele] for allele in alleles.split(",")]


def test_one_notation_counts_for_the_whole_record() -> None:
    # Picked entries: G is the second ALT's, though the first one, trimmed by itself, would be G too.
    assert matched("CAG", "CG,G", "G") == [[], ["G"]]


def test_an_alt_without_entries_has_none() -> None:
    assert matched("A", "C,G,T", "C,T,T") == [["C"], [], ["T", "T"]]


def test_entries_that_no_alt_explains_belong_to_alts_without_any() -> None:
    assert matched("A", "<DEL>,C", "deletion,C") == [["deletion"], ["C"]]
    assert matched("CAAA", "CA,CAAAAA", "odd") == [["odd"], ["odd"]]


def test_an_entry_without_allele_belongs_to_every_alt() -> None:
    assert matched("A", "C,G", ",C") == [["", "C"], [""]]
    assert matched("A", "C,G", "") == [[""], [""]]


def test_a_record_with_one_alt_always_has_entries() -> None:
    assert matched("CA", "C", "-,-") == [["-", "-"]]
    assert matched("CA", "C", "whatever") == [["whatever"]]


def test_a_record_split_after_vep_keeps_its_own_entries_where_they_can_be_told() -> None:
    assert matched("A", "G", "C,G,G,T") == [["G", "G"]]
    assert matched("CA", "C", "-,AA") == [["-"]]
    assert matched("CA", "GT", "-,AA") == [["-", "AA"]]


def numbered(alts: list[str], *numbers: str) -> list[list[str]]:
    entries = [entry("T", number) for number in numbers]
    return [[found.allele_number for found in entries_of_alt(entries, "A", alts, at)] for at in range(len(alts))]


def test_allele_num_counts_alts_from_one_with_star() -> None:
    assert numbered(["C", "*", "G"], "1", "3", "3") == [["1"], [], ["3", "3"]]
    assert numbered(["C"], "1", "1") == [["1", "1"]]
    assert numbered(["C", "G"], "1", "") == [["1"], []]
    # The number goes before the allele.
    entries = [entry("C", "2"), entry("G", "1")]
    assert entries_of_alt(entries, "A", ["C", "G"], 0) == [entry("G", "1")]


def test_allele_num_of_a_record_split_after_vep_does_not_count() -> None:
    entries = [entry("C", "1"), entry("G", "2"), entry("G", "2")]
    assert entries_of_alt(entries, "A", ["G"], 0) == entries[1:]
    assert entries_of_alt(entries, "A", ["C"], 0) == entries[:1]


def test_allele_num_that_is_no_number() -> None:
    entries = [entry("C", "1"), entry("G", "?")]
    assert entries_of_alt(entries, "A", ["C", "G"], 1) == entries[1:]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "numbered_alts", "of_many"),
    [("split_vep.csq.hg19", 838, 70), ("exac.vep_csq.hg19", 148, 0), ("exome.60samples.chr1.hg19", 879, 0)],
)
def test_the_alleles_of_vep_tell_what_allele_num_tells(data: Path, name: str, numbered_alts: int, of_many: int) -> None:
    declarations: list[InfoDeclaration] = []
    field: ConsequenceField | None = None
    seen = several = 0
    with gzip.open(data / "vcf" / f"{name}.vcf.gz", "rt") as lines:
        for line in lines:
            if match := re.match(r'##INFO=<ID=([^,]+),.*Description="(.*)"', line):
                declarations.append(InfoDeclaration(*match.groups()))
            if line.startswith("#"):
                continue
            field = field or find_field(declarations)
            assert field is not None
            columns = line.split("\t", 8)
            ref, alts = columns[3], columns[4].split(",")
            [value] = [part[4:] for part in columns[7].split(";") if part.startswith("CSQ=")]
            entries = field.entries(value)
            unnumbered = [found._replace(allele_number="") for found in entries]
            for index, alt in enumerate(alts):
                by_number = entries_of_alt(entries, ref, alts, index)
                by_allele = entries_of_alt(unnumbered, ref, alts, index)
                assert by_allele == [found._replace(allele_number="") for found in by_number]
                assert bool(by_number) == (alt != "*")
                seen += 1
                several += len(alts) > 1
    assert (seen, several) == (numbered_alts, of_many)

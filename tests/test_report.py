"""sbert_vcf.report: a few results as a table and as JSON."""

import json

from sbert_vcf import fields
from sbert_vcf.report import as_json_text, as_table
from sbert_vcf.results import AlleleResult, BranchpointScore, GeneScore, SpliceSiteKL
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Allele, Status, Variant

SNV = Variant("chr7", 99, "A", "G")
STAR = Variant("chr7", 99, "A", "*")
GENES = (
    GeneScore(
        Placement("+", "GTF", "", "CFTR", "ENSG1", "ENST1"),
        -512.25,
        0.125,
        SpliceSiteKL(0.5, None),
        BranchpointScore(0.75, 0.25, -25, 1000),
    ),
    GeneScore(Placement("-", "both"), -600.123456, None),
)
SCORED = [
    (SNV, AlleleResult("G", 1, Status.OK, GENES, Allele("7", 99, 100, "G"))),
    (STAR, AlleleResult("*", 1, Status.STAR)),
]


def cells(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def test_table_has_a_line_per_variant_and_gene() -> None:
    assert cells(as_table(SCORED, ())) == [
        ["variant", "status", "symbol", "gene", "strand", "strand_source", "kl"],
        ["chr7:100:A:G", "OK", "CFTR", "ENSG1", "+", "GTF", "-512.25"],
        ["chr7:100:A:G", "OK", ".", ".", "-", "both", "-600.123"],
        ["chr7:100:A:*", "STAR", ".", ".", ".", ".", "."],
    ]


def test_a_tab_in_a_name_is_no_column() -> None:
    named = GeneScore(Placement("+", "GTF", "", "A\tB", "G,1"), -1.0, None)
    (_, row) = cells(as_table([(SNV, AlleleResult("G", 1, Status.OK, (named,)))], ()))
    assert row == ["chr7:100:A:G", "OK", "A%09B", "G%2C1", "+", "GTF", "-1"]


def test_table_with_delta() -> None:
    rows = cells(as_table(SCORED, {fields.DELTA_ID}))
    assert [row[-1] for row in rows] == ["delta", "0.125", ".", "."]
    assert {len(row) for row in rows} == {8}


def test_table_with_splice_sites_and_branchpoints() -> None:
    rows = cells(as_table(SCORED, fields.OPTIONAL_IDS))
    assert [row[-3:] for row in rows] == [["ss", "bp", "delta"], ["0.5", "0.75", "0.125"], ["."] * 3, ["."] * 3]


def test_table_of_nothing_is_its_header() -> None:
    assert len(as_table([], ()).splitlines()) == 1


def test_json_has_floats_in_full() -> None:
    scored, star = json.loads(as_json_text(SCORED))
    assert scored["variant"] == "chr7:100:A:G"
    assert scored["allele"] == {"contig": "7", "start": 99, "end": 100, "alt": "G"}
    assert (scored["kl"], scored["delta"]) == (-512.25, 0.125)
    assert (scored["ss"], scored["bp"]) == (0.5, 0.75)
    assert [gene["branchpoint"] for gene in scored["genes"]] == [
        {"loss": 0.75, "gain": 0.25, "position": -25, "acceptor": 1000},
        None,
    ]
    assert [(gene["kl_donor"], gene["kl_acceptor"]) for gene in scored["genes"]] == [(0.5, None), (None, None)]
    assert [gene["kl"] for gene in scored["genes"]] == [-512.25, -600.123456]
    assert [gene["delta"] for gene in scored["genes"]] == [0.125, None]
    assert [gene["symbol"] for gene in scored["genes"]] == ["CFTR", ""]
    assert star == {
        "variant": "chr7:100:A:*",
        "status": "STAR",
        "allele": None,
        "kl": None,
        "ss": None,
        "bp": None,
        "delta": None,
        "genes": [],
    }

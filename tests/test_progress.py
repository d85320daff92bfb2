"""What counts as a sign of another genome build."""

import logging

import pytest

from sbert_vcf.progress import BuildCheck
from sbert_vcf.results import AlleleResult
from sbert_vcf.variant import Status


def test_records_beyond_a_contig_hide_no_wrong_build(caplog: pytest.LogCaptureFixture) -> None:
    build = BuildCheck("in.vcf", "genome.fa", force=False)
    for status, count in ((Status.CONTIG_END, 6), (Status.REF_MISMATCH, 3), (Status.OK, 1)):
        for _ in range(count):
            build.see([AlleleResult("A", 1, status)])
    with caplog.at_level(logging.WARNING):
        build.finish()
    assert "REF disagrees with genome.fa in 3 of 4 records: the genome build looks wrong" in caplog.text

"""Two acceptors that one variant of the real data reaches."""

from dataclasses import replace
from pathlib import Path

import pytest

from sbert_vcf.annotator import Annotator
from sbert_vcf.consequence import find_field
from sbert_vcf.notices import Notices
from sbert_vcf.options import ScoringOptions
from sbert_vcf.results import GeneScore
from sbert_vcf.strand import Site
from sbert_vcf.vcf_input import VcfInput
from tests.models import write_random_masked_lm, write_random_token_classifier

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> ScoringOptions:
    folder = tmp_path_factory.mktemp("models")
    write_random_masked_lm(folder / "mlm", hidden=16, layers=1, heads=2, max_nt=402)
    write_random_token_classifier(folder / "bp", hidden=16, layers=1, heads=2, scale=1.2)
    return ScoringOptions(model=str(folder / "mlm"), branchpoint_model=str(folder / "bp"), device="cpu")


def test_of_transcripts_of_one_gene(data: Path, options: ScoringOptions) -> None:
    """WASH7P has acceptors at 17,364 and 17,368, as CSQ alone tells, by the intronic offsets of its transcripts."""
    options = replace(options, reference=str(data / "hg19/hg19.chr1_start.fa.gz"))
    with VcfInput(str(data / "vcf/split_vep.csq.hg19.vcf.gz"), Notices()) as vcf:
        field = find_field(vcf.header.info)
        (record,) = [record for record in vcf if record.start == 17384]
    entries = str(record.info("CSQ")).split(",")

    def score(kept: list[str]) -> GeneScore:
        site = Site(record.contig, record.start, record.ref, record.alts, ",".join(kept))
        with Annotator.open(options, field=field, notices=Notices()) as annotator:
            ((result,),) = annotator.score_sites([site])
        (found,) = [score for score in result.scores if score.placement.symbol == "WASH7P"]
        return found

    alone = [
        score([entry for entry in entries if f"-{offset}G>A" in entry or f"-{offset}C>T" in entry]).branchpoint
        for offset in (17, 21)
    ]
    assert [one.acceptor + 1 for one in alone if one] == [17368, 17364]
    assert score(entries).branchpoint == max((one for one in alone if one), key=lambda one: one[:2])


def test_of_two_genes(data: Path, options: ScoringOptions) -> None:
    """KRBOX1 and ZNF662 have acceptors 3 nt apart."""
    options = replace(options, reference=str(data / "hg19/hg19.regions.fa.gz"), genes=str(data / "hg19/genes.gtf.gz"))
    with Annotator.open(options, field=None, notices=Notices()) as annotator:
        letter = annotator.reference.letters("chr3", 42950259, 42950260)
        ((result,),) = annotator.score_sites([Site("chr3", 42950259, letter, ("ACGT"["ACGT".index(letter) - 1],))])
    found = {score.placement.symbol: score.branchpoint for score in result.scores}
    assert {gene: one.acceptor + 1 for gene, one in found.items() if one} == {"KRBOX1": 42950285, "ZNF662": 42950288}
    assert result.bp == max(one.loss for one in found.values() if one)

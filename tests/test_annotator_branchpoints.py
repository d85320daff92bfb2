"""Branchpoints in the annotator: where acceptors come from, what is read, and when the field is there at all."""

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pysam
import pysam.bcftools
import pytest
import torch

from sbert_model.annotation import Transcript
from sbert_model.checkpoint import Checkpoint, load_masked_lm, load_token_classifier
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.predict import Predictor
from sbert_vcf import fields
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.annotator import Annotator
from sbert_vcf.branchpoints import BranchpointScorer
from sbert_vcf.consequence import ConsequenceField
from sbert_vcf.genes import Genes
from sbert_vcf.genes_columns import GeneColumns
from sbert_vcf.options import ScoringOptions
from sbert_vcf.reference import Reference
from sbert_vcf.results import AlleleResult, BranchpointScore
from sbert_vcf.strand import Site
from sbert_vcf.variant import Status
from tests.models import write_random_masked_lm, write_random_token_classifier
from tests.world import info_of, records_of

CPU = torch.device("cpu")
SEQUENCE = "".join(random.Random(4).choices("ACGT", k=1600))
PLUS = Transcript("chr1", 300, 900, "+", "T1", "G1", "ONE", ((300, 400), (800, 900)))  # acceptor 800
LONGER = Transcript("chr1", 300, 900, "+", "T2", "G1", "ONE", ((300, 400), (815, 900)))  # acceptor 815
MINUS = Transcript("chr1", 650, 1200, "-", "T3", "G2", "TWO", ((650, 740), (1100, 1200)))  # acceptor 739
CSQ = ConsequenceField("CSQ", ["Allele", "Consequence", "SYMBOL", "STRAND", "HGVSc"])


@pytest.fixture(scope="module")
def fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">chr1\n{SEQUENCE}\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_random_masked_lm(folder / "mlm", hidden=16, layers=1, heads=2, max_nt=402)
    write_random_token_classifier(folder / "bp", hidden=16, layers=1, heads=2, scale=1.2)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Checkpoint[MaskedLM]:
    return load_masked_lm(folder / "mlm")


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Checkpoint[TokenClassifier]:
    return load_token_classifier(folder / "bp")


@pytest.fixture
def reference(fasta: Path) -> Iterator[Reference]:
    with Reference(fasta) as opened:
        yield opened


@pytest.fixture
def scorer(classifier: Checkpoint[TokenClassifier]) -> BranchpointScorer:
    return BranchpointScorer(classifier, Predictor(classifier.network, CPU))


def genes_of(*transcripts: Transcript) -> Genes:
    return Genes(Path("memory.gtf"), GeneColumns.from_transcripts(transcripts))


def snv(start: int, *entries: str) -> Site:
    ref = SEQUENCE[start]
    alt = "ACGT"["ACGT".index(ref) - 1]
    return Site("chr1", start, ref, (alt,), ",".join(f"{alt}|{entry}" for entry in entries))


def result_of(annotator: Annotator, site: Site) -> AlleleResult:
    ((result,),) = annotator.score_sites([site])
    assert result.status is Status.OK
    return result


def only(result: AlleleResult) -> BranchpointScore:
    (score,) = result.scores
    assert score.branchpoint is not None
    return score.branchpoint


def test_passes_only_for_alleles_that_reach_a_region(
    reference: Reference, model: Checkpoint[MaskedLM], scorer: BranchpointScorer
) -> None:
    annotator = Annotator(reference, Predictor(model.network, CPU), model, genes=genes_of(PLUS), branchpoints=scorer)
    for start in (752, 786, 700, 350):
        result = result_of(annotator, snv(start))
        assert (result.bp, result.scores[0].branchpoint) == (None, None)
    assert scorer.predictor.windows_run == 0
    assert result_of(annotator, snv(775)).bp is not None
    assert scorer.predictor.windows_run == 2
    annotator.score_sites([snv(776), snv(777)])
    assert scorer.predictor.windows_run == 4  # the reference window depends on the acceptor alone


def test_each_gene_has_its_own_and_the_maximum_is_the_alleles(
    reference: Reference, model: Checkpoint[MaskedLM], scorer: BranchpointScorer
) -> None:
    predictor = Predictor(model.network, CPU)
    both = Annotator(reference, predictor, model, genes=genes_of(PLUS, MINUS), branchpoints=scorer)
    result = result_of(both, snv(770))
    found = {score.placement.symbol: score.branchpoint for score in result.scores}
    plus, minus = found["ONE"], found["TWO"]
    assert plus is not None
    assert minus is not None
    assert (plus.acceptor, minus.acceptor) == (800, 739)
    assert plus.loss != minus.loss
    assert result.bp == max(plus.loss, minus.loss) > 0


def test_of_two_transcripts_the_acceptor_that_loses_most(
    reference: Reference, model: Checkpoint[MaskedLM], scorer: BranchpointScorer
) -> None:
    predictor = Predictor(model.network, CPU)
    alone = [
        only(
            result_of(Annotator(reference, predictor, model, genes=genes_of(transcript), branchpoints=scorer), snv(772))
        )
        for transcript in (PLUS, LONGER)
    ]
    assert [score.acceptor for score in alone] == [800, 815]
    together = Annotator(reference, predictor, model, genes=genes_of(PLUS, LONGER), branchpoints=scorer)
    assert only(result_of(together, snv(772))) == max(alone)


@pytest.mark.parametrize(
    ("start", "strand", "transcript", "hgvsc"),
    [(775, "1", PLUS, "T1:c.101-25A>G"), (764, "-1", MINUS, "T3:c.101-25A>G"), (782, "1", PLUS, "T1:n.5-18C>T")],
)
def test_hgvs_tells_the_same_as_exons(
    reference: Reference,
    model: Checkpoint[MaskedLM],
    scorer: BranchpointScorer,
    start: int,
    strand: str,
    transcript: Transcript,
    hgvsc: str,
) -> None:
    predictor = Predictor(model.network, CPU)
    by_exons = Annotator(reference, predictor, model, genes=genes_of(transcript), branchpoints=scorer)
    by_hgvs = Annotator(reference, predictor, model, field=CSQ, branchpoints=scorer)
    site = snv(start, f"intron_variant|X|{strand}|{hgvsc}", f"intron_variant|X|{strand}|T9:c.100+5000A>G")
    assert only(result_of(by_hgvs, site)) == only(result_of(by_exons, site._replace(consequences="")))
    assert by_hgvs.optional_fields == {fields.BP_ID}
    assert result_of(by_hgvs, snv(start, f"intron_variant|X|{strand}|T9:c.100+5000A>G")).bp is None


def test_distance(reference: Reference, model: Checkpoint[MaskedLM], classifier: Checkpoint[TokenClassifier]) -> None:
    far = BranchpointScorer(classifier, Predictor(classifier.network, CPU), 100)
    annotator = Annotator(reference, Predictor(model.network, CPU), model, genes=genes_of(PLUS), branchpoints=far)
    assert only(result_of(annotator, snv(656))).acceptor == 800
    assert result_of(annotator, snv(655)).bp is None
    assert only(result_of(annotator, snv(882))).acceptor == 800  # in the exon
    assert result_of(annotator, snv(883)).bp is None


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
def test_batch_size_changes_nothing(
    reference: Reference, model: Checkpoint[MaskedLM], classifier: Checkpoint[TokenClassifier], batch_size: int
) -> None:
    sites = [snv(start) for start in range(764, 774)]
    genes = genes_of(PLUS, LONGER, MINUS)

    def annotator(remember: int) -> Annotator:
        scorer = BranchpointScorer(classifier, Predictor(classifier.network, CPU, remember=remember))
        return Annotator(reference, Predictor(model.network, CPU), model, genes=genes, branchpoints=scorer)

    alone, together = annotator(0), annotator(256)
    expected = [result_of(alone, site) for site in sites]
    assert all(result.bp is not None for result in expected)
    chunks = [sites[start : start + batch_size] for start in range(0, len(sites), batch_size)]
    assert [result for chunk in chunks for (result,) in together.score_sites(chunk)] == expected


def run(
    tmp_path: Path,
    fasta: Path,
    folder: Path,
    *features: str,
    strand: str = "auto",
    output: str = "out.vcf",
    batch_size: int | None = None,
) -> Path:
    vcf, out = tmp_path / "in.vcf", tmp_path / output
    header = "##fileformat=VCFv4.2\n##contig=<ID=1,length=1600>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    sites = [snv(start) for start in (500, 775, 776)]
    vcf.write_text(header + "".join(f"1\t{site.start + 1}\t.\t{site.ref}\t{site.alts[0]}\t.\t.\t.\n" for site in sites))
    genes = tmp_path / "genes.gtf"
    genes.write_text(
        "".join(
            f'chr1\tx\t{feature}\t{start + 1}\t{end}\t.\t+\t.\tgene_id "G"; transcript_id "T";\n'
            for feature in features
            for start, end in (PLUS.exons if feature == "exon" else [(300, 900)])
        )
    )
    options = ScoringOptions(
        reference=str(fasta),
        model=str(folder / "mlm"),
        branchpoint_model=str(folder / "bp"),
        genes=str(genes) if features else None,
        strand=strand,
        device="cpu",
        threads=1,
        batch_size=batch_size,
    )
    annotate(AnnotateOptions(str(vcf), str(out)), options)
    return out


def test_annotate_writes_the_field(
    tmp_path: Path, fasta: Path, folder: Path, classifier: Checkpoint[TokenClassifier]
) -> None:
    lines = run(tmp_path, fasta, folder, "transcript", "exon").read_text().splitlines()
    assert sum(line.startswith("##INFO=<ID=SBERT_BP,Number=A,Type=Float,") for line in lines) == 1
    provenance = next(line for line in lines if line.startswith("##sbert_vcf=<"))
    assert f'BranchpointModel="{folder / "bp"}",BranchpointModelSHA256="{classifier.sha256}",' in provenance
    columns = [column.name for column in fields.PACKED_COLUMNS]
    infos = [info_of(line) for line in records_of("\n".join(lines))]
    packed = [dict(zip(columns, info["SBERT"].split("|"), strict=True)) for info in infos]
    assert (infos[0]["SBERT_BP"], packed[0]["BP_LOSS"], packed[0]["BP_ACCEPTOR"]) == (".", "", "")
    for info, entry in zip(infos[1:], packed[1:], strict=True):
        assert info["SBERT_BP"] == entry["BP_LOSS"]
        assert 0 < float(entry["BP_LOSS"]) < 1
        assert 0 <= float(entry["BP_GAIN"]) < 1
        assert -44 <= int(entry["BP_POS"]) <= -18
        assert entry["BP_ACCEPTOR"] == "801"


def test_every_batch_size_writes_the_same(tmp_path: Path, fasta: Path, folder: Path) -> None:
    written = []
    for size in (None, 1, 2, 3, 64):
        out = run(tmp_path, fasta, folder, "exon", output=f"{size}.vcf", batch_size=size)
        written.append(records_of(out.read_text()))
    assert all(lines == written[0] for lines in written)


def test_bcf_holds_typed_floats(tmp_path: Path, fasta: Path, folder: Path) -> None:
    text = records_of(run(tmp_path, fasta, folder, "exon").read_text())
    bcf = run(tmp_path, fasta, folder, "exon", output="out.bcf")
    assert records_of(str(pysam.bcftools.view("-H", str(bcf)))) == text
    assert records_of(str(pysam.bcftools.view("-H", "-i", "SBERT_BP>=0", str(bcf)))) == text[1:]
    assert records_of(str(pysam.bcftools.view("-H", "-i", "SBERT_SS>1e9", str(bcf)))) == []
    with pysam.VariantFile(str(bcf)) as records:
        for record, line in zip(records, text, strict=True):
            for field in (fields.SS_ID, fields.BP_ID):
                (value,) = record.info[field]
                written = info_of(line)[field]
                assert value == (None if written == "." else pytest.approx(float(written), rel=1e-5))


@pytest.mark.parametrize(
    ("features", "strand", "message"),
    [
        (["transcript"], "auto", "{folder}/genes.gtf: names no exons: SBERT_SS and SBERT_BP are left out"),
        (
            [],
            "+",
            "SBERT_BP is left out: no acceptors are known; give --genes with exons, or run VEP with --hgvs",
        ),
    ],
)
def test_without_acceptors_the_field_is_left_out_which_is_said_once(
    tmp_path: Path,
    fasta: Path,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    features: list[str],
    strand: str,
    message: str,
) -> None:
    with caplog.at_level(logging.WARNING):
        lines = run(tmp_path, fasta, folder, *features, strand=strand).read_text().splitlines()
    assert not any("SBERT_BP" in line or "BranchpointModel" in line for line in lines)
    assert [record.getMessage() for record in caplog.records] == [message.format(folder=tmp_path)]


def test_hgvs_serves_where_the_annotation_names_no_exons(
    reference: Reference,
    model: Checkpoint[MaskedLM],
    scorer: BranchpointScorer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bare = genes_of(Transcript("chr1", 300, 900, "+", "", "G1", "ONE", ()))
    with caplog.at_level(logging.WARNING):
        annotator = Annotator(
            reference, Predictor(model.network, CPU), model, field=CSQ, genes=bare, branchpoints=scorer
        )
    assert [record.getMessage() for record in caplog.records] == ["memory.gtf: names no exons: SBERT_SS is left out"]
    assert only(result_of(annotator, snv(775, "intron_variant|X|1|T1:c.101-25A>G"))).acceptor == 800

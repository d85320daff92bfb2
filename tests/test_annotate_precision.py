"""A run in half precision says what it costs, and one whose numbers overflow computes them again or stops."""

from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch

from sbert_model.errors import ModelError
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.cache_file import facts
from tests.models import write_random_masked_lm, write_random_token_classifier
from tests.world import WINDOW, World, build_world, records_of, vcf_text

COST = (
    "--precision float16 breaks the accuracy contract: with the bundled models errors of KL-context up to 12 nats, of "
    "splice-site KL 140 %, of branchpoint loss 0.001; float32 keeps it"
)
AGAIN = "cpu: NaN or infinity in float16: where there is any, windows are read again in float32"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def vcf(world: World) -> Path:
    path = world.folder / "in.vcf"
    path.write_text(vcf_text([world.snv("chr1", pos) for pos in range(500, 700, 20)]))
    return path


def overflowing(folder: Path, weight: float) -> Path:
    """Multiply some weights of a model folder, whose products are normalised in the next step."""
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["bert.encoder.layer.0.attention.output.dense.weight"].mul_(weight)
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    return folder


def masked_lm(folder: Path, weight: float) -> str:
    made = write_random_masked_lm(folder, hidden=16, layers=1, heads=2, max_nt=WINDOW)
    return str(overflowing(made, weight))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_a_precision_outside_the_contract_says_what_it_costs(
    world: World, vcf: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for precision, said in (("float16", [COST]), ("float32", []), ("auto", [])):
        caplog.clear()
        options = AnnotateOptions(str(vcf), str(tmp_path / f"{precision}.vcf"))
        annotate(options, replace(world.scoring(), precision=precision))
        assert warnings(caplog) == said


def test_what_overflows_in_float16_has_the_scores_of_float32(
    world: World, vcf: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scoring = replace(world.scoring(batch_size=2), model=masked_lm(tmp_path / "model", 1e6))
    texts = []
    for precision in ("float32", "float16"):
        out = tmp_path / f"{precision}.vcf"
        annotate(AnnotateOptions(str(vcf), str(out)), replace(scoring, precision=precision))
        texts.append(records_of(out.read_text()))
    assert texts[0] == texts[1]
    assert "SBERT_STATUS=OK" in texts[0][0]
    assert warnings(caplog) == [COST, AGAIN]


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_what_overflows_in_float32_stops_the_run_at_its_variant(
    world: World, vcf: Path, tmp_path: Path, precision: str
) -> None:
    model = masked_lm(tmp_path / "model", 1e38)
    scoring = replace(world.scoring(batch_size=2), model=model, precision=precision, cache=str(tmp_path / "scores.db"))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ModelError, match=rf"^{model}: no finite probabilities around chr1:500: its weights are broken"):
        annotate(AnnotateOptions(str(vcf), str(out / "out.vcf")), scoring)
    assert list(out.iterdir()) == []
    assert facts(tmp_path / "scores.db").models == []


def test_branchpoints_that_overflow_stop_the_run_at_their_variant(world: World, tmp_path: Path) -> None:
    model = str(overflowing(write_random_token_classifier(tmp_path / "bp", hidden=8, heads=1, layers=1), 1e38))
    genes, vcf = tmp_path / "genes.gtf", tmp_path / "in.vcf"
    text = 'gene_id "G"; transcript_id "G.1";'
    spans = (("transcript", 301, 1700), ("exon", 301, 500), ("exon", 1001, 1700))
    genes.write_text("".join(f"chr1\tx\t{kind}\t{start}\t{end}\t.\t+\t.\t{text}\n" for kind, start, end in spans))
    vcf.write_text(vcf_text([world.snv("chr1", pos) for pos in (600, 970)]))
    scoring = replace(world.scoring(), genes=str(genes), branchpoint_model=model)
    with pytest.raises(ModelError, match=rf"^{model}: no finite branchpoint probabilities around chr1:970: "):
        annotate(AnnotateOptions(str(vcf), str(tmp_path / "out.vcf")), scoring)
    assert not (tmp_path / "out.vcf").exists()

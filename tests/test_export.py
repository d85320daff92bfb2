import json
from pathlib import Path

import pytest
import torch
from transformers import BertForMaskedLM, BertForTokenClassification

from sbert_model.checkpoint import load_masked_lm, load_token_classifier
from sbert_model.errors import InputError, OutputError
from sbert_model.tokenizer import CLS, SEP, encode
from sbert_train.export import export
from sbert_train.pretrain import build_model
from tests.models import write_random_token_classifier
from tests.tiny_pretraining import tiny_config, weights

IDS = torch.tensor([[CLS, *encode("ACGTNACGT").tolist(), SEP]])


def _logits(model: torch.nn.Module) -> torch.Tensor:
    model.train(False)
    with torch.no_grad():
        found = model(IDS)
    return found if isinstance(found, torch.Tensor) else found.logits


def test_export_is_float16_and_loads_back(tmp_path: Path) -> None:
    model = build_model(tiny_config())
    model.save_pretrained(tmp_path / "model")
    size = export(tmp_path / "model", tmp_path / "out")
    assert {tensor.dtype for tensor in weights(tmp_path / "out").values()} == {torch.float16}
    assert "cls.predictions.decoder.weight" not in weights(tmp_path / "out")
    written = (tmp_path / "out" / "model.safetensors").stat()
    assert (written.st_size, written.st_mode & 0o777) == (size, 0o644)
    assert (tmp_path / "out" / "vocab.txt").read_text().split()[-4:] == ["A", "C", "G", "T"]
    theirs = BertForMaskedLM.from_pretrained(tmp_path / "out")
    assert theirs.dtype == torch.float32
    ours = load_masked_lm(tmp_path / "out").network
    torch.testing.assert_close(_logits(ours), _logits(theirs), atol=1e-5, rtol=0)
    torch.testing.assert_close(_logits(ours), _logits(model), atol=0.01, rtol=0)


@pytest.mark.parametrize(("folders", "chosen"), [(("best", "last"), "best"), (("last",), "last")])
def test_of_a_run_the_best_model_counts(tmp_path: Path, folders: tuple[str, ...], chosen: str) -> None:
    for seed, name in enumerate(folders):
        build_model(tiny_config(seed=seed)).save_pretrained(tmp_path / "run" / name)
    export(tmp_path / "run", tmp_path / "out")
    export(tmp_path / "run" / chosen, tmp_path / "expected")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (
        tmp_path / "expected" / "model.safetensors"
    ).read_bytes()


def test_of_a_branchpoint_run_the_final_classifier_counts(tmp_path: Path) -> None:
    write_random_token_classifier(tmp_path / "run" / "final", hidden=16, heads=2, seed=1)
    write_random_token_classifier(tmp_path / "run" / "folds" / "00", hidden=16, heads=2, seed=2)
    export(tmp_path / "run", tmp_path / "out")
    assert {tensor.dtype for tensor in weights(tmp_path / "out").values()} == {torch.float16}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["architectures"], config["dtype"]) == (["BertForTokenClassification"], "float32")
    theirs = BertForTokenClassification.from_pretrained(tmp_path / "out")
    assert theirs.dtype == torch.float32
    ours = _logits(load_token_classifier(tmp_path / "out").network)
    assert ours.shape == (1, len(IDS[0]), 2)
    torch.testing.assert_close(ours, _logits(theirs), atol=1e-5, rtol=0)
    final = _logits(load_token_classifier(tmp_path / "run" / "final").network)
    torch.testing.assert_close(ours, final, atol=0.02, rtol=0)
    assert (ours - final).abs().max() > 0  # half precision


def test_what_is_no_model_and_what_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        export(tmp_path, tmp_path / "out")
    (tmp_path / "folds").mkdir()
    with pytest.raises(InputError, match=r"a branchpoint run has a model to ship with --final$"):
        export(tmp_path, tmp_path / "out")
    (tmp_path / "folds").rmdir()
    build_model(tiny_config()).save_pretrained(tmp_path / "model")
    with pytest.raises(OutputError, match="the limit is 1000"):
        export(tmp_path / "model", tmp_path / "out", max_bytes=1000)
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="there: is there already"):
        export(tmp_path / "model", tmp_path / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "there"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            '{"architectures": ["BertForSequenceClassification"]}',
            "only BertForMaskedLM and BertForTok",
        ),
        ("{}", "names no architecture; expected BertForMaskedLM or BertForTok"),
        ("{", "names no architecture"),
    ],
)
def test_other_kinds_of_models(tmp_path: Path, config: str, message: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(InputError, match=message):
        export(tmp_path, tmp_path / "out")

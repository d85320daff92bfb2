"""Model folders load as published, in every form they come in, and a bad one says what is wrong with it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from sbert_model.checkpoint import Checkpoint, load_masked_lm, load_token_classifier
from sbert_model.errors import ModelError
from sbert_model.network import MaskedLM
from sbert_model.tokenizer import VOCAB
from tests.models import (
    config_dict,
    tiny_config,
    untied_tensors,
    write_random_masked_lm,
    write_random_token_classifier,
)

IDS = torch.tensor([[2, 6, 7, 8, 9, 5, 6, 6, 3]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_random_masked_lm(tmp_path / "tiny", hidden=8, heads=2, layers=1, max_nt=20)


@pytest.fixture
def classifier_folder(tmp_path: Path) -> Path:
    return write_random_token_classifier(tmp_path / "bp", hidden=8, heads=2, layers=1, max_nt=20)


def logits_of(checkpoint: Checkpoint[MaskedLM]) -> Tensor:
    with torch.inference_mode():
        logits = checkpoint.network(IDS)
    assert isinstance(logits, Tensor)
    return logits


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return dict(safetensors.torch.load_file(folder / "model.safetensors"))


def write_tensors(folder: Path, tensors: dict[str, Tensor]) -> None:
    safetensors.torch.save_file(tensors, folder / "model.safetensors")


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_checkpoint_knows_what_it_is(folder: Path) -> None:
    checkpoint = load_masked_lm(folder)
    assert checkpoint.name == "tiny"
    assert load_masked_lm(folder, "SpliceBERT").name == "SpliceBERT"
    assert checkpoint.folder == folder
    assert checkpoint.config == tiny_config(hidden=8, heads=2, layers=1, max_nt=20)
    assert checkpoint.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert not checkpoint.network.training
    assert {parameter.dtype for parameter in checkpoint.network.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in checkpoint.network.parameters())


def test_the_loaded_weights_are_those_of_the_file(folder: Path) -> None:
    checkpoint = load_masked_lm(folder)
    loaded = untied_tensors(checkpoint.network)
    written = tensors_of(folder)
    assert loaded.keys() == written.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in written.items())
    decoder = checkpoint.network.cls.predictions.decoder
    assert torch.equal(decoder.weight, written["bert.embeddings.word_embeddings.weight"])
    assert torch.equal(decoder.bias, written["cls.predictions.bias"])


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_gives_the_same_network(folder: Path, legacy: bool) -> None:
    expected = logits_of(load_masked_lm(folder))
    torch.save(tensors_of(folder), folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    (folder / "model.safetensors").unlink()
    checkpoint = load_masked_lm(folder)
    assert torch.equal(logits_of(checkpoint), expected)
    assert checkpoint.sha256 == hashlib.sha256((folder / "pytorch_model.bin").read_bytes()).hexdigest()


def test_safetensors_come_before_a_pickle(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert load_masked_lm(folder).sha256 == digest


def test_half_precision_weights_become_float32(folder: Path) -> None:
    write_tensors(folder, {name: tensor.half() for name, tensor in tensors_of(folder).items()})
    network = load_masked_lm(folder).network
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert all(torch.equal(p, p.half().float()) for p in network.parameters())


def _with_decoder(tensors: dict[str, Tensor]) -> None:
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].clone()


def _only_decoder_bias(tensors: dict[str, Tensor]) -> None:
    tensors["cls.predictions.decoder.bias"] = tensors.pop("cls.predictions.bias")


def _with_buffers_and_pooler(tensors: dict[str, Tensor]) -> None:
    tensors["bert.embeddings.position_ids"] = torch.arange(22)[None]
    tensors["bert.pooler.dense.weight"] = torch.zeros(8, 8)
    tensors["bert.pooler.dense.bias"] = torch.zeros(8)


def _old_layer_norm_names(tensors: dict[str, Tensor]) -> None:
    for name in [name for name in tensors if "LayerNorm" in name]:
        tensors[name.replace("weight", "gamma").replace("bias", "beta")] = tensors.pop(name)


@pytest.mark.parametrize(
    "rewrite", [_with_decoder, _only_decoder_bias, _with_buffers_and_pooler, _old_layer_norm_names]
)
def test_older_and_newer_names_give_the_same_network(
    folder: Path, rewrite: Callable[[dict[str, Tensor]], None]
) -> None:
    expected = logits_of(load_masked_lm(folder))
    tensors = tensors_of(folder)
    rewrite(tensors)
    assert tensors.keys() != tensors_of(folder).keys()
    write_tensors(folder, tensors)
    assert torch.equal(logits_of(load_masked_lm(folder)), expected)


def test_what_transformers_saves_loads_and_the_other_way_round(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = config_dict(tiny_config(hidden=8, heads=2, layers=1, max_nt=20), "BertForMaskedLM")
    reference = transformers.BertForMaskedLM(transformers.BertConfig(**config)).eval()
    reference.save_pretrained(tmp_path / "saved")
    with torch.inference_mode():
        expected = reference(IDS).logits
    torch.testing.assert_close(logits_of(load_masked_lm(tmp_path / "saved")), expected, rtol=0, atol=1e-5)

    ours = write_random_masked_lm(tmp_path / "ours", hidden=8, heads=2, layers=1, max_nt=20, scale=0.5)
    theirs = transformers.BertForMaskedLM.from_pretrained(ours).eval()
    with torch.inference_mode():
        expected = theirs(IDS).logits
    torch.testing.assert_close(logits_of(load_masked_lm(ours)), expected, rtol=0, atol=1e-5)


def test_token_classifier_loads(classifier_folder: Path) -> None:
    checkpoint = load_token_classifier(classifier_folder, "branchpoint")
    assert checkpoint.name == "branchpoint"
    assert torch.equal(checkpoint.network.classifier.weight, tensors_of(classifier_folder)["classifier.weight"])
    with torch.inference_mode():
        assert checkpoint.network(IDS).shape == (1, 9, 2)


def test_a_folder_without_config_or_weights(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere: not a model folder, it has no config\.json"):
        load_masked_lm(tmp_path / "nowhere")
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        ModelError, match=r"tiny: the model has no weights \(model\.safetensors or pytorch_model\.bin\)"
    ):
        load_masked_lm(folder)


@pytest.mark.parametrize("text", ["{", "[1, 2]", b"\xff\xfe\x00"])
def test_a_broken_config(folder: Path, text: str | bytes) -> None:
    (folder / "config.json").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ModelError, match=r"config\.json: (not valid JSON|expected a JSON object)"):
        load_masked_lm(folder)


def test_a_config_of_another_network(folder: Path) -> None:
    change_config(folder, vocab_size=4101)
    with pytest.raises(ModelError, match=r"config\.json: vocab_size is 4101, a SpliceBERT model has 10"):
        load_masked_lm(folder)
    change_config(folder, architectures=["RobertaForMaskedLM"], vocab_size=10)
    with pytest.raises(ModelError, match=r"the model is RobertaForMaskedLM, expected .* \(BertForMaskedLM\)"):
        load_masked_lm(folder)


@pytest.mark.parametrize("tokens", [VOCAB[:9], (*VOCAB[:6], "T", "C", "G", "A"), (*VOCAB, "U"), ()])
def test_another_vocabulary(folder: Path, tokens: tuple[str, ...]) -> None:
    (folder / "vocab.txt").write_text("\n".join(tokens))
    with pytest.raises(ModelError, match=rf"vocab\.txt: not SpliceBERT's vocabulary: {len(tokens)} tokens"):
        load_masked_lm(folder)


def test_the_vocabulary_may_be_absent_and_have_any_line_ends(folder: Path) -> None:
    (folder / "vocab.txt").write_bytes("\r\n".join(VOCAB).encode())
    load_masked_lm(folder)
    (folder / "vocab.txt").unlink()
    load_masked_lm(folder)


def test_a_missing_tensor_is_named(folder: Path) -> None:
    tensors = tensors_of(folder)
    del tensors["bert.encoder.layer.0.attention.self.key.bias"]
    write_tensors(folder, tensors)
    with pytest.raises(ModelError, match=r"lacks tensor bert\.encoder\.layer\.0\.attention\.self\.key\.bias$"):
        load_masked_lm(folder)
    del tensors["bert.embeddings.LayerNorm.bias"]
    write_tensors(folder, tensors)
    with pytest.raises(ModelError, match=r"lacks tensor bert\.embeddings\.LayerNorm\.bias and 1 more$"):
        load_masked_lm(folder)


def test_a_wrong_shape_is_named_with_both_shapes(folder: Path) -> None:
    change_config(folder, max_position_embeddings=30)
    with pytest.raises(
        ModelError,
        match=r"tensor bert\.embeddings\.position_embeddings\.weight has shape \(22, 8\), config.* asks for \(30, 8\)",
    ):
        load_masked_lm(folder)


def test_layers_that_the_config_does_not_know(folder: Path) -> None:
    tensors = tensors_of(folder)
    tensors["bert.encoder.layer.1.attention.self.key.bias"] = torch.zeros(8)
    write_tensors(folder, tensors)
    with pytest.raises(ModelError, match=r"holds tensor bert\.encoder\.layer\.1\.attention\.self\.key\.bias, of which"):
        load_masked_lm(folder)


def test_values_that_are_not_finite(folder: Path) -> None:
    tensors = tensors_of(folder)
    tensors["cls.predictions.bias"][3] = float("nan")
    write_tensors(folder, tensors)
    with pytest.raises(ModelError, match=r"tensor cls\.predictions\.(decoder\.)?bias holds values that are not finite"):
        load_masked_lm(folder)


def test_one_kind_of_model_in_place_of_the_other(folder: Path, classifier_folder: Path) -> None:
    with pytest.raises(ModelError, match="the model is BertForTokenClassification, expected a masked language model"):
        load_masked_lm(classifier_folder)
    with pytest.raises(ModelError, match="the model is BertForMaskedLM, expected a token classifier"):
        load_token_classifier(folder)
    for any_folder in (folder, classifier_folder):
        change_config(any_folder, architectures=None)
    with pytest.raises(
        ModelError, match=r"bp.model\.safetensors: holds a token classifier, expected a masked language"
    ):
        load_masked_lm(classifier_folder)
    with pytest.raises(
        ModelError, match=r"model\.safetensors: holds a masked language model, expected a token classifier"
    ):
        load_token_classifier(folder)


def test_broken_safetensors(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    for broken in (b"", data[:7], data[: len(data) // 2], b"version https://git-lfs.github.com/spec/v1\n" + data):
        path.write_bytes(broken)
        with pytest.raises(ModelError, match=r"model\.safetensors: broken or incomplete; fetch the file again"):
            load_masked_lm(folder)


@pytest.mark.parametrize("legacy", [False, True])
def test_broken_pickles(folder: Path, legacy: bool) -> None:
    path = folder / "pytorch_model.bin"
    torch.save(tensors_of(folder), path, _use_new_zipfile_serialization=not legacy)
    (folder / "model.safetensors").unlink()
    data = path.read_bytes()
    for length in (0, 1, 2, 3, 40, 400, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ModelError, match=r"pytorch_model\.bin: ") as caught:
            load_masked_lm(folder)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin: not a PyTorch file"):
        load_masked_lm(folder)


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("legacy", [False, True])
def test_loading_runs_no_code(folder: Path, tmp_path: Path, legacy: bool) -> None:
    made = tmp_path / "made by the payload"
    content = {**tensors_of(folder), "payload": Payload(made)}
    torch.save(content, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"not opened: it is broken or holds more than tensors"):
        load_masked_lm(folder)
    assert not made.exists()


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {"a": 1}}, {3: torch.zeros(2)}])
def test_pickles_of_something_else(folder: Path, content: object) -> None:
    torch.save(content, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="something other than a table of named tensors"):
        load_masked_lm(folder)


def test_a_file_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ModelError, match=r"config\.json: cannot be read \(Permission denied\)"):
        load_masked_lm(folder)


def test_importing_checkpoints_does_not_import_transformers() -> None:
    code = "import sys, sbert_model.checkpoint, sbert_model.predict; print('transformers' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"

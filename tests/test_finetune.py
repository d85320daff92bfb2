import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification, BertForTokenClassification

from sbert_model.checkpoint import Checkpoint, load_masked_lm, load_token_classifier
from sbert_model.errors import DeviceError, InputError
from sbert_model.network import MaskedLM
from sbert_model.predict import Predictor
from sbert_model.tokenizer import Ids
from sbert_train.examples import Examples, make_examples
from sbert_train.finetune import (
    Classifier,
    Settings,
    Trainee,
    make_network,
    uses_bfloat16,
)
from tests.models import write_random_masked_lm

NAMES = ("other", "thing")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint[MaskedLM]:
    folder = write_random_masked_lm(tmp_path_factory.mktemp("tiny") / "model", hidden=16, heads=2, max_nt=64)
    return load_masked_lm(folder)


def _sequences(count: int, length: int = 40) -> Ids:
    return np.random.default_rng(0).integers(6, 10, (count, length)).astype(np.uint8)


def _tokens(count: int = 12) -> Examples:
    """Label 1 at every A, ignored outside the middle."""
    sequences = _sequences(count)
    labels = np.where(sequences == 6, 1, 0)
    labels[:, :10] = labels[:, 30:] = -100
    return make_examples(list(sequences), labels)


def test_the_network_is_the_pretrained_encoder_under_a_new_head(model: Checkpoint[MaskedLM]) -> None:
    pretrained = make_network(BertForTokenClassification, model, Settings(), NAMES)
    untrained = make_network(BertForTokenClassification, model, Settings(from_scratch=True), NAMES)
    ids = torch.from_numpy(_tokens().ids)
    pretrained.train(False)
    with torch.inference_mode():
        ours, theirs = model.network.bert(ids), pretrained.bert(ids).last_hidden_state
    torch.testing.assert_close(theirs, ours)
    word = "bert.embeddings.word_embeddings.weight"
    assert not torch.equal(untrained.state_dict()[word], pretrained.state_dict()[word])
    again = make_network(BertForTokenClassification, model, Settings(from_scratch=True), NAMES)
    assert all(torch.equal(a, b) for a, b in zip(untrained.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("kind", [BertForTokenClassification, BertForSequenceClassification])
def test_frozen_layers_stay_and_the_rest_learns(kind: type[Classifier], model: Checkpoint[MaskedLM]) -> None:
    settings = Settings(freeze_layers=1, learning_rate=1e-2, batch_size=4)
    network = make_network(kind, model, settings, NAMES)
    examples = _tokens()
    if kind is BertForSequenceClassification:
        sequences = _sequences(12)
        sequences[1::2, ::2] = 6  # every other base of a class 1 sequence is A
        examples = make_examples(list(sequences), np.arange(12) % 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainee = Trainee(network, examples, settings, CPU)
    losses = [trainee.train(epoch, 1e-2, 0) for epoch in range(1, 9)]
    assert losses[-1] < losses[0]
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert not [name for name in changed if "embeddings" in name or "layer.0." in name]
    assert {"classifier.weight", "bert.encoder.layer.1.output.dense.weight"} <= changed


def test_freezing_more_layers_than_there_are(model: Checkpoint[MaskedLM]) -> None:
    with pytest.raises(InputError, match=r"--freeze-layers 3: the model model has 2 layers"):
        make_network(BertForTokenClassification, model, Settings(freeze_layers=3), NAMES)


def test_equal_seeds_train_equal_networks(model: Checkpoint[MaskedLM]) -> None:
    def weights(seed: int) -> list[float]:
        settings = Settings(seed=seed, batch_size=4)
        trainee = Trainee(make_network(BertForTokenClassification, model, settings, NAMES), _tokens(), settings, CPU)
        trainee.train(1, 1e-3, 0)
        found: list[float] = trainee.network.classifier.weight.flatten().tolist()
        return found

    assert weights(1) == weights(1)
    assert weights(1) != weights(2)


def test_bfloat16_comes_close_and_keeps_float32_weights(model: Checkpoint[MaskedLM]) -> None:
    def trained(precision: str) -> tuple[float, Trainee]:
        settings = Settings(precision=precision, batch_size=4, dropout=0)
        trainee = Trainee(make_network(BertForTokenClassification, model, settings, NAMES), _tokens(), settings, CPU)
        return [trainee.train(epoch, 1e-3, 0) for epoch in (1, 2)][-1], trainee

    (whole, exact), (half, rounded), (auto, _) = trained("float32"), trained("bfloat16"), trained("auto")
    assert auto == whole  # on a CPU
    assert half == pytest.approx(whole, abs=0.02)
    assert half != whole
    assert {parameter.dtype for parameter in rounded.network.parameters()} == {torch.float32}
    np.testing.assert_allclose(rounded.probabilities(_tokens()), exact.probabilities(_tokens()), atol=0.02)
    assert not np.array_equal(rounded.probabilities(_tokens()), exact.probabilities(_tokens()))


def test_auto_takes_bfloat16_where_a_gpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for native in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, native=native: native)
        assert uses_bfloat16("auto", torch.device("cuda:0")) is native
    assert not uses_bfloat16("float32", torch.device("cuda:0"))
    assert uses_bfloat16("bfloat16", CPU)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla P100")
    with pytest.raises(DeviceError, match="Tesla P100 has no bfloat16"):
        uses_bfloat16("bfloat16", torch.device("cuda:0"))


def test_columns_keep_their_positions(model: Checkpoint[MaskedLM]) -> None:
    examples = _tokens(2)
    kept = np.array([0, *range(11, 31), 41])
    part = examples.columns(kept)
    assert part.positions.tolist() == kept.tolist()
    assert part.ids.shape == part.labels.shape == (2, 22)
    assert part.ids[:, 0].tolist() == [2, 2]
    assert part.ids[:, -1].tolist() == [3, 3]
    assert (part.labels[:, 1:-1] != -100).all()
    network = make_network(BertForTokenClassification, model, Settings(), NAMES)
    network.train(False)
    hidden = network.bert.embeddings(
        input_ids=torch.from_numpy(part.ids), position_ids=torch.from_numpy(part.positions)[None]
    )
    whole = network.bert.embeddings(input_ids=torch.from_numpy(examples.ids))
    torch.testing.assert_close(hidden, whole[:, kept])


def test_saved_models_predict_the_same_through_our_own_network(model: Checkpoint[MaskedLM], tmp_path: Path) -> None:
    examples = _tokens(3)
    trainee = Trainee(make_network(BertForTokenClassification, model, Settings(), NAMES), examples, Settings(), CPU)
    trainee.train(1, 1e-3, 0)
    trainee.save(tmp_path / "saved")
    loaded = load_token_classifier(tmp_path / "saved")
    log_probs = Predictor(loaded.network, CPU).log_probs([row.astype(np.uint8) for row in examples.ids[:, 1:-1]])
    np.testing.assert_allclose(trainee.probabilities(examples)[:, 1:-1], np.exp(np.stack(log_probs))[..., 1], atol=1e-5)
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["id2label"] == {"0": "other", "1": "thing"}

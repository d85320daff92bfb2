"""The network's logits are those of transformers' BERT, tensor names and all."""

import json
from pathlib import Path

import pytest
import torch

from sbert_model.encoder import BLOCK, block_start, number_of_blocks
from sbert_model.errors import ModelError
from sbert_model.network import BertConfig, MaskedLM, TokenClassifier
from sbert_model.tokenizer import CLS, MASK, PAD, SEP
from tests.models import config_dict, randomise, tiny_config

TOLERANCE = 1e-5
PUBLISHED = ["SpliceBERT.1024nt", "SpliceBERT.510nt", "SpliceBERT-human.510nt"]


def reference_masked_lm(config: dict[str, object], seed: int = 0) -> torch.nn.Module:
    """transformers' own network with the weights it starts training from."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    network = transformers.BertForMaskedLM(transformers.BertConfig(**config))
    assert isinstance(network, torch.nn.Module)
    return network.eval()


def reference_logits(network: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits = network(input_ids=ids, attention_mask=(ids != PAD).long()).logits
    assert isinstance(logits, torch.Tensor)
    return logits


def random_ids(rows: int, length: int) -> torch.Tensor:
    """`[CLS] nucleotides [SEP]`, with N among them."""
    ids = torch.randint(5, 10, (rows, length), generator=torch.Generator().manual_seed(1))
    ids[:, 0], ids[:, -1] = CLS, SEP
    return ids


def pad(ids: torch.Tensor) -> torch.Tensor:
    """The same rows, the first one shortened by three tokens."""
    padded = ids.clone()
    padded[0, -4:] = torch.tensor([SEP, PAD, PAD, PAD])
    return padded


def logits_of(network: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits = network(ids)
    assert isinstance(logits, torch.Tensor)
    return logits


@pytest.mark.parametrize("padded", [False, True])
def test_masked_lm_equals_transformers(padded: bool) -> None:
    config = tiny_config(hidden=32, layers=3, heads=4, max_nt=40)
    reference = reference_masked_lm(config_dict(config, "BertForMaskedLM"))
    network = MaskedLM(config).eval()
    randomise(network, scale=0.5)
    # Strict in both directions: not one name is missing, not one is left over.
    reference.load_state_dict(network.state_dict(), strict=True)
    network.load_state_dict(reference.state_dict(), strict=True)
    ids = pad(random_ids(3, 42)) if padded else random_ids(3, 42)
    expected, logits = reference_logits(reference, ids), logits_of(network, ids)
    assert logits.shape == (3, 42, 10)
    real = ids != PAD
    assert expected[real].std() > 0.1
    torch.testing.assert_close(logits[real], expected[real], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("labels", [2, 3])
def test_token_classifier_equals_transformers(labels: int) -> None:
    transformers = pytest.importorskip("transformers")
    config = tiny_config(max_nt=40, labels=labels)
    values = config_dict(config, "BertForTokenClassification")
    reference = transformers.BertForTokenClassification(transformers.BertConfig(**values)).eval()
    network = TokenClassifier(config).eval()
    randomise(network, scale=0.5)
    reference.load_state_dict(network.state_dict(), strict=True)
    network.load_state_dict(reference.state_dict(), strict=True)
    ids = random_ids(2, 42)
    logits = logits_of(network, ids)
    assert logits.shape == (2, 42, labels)
    torch.testing.assert_close(logits, reference_logits(reference, ids), rtol=0, atol=TOLERANCE)


@pytest.mark.real_data
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_equal_transformers(name: str, data: Path) -> None:
    values = json.loads((data / "splicebert_config" / name / "config.json").read_text())
    reference = reference_masked_lm(values)
    network = MaskedLM(BertConfig.from_dict(values)).eval()
    network.load_state_dict(reference.state_dict(), strict=True)
    full = random_ids(1, network.config.max_position_embeddings)
    short = pad(random_ids(2, 60))
    for ids in (full, short):
        real = ids != PAD
        expected = reference_logits(reference, ids)[real]
        torch.testing.assert_close(logits_of(network, ids)[real], expected, rtol=0, atol=TOLERANCE)


def test_padding_does_not_reach_the_sequence() -> None:
    network = MaskedLM(tiny_config(max_nt=40)).eval()
    randomise(network)
    alone = random_ids(1, 20)
    padded = torch.cat([alone, torch.full((1, 10), PAD)], dim=1)
    torch.testing.assert_close(logits_of(network, padded)[:, :20], logits_of(network, alone), rtol=0, atol=TOLERANCE)


def test_predictions_depend_on_context() -> None:
    network = MaskedLM(tiny_config(max_nt=40)).eval()
    randomise(network)
    ids = random_ids(1, 42)
    changed = ids.clone()
    changed[0, 10] = 6 if ids[0, 10] != 6 else 7
    assert (logits_of(network, ids) - logits_of(network, changed))[0, 30].abs().max() > 1e-4


def places_of(*places: tuple[int, int]) -> torch.Tensor:
    """Places one by one: row and block."""
    return torch.tensor(places)[:, None, :]


def logits_at(network: torch.nn.Module, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits = network(ids, places)
    assert isinstance(logits, torch.Tensor)
    return logits.flatten(0, 1)


def block_starts(tokens: int) -> list[int]:
    return [block_start(block, tokens) for block in range(number_of_blocks(tokens))]


@pytest.mark.parametrize("tokens", [2, BLOCK, BLOCK + 1, 3 * BLOCK, 4 * BLOCK + 2])
def test_blocks_hold_every_token(tokens: int) -> None:
    starts = block_starts(tokens)
    assert starts[0] == 0
    assert starts[:-1] == list(range(0, tokens - BLOCK, BLOCK))
    assert starts[-1] + min(BLOCK, tokens) == tokens


def test_logits_at_places_equal_those_of_a_full_pass() -> None:
    network = MaskedLM(tiny_config(hidden=128, layers=6, heads=4, max_nt=400)).eval()
    randomise(network, scale=1.0)
    ids = random_ids(2, 402)
    starts = block_starts(402)
    expected = logits_of(network, ids)
    assert expected.std() > 0.5
    places = [(row, block) for row in (1, 0) for block in range(len(starts))]
    for (row, block), logits in zip(places, logits_at(network, ids, places_of(*places)), strict=True):
        of_block = expected[row, starts[block] : starts[block] + BLOCK]
        torch.testing.assert_close(logits, of_block, rtol=1e-6, atol=1e-5)


def test_a_place_has_the_same_bits_whatever_else_is_asked() -> None:
    network = MaskedLM(tiny_config(hidden=128, layers=3, heads=4, max_nt=1024)).eval()
    randomise(network)
    ids = random_ids(1, 1026)
    everything = logits_at(network, ids, places_of(*((0, block) for block in range(17))))
    for asked in ([8], [16], [8, 7], [0, 16, 8, 3]):
        alone = logits_at(network, ids, places_of(*((0, block) for block in asked)))
        torch.testing.assert_close(alone, everything[asked], rtol=0, atol=0)
    # In groups, as on a GPU, places share their products, and still do not depend on their neighbours' contents.
    together = torch.tensor([(0, 8), (0, 7)])[None]
    other = torch.tensor([(0, 8), (0, 2)])[None]
    torch.testing.assert_close(logits_at(network, ids, together)[0], logits_at(network, ids, other)[0], rtol=0, atol=0)


def test_what_comes_before_attention_is_looked_up_with_the_same_bits() -> None:
    network = MaskedLM(tiny_config(hidden=128, layers=3, heads=4, max_nt=400)).eval()
    encoder, generator = network.bert, torch.Generator().manual_seed(1)
    for tokens, seed in ((402, 0), (100, 0), (402, 0), (402, 1)):
        randomise(network, seed)
        encoder.fuse()
        for _ in range(2):
            ids = torch.randint(MASK, 10, (1, tokens), generator=generator)
            ids[:, 0], ids[:, -1] = CLS, SEP
            *layers, _ = encoder.layers()
            with torch.inference_mode():
                found, expected = encoder._from_start(layers, ids), encoder._through(layers, ids, None)
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [MaskedLM, TokenClassifier])
def test_fused_projections_change_nothing(kind: type[MaskedLM] | type[TokenClassifier]) -> None:
    network = kind(tiny_config(layers=3, max_nt=100)).eval()
    randomise(network)
    ids = random_ids(1, 102)
    before, names = logits_of(network, ids), {name: value.clone() for name, value in network.state_dict().items()}
    network.bert.fuse()
    torch.testing.assert_close(logits_of(network, ids), before, rtol=0, atol=0)
    assert list(network.state_dict()) == list(names)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, names[name], rtol=0, atol=0)


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "nucleotides"), list(zip(PUBLISHED, (1024, 510, 510), strict=True)))
def test_published_configurations_are_read(name: str, nucleotides: int, data: Path) -> None:
    config = BertConfig.from_dict(json.loads((data / "splicebert_config" / name / "config.json").read_text()))
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (512, 6, 16)
    assert config.intermediate_size == 2048
    assert config.layer_norm_eps == 1e-12
    assert config.max_nucleotides == nucleotides


def test_config_reads_what_a_model_folder_says_and_ignores_the_rest() -> None:
    config = tiny_config(hidden=16, layers=1, heads=2, max_nt=100, labels=3)
    values = config_dict(config, "BertForTokenClassification") | {"use_cache": True, "dtype": "float16"}
    assert BertConfig.from_dict(values) == config
    for key in ("id2label", "label2id", "type_vocab_size", "position_embedding_type"):
        del values[key]
    assert BertConfig.from_dict(values).num_labels == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act is 'relu', a SpliceBERT model has 'gelu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"vocab_size": 4101}, "vocab_size is 4101, a SpliceBERT model has 10"),
        ({"model_type": "roberta"}, "model_type is 'roberta', a SpliceBERT model has 'bert'"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"hidden_size": None}, "hidden_size is None, expected a positive whole number"),
        ({"num_hidden_layers": "6"}, "num_hidden_layers is '6'"),
        ({"num_attention_heads": 5}, "hidden_size 32 is no multiple of its 5 heads"),
        ({"max_position_embeddings": 2}, "max_position_embeddings 2 leaves no room"),
        ({"layer_norm_eps": 0}, "layer_norm_eps is 0, expected a positive number"),
    ],
)
def test_configurations_of_other_networks_are_refused(change: dict[str, object], message: str) -> None:
    values = config_dict(tiny_config(), "BertForMaskedLM") | change
    with pytest.raises(ModelError, match=message):
        BertConfig.from_dict(values)

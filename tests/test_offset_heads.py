import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from sbert_model.errors import ModelError
from sbert_train.offset_heads import DIMENSIONS, LAYER_OFFSETS, initialise_offset_heads, rotation, sinusoids


def _model(hidden: int = 256, heads: int = 8, layers: int = 2) -> BertForMaskedLM:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=10,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=64,
        max_position_embeddings=1026,
    )
    model = BertForMaskedLM(config)
    model.set_attn_implementation("eager")  # the only one that returns its weights
    model.train(False)
    return model


def test_rotation_moves_positions() -> None:
    waves = sinusoids(40)
    torch.testing.assert_close(waves[:30] @ rotation(7).T, waves[7:37], atol=1e-5, rtol=0)
    torch.testing.assert_close(waves[10:] @ rotation(-4).T, waves[6:36], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("hidden", "heads"), [(256, 8), (512, 16)])
def test_every_head_looks_at_its_neighbour_at_every_position(hidden: int, heads: int) -> None:
    model = _model(hidden, heads)
    initialise_offset_heads(model)
    ids = torch.randint(6, 10, (1, 1026), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        attention = model.bert(ids, output_attentions=True).attentions[0][0]  # (heads, T, T)
    inner = torch.arange(4, 1022)
    for head in range(heads):
        weights = attention[head, inner, inner + LAYER_OFFSETS[0][head % 8]]
        assert float(weights.min()) > 0.9


def test_second_layer_looks_further_at_any_place_of_a_short_crop() -> None:
    model = _model()
    initialise_offset_heads(model)
    ids = torch.randint(6, 10, (1, 60), generator=torch.Generator().manual_seed(1))
    inner = torch.arange(8, 52)
    for start in (0, 300, 966):
        positions = torch.arange(start, start + 60)[None]
        with torch.no_grad():
            attention = model.bert(ids, position_ids=positions, output_attentions=True).attentions[1][0]
        for head, offset in enumerate(LAYER_OFFSETS[1]):
            assert float(attention[head, inner, inner + offset].mean()) > 0.8


def test_words_leave_the_dimensions_of_the_sinusoids_alone() -> None:
    model = _model()
    initialise_offset_heads(model)
    embeddings = model.bert.embeddings
    assert not embeddings.word_embeddings.weight[:, :DIMENSIONS].any()
    assert not embeddings.token_type_embeddings.weight[:, :DIMENSIONS].any()
    assert embeddings.word_embeddings.weight[6:, DIMENSIONS:].all()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_one_layer_is_enough_but_small_heads_are_refused() -> None:
    initialise_offset_heads(_model(layers=1))
    with pytest.raises(ModelError, match="32 dimensions per head"):
        initialise_offset_heads(_model(hidden=256, heads=16))

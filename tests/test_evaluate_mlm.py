import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sbert_model.errors import DeviceError, InputError, ModelError
from sbert_model.tokenizer import MASK, Ids
from sbert_train.count_models import Floats
from sbert_train.evaluate_mlm import MIN_CONTIGS, Score, Settings, compare, evaluate, untrained_network
from sbert_train.evaluation_report import tsv
from tests.memory_corpus import memory_corpus, piece
from tests.models import tiny_config, write_random_masked_lm, write_random_token_classifier
from tests.tiny_corpus import write_tiny_corpus

BASELINES = ["composition", "markov-5", "sides-1", "sides-2", "sides-3", "sides-4", "sides-5"]


def _random(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def _uniform(windows: Sequence[Ids]) -> list[Floats]:
    return [np.log(np.full((window.size, 4), 0.25)) for window in windows]


def _half_a(windows: Sequence[Ids]) -> list[Floats]:
    """1/2 for A, 1/6 for the others, everywhere."""
    return [np.log(np.tile([1 / 2, 1 / 6, 1 / 6, 1 / 6], (window.size, 1))) for window in windows]


def _by_name(scores: Sequence[Score], group: str) -> dict[str, Score]:
    return {score.model: score for score in scores if score.group == group}


def test_scores_have_known_answers() -> None:
    training = [piece("ACGT" * 5000)]
    validation = [piece("A" * 400), piece("AC" * 200, "mouse")]
    scores = compare(_half_a, _uniform, memory_corpus(training, validation), Settings(length=100, mask_rate=1)).scores
    human, mouse, both = (_by_name(scores, group) for group in ("human", "mouse", "all"))
    assert list(human) == ["model", "untrained", *BASELINES]
    assert (human["model"].windows, human["model"].bases) == (4, 400)
    assert human["model"].figures.cross_entropy.value == pytest.approx(math.log(2))
    assert human["model"].figures.accuracy.value == 1
    assert mouse["model"].figures.cross_entropy.value == pytest.approx((math.log(2) + math.log(6)) / 2)
    assert mouse["model"].figures.balanced_accuracy.value == pytest.approx(1 / 2)
    assert both["model"].figures.cross_entropy.value == pytest.approx(0.75 * math.log(2) + 0.25 * math.log(6))
    assert both["untrained"].figures.cross_entropy.value == pytest.approx(math.log(4))
    assert both["composition"].figures.cross_entropy.value == pytest.approx(math.log(4), abs=1e-3)
    assert both["untrained"].figures.gain.value == pytest.approx(
        math.log(4) - both["model"].figures.cross_entropy.value
    )


def test_count_models_are_fitted_on_the_training_split_and_see_true_neighbours() -> None:
    corpus = memory_corpus([piece("ACGT" * 20_000)], [piece("ACGT" * 100)])
    result = compare(_uniform, _uniform, corpus, Settings(length=400, mask_rate=1, markov_order=3))
    found = _by_name(result.scores, "all")
    for name in ("markov-3", "sides-1", "sides-5"):
        assert found[name].figures.cross_entropy.value < 0.05
        assert found[name].figures.accuracy.value > 0.99
    assert result.counted_bases == 80_000 - 10


def test_the_network_sees_masks_where_it_is_asked() -> None:
    seen: list[Ids] = []

    def network(windows: Sequence[Ids]) -> list[Floats]:
        seen.extend(windows)
        return _uniform(windows)

    corpus = memory_corpus([piece(_random(1000))], [piece(_random(2000, 1))])
    (score, *_) = compare(network, _uniform, corpus, Settings(length=500)).scores
    assert len(seen) == 4
    assert sum((window == MASK).sum() for window in seen) == score.bases


def test_groups_without_bases_are_left_out_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    regions = ["intron"] * 300 + ["exon"] * 300
    corpus = memory_corpus([piece(_random(1000))], [piece(_random(600, 1), region=regions), piece("ACGT", "mouse")])
    scores = compare(_uniform, _uniform, corpus, Settings(length=300)).scores
    assert {score.group for score in scores} == {"all", "intron", "exon", "human", "human,intron", "human,exon"}
    assert [record.getMessage() for record in caplog.records] == [
        "nothing held out of 300 nt or more in: mouse",
        "2 windows of 300 nt in 1 species",
        "left out, for the corpus says of no masked base that it is one: cds, utr5, utr3, coding, non-coding, repeat, "
        "other",
    ]


@pytest.mark.parametrize(("contigs", "unit", "units"), [(MIN_CONTIGS, "contig", MIN_CONTIGS), (3, "piece", 20)])
def test_contigs_are_resampled_where_there_are_some_else_pieces(contigs: int, unit: str, units: int) -> None:
    validation = [piece(_random(300, number), contig=f"chr{number % contigs}") for number in range(20)]
    (score, *_) = compare(_uniform, _uniform, memory_corpus([piece("ACGT")], validation), Settings(length=100)).scores
    assert (score.windows, score.unit, score.units) == (60, unit, units)


def test_nothing_to_evaluate_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="corpus: the corpus holds nothing out"):
        compare(_uniform, _uniform, memory_corpus([piece("ACGT")], []), Settings())
    with pytest.raises(InputError, match="no held-out piece has 1024 nt, the longest has 400"):
        compare(_uniform, _uniform, memory_corpus([], [piece("ACGT" * 100)]), Settings())
    with pytest.raises(InputError, match="no base was masked"):
        compare(_uniform, _uniform, memory_corpus([], [piece("N" * 100)]), Settings(length=100))


def test_untrained_network_has_the_first_weights_of_bert() -> None:
    config = tiny_config(hidden=64)
    network = untrained_network(config, 1)
    for name, parameter in network.named_parameters():
        if "LayerNorm" in name:
            assert torch.equal(parameter, torch.ones(64) if name.endswith("weight") else torch.zeros(64))
        elif name.endswith("bias"):
            assert not parameter.any()
    dense = network.get_submodule("bert.encoder.layer.0.intermediate.dense")
    assert isinstance(dense, nn.Linear)
    assert float(dense.weight.std()) == pytest.approx(0.02, rel=0.05)
    again, other = untrained_network(config, 1), untrained_network(config, 2)
    first = network.bert.embeddings.word_embeddings.weight
    assert torch.equal(first, again.bert.embeddings.word_embeddings.weight)
    assert not torch.equal(first, other.bert.embeddings.word_embeddings.weight)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus` and `model`."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_corpus(folder, hold_out=("chr1", "chr3"))  # coding and non-coding genes
    write_random_masked_lm(folder / "model", max_nt=510)
    return folder


def test_a_model_folder_on_a_corpus_folder(tiny: Path) -> None:
    settings = Settings(length=64, mask_rate=0.5)
    found = evaluate(tiny / "model", tiny / "corpus", settings, "cpu")
    groups = {score.group for score in found.scores if "species" not in score.group_by}
    assert groups == {
        *("all", "intron", "exon", "cds", "utr5", "utr3"),
        *("coding", "non-coding", "repeat", "other"),
    }
    whole = _by_name(found.scores, "all")
    assert whole["untrained"].figures.cross_entropy.value == pytest.approx(math.log(4), abs=0.1)
    assert found.provenance["corpus"]["species"] == 2
    assert found.provenance["settings"]["device"] == "cpu"
    assert tsv(evaluate(tiny / "model", tiny / "corpus", settings, "cpu").scores) == tsv(found.scores)


def test_what_cannot_be_evaluated_is_one_clear_line(tiny: Path, tmp_path: Path) -> None:
    corpus = tiny / "corpus"
    with pytest.raises(ModelError, match="reads at most 510 nt; windows of 1024 nt do not fit"):
        evaluate(tiny / "model", corpus, Settings())
    with pytest.raises(ModelError, match="expected a masked language model"):
        evaluate(write_random_token_classifier(tmp_path / "classifier"), corpus, Settings(length=64))
    with pytest.raises(ModelError, match="no such model folder"):
        evaluate(tmp_path / "absent", corpus, Settings(length=64))
    with pytest.raises(InputError, match=r"manifest\.json"):
        evaluate(tiny / "model", tmp_path, Settings(length=64))
    with pytest.raises(DeviceError, match="tpu"):
        evaluate(tiny / "model", corpus, Settings(length=64), "tpu")

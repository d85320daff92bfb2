"""A window's log-probabilities are those of the network, whatever it travels with and however often it comes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from sbert_model import predict
from sbert_model.checkpoint import load_masked_lm, load_token_classifier
from sbert_model.errors import DeviceError, ModelError
from sbert_model.network import MaskedLM
from sbert_model.precision import Precision
from sbert_model.predict import Predictor
from sbert_model.scoring import FLANK, kl_context, kl_divergence
from sbert_model.tokenizer import MASK, Ids, encode, with_specials
from tests.models import tiny_config, write_random_masked_lm, write_random_token_classifier

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_masked_lm(tmp_path_factory.mktemp("models") / "tiny", max_nt=300)


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_masked_lm(tmp_path_factory.mktemp("models") / "wide", hidden=256, heads=8, max_nt=300)


@pytest.fixture
def predictor(folder: Path) -> Predictor:
    return Predictor(load_masked_lm(folder).network, CPU)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose time to a second thread, most of all where the other core is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_windows(count: int, length: int = 60, seed: int = 0) -> list[Ids]:
    return list(np.random.default_rng(seed).integers(5, 10, size=(count, length), dtype=np.uint8))


def in_batches(predictor: Predictor, windows: list[Ids], size: int) -> list[npt.NDArray[np.float64]]:
    batches = [windows[start : start + size] for start in range(0, len(windows), size)]
    return [result for batch in batches for result in predictor.log_probs(batch)]


def test_log_probs_are_the_softmax_over_the_four_nucleotides(folder: Path, predictor: Predictor) -> None:
    window = encode("ACGTTGCANNACGT")
    (logp,) = predictor.log_probs([window])
    assert logp.shape == (14, 4)
    assert logp.dtype == np.float64
    with torch.inference_mode():
        logits = load_masked_lm(folder).network(torch.from_numpy(with_specials(window[None])))[0, 1:-1, 6:10]
    np.testing.assert_allclose(logp, torch.log_softmax(logits.double(), -1).numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.exp(logp).sum(-1), 1, rtol=0, atol=1e-14)
    assert logp.std() > 0.1


def test_a_token_classifier_gives_its_labels(tmp_path: Path) -> None:
    folder = write_random_token_classifier(tmp_path / "bp", max_nt=50, labels=3)
    network = load_token_classifier(folder).network
    window = random_windows(1, 50)[0]
    (logp,) = Predictor(network, CPU).log_probs([window])
    with torch.inference_mode():
        logits = network(torch.from_numpy(with_specials(window[None])))[0, 1:-1]
    assert logp.shape == (50, 3)
    np.testing.assert_allclose(logp, torch.log_softmax(logits.double(), -1).numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("length", [7, 300])
def test_batch_size_changes_nothing(wide_folder: Path, length: int, threads: int) -> None:
    torch.set_num_threads(threads)
    windows = random_windows(7, length)
    network = load_masked_lm(wide_folder).network
    expected = in_batches(Predictor(network, CPU, remember=0), windows, 1)
    for size in (2, 3, 64):
        # It remembers nothing, so that every batch does its own passes.
        predictor = Predictor(network, CPU, remember=0)
        results = in_batches(predictor, windows, size)
        assert predictor.windows_run == 7
        for result, known in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result, known)


@pytest.mark.parametrize("per_pass", [1, 4])
def test_passes_have_one_shape(folder: Path, monkeypatch: pytest.MonkeyPatch, per_pass: int) -> None:
    monkeypatch.setattr(predict, "windows_per_pass", lambda _: per_pass)
    network = load_masked_lm(folder).network
    shapes: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    predictor = Predictor(network, CPU)
    windows = random_windows(9, 20) + random_windows(2, 30)
    results = predictor.log_probs(windows)
    expected = [(1, 22)] * 9 + [(1, 32)] * 2 if per_pass == 1 else [(4, 22)] * 3 + [(4, 32)]
    assert shapes == expected
    assert predictor.passes_run == len(expected)
    assert predictor.windows_run == predictor.windows_served == 11
    alone = Predictor(load_masked_lm(folder).network, CPU)
    for window, result in zip(windows, results, strict=True):
        np.testing.assert_allclose(result, alone.log_probs([window])[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_else_is_asked_changes_nothing(wide_folder: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    network = load_masked_lm(wide_folder).network
    windows = random_windows(2, 300)
    everything = Predictor(network, CPU).log_probs(windows)
    asked = [[0], [299], [150, 10], list(range(60, 70)), list(range(300))]
    predictor = Predictor(network, CPU, remember=0)
    for bases in asked:
        for window, full in zip(windows, everything, strict=True):
            (logp,) = predictor.log_probs([window], [np.array(bases)])
            np.testing.assert_array_equal(logp[bases], full[bases])
            assert np.isnan(np.delete(logp, bases, axis=0)).all()


def test_requests_for_one_window_are_merged(folder: Path) -> None:
    network = load_masked_lm(folder).network
    places: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: places.append(len(inputs[1])))
    predictor = Predictor(network, CPU)
    window = random_windows(1, 300)[0]
    left, right = predictor.log_probs([window, window.copy()], [np.array([3, 5]), np.array([290, 4])])
    assert left is right
    assert (predictor.windows_served, predictor.windows_run, places) == (2, 1, [2])
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(left[:, 0])), [3, 4, 5, 290])


def test_a_remembered_window_is_run_again_only_where_it_is_not_known(folder: Path) -> None:
    network = load_masked_lm(folder).network
    places: list[list[int]] = []
    network.register_forward_pre_hook(lambda _, inputs: places.append(inputs[1][:, 0, 1].tolist()))
    predictor = Predictor(network, CPU)
    window = random_windows(1, 300)[0]
    (full,) = Predictor(load_masked_lm(folder).network, CPU).log_probs([window])
    for bases in ([10, 20], [30], [10, 100, 299], [299], [100, 200]):
        (logp,) = predictor.log_probs([window], [np.array(bases)])
        np.testing.assert_array_equal(logp[bases], full[bases])
    assert places == [[0], [1, 4], [3]]
    assert predictor.windows_run == 3


@pytest.mark.parametrize("per_pass", [1, 4])
def test_positions_in_passes_of_several_windows(folder: Path, monkeypatch: pytest.MonkeyPatch, per_pass: int) -> None:
    monkeypatch.setattr(predict, "windows_per_pass", lambda _: per_pass)
    network = load_masked_lm(folder).network
    shapes: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[1].shape)))
    windows = random_windows(5, 300)
    bases = [np.array(chosen) for chosen in ([0, 299], [64], [1, 100, 200, 290], [150], [299])]
    results = Predictor(network, CPU).log_probs(windows, bases)
    # 2 + 1 + 4 + 1 blocks of the first four windows in groups of eight, one of the fifth.
    expected = [(2, 1, 2), (1, 1, 2), (4, 1, 2), (1, 1, 2), (1, 1, 2)] if per_pass == 1 else [(1, 8, 2), (1, 8, 2)]
    assert shapes == expected
    everything = Predictor(load_masked_lm(folder).network, CPU).log_probs(windows)
    for result, full, chosen in zip(results, everything, bases, strict=True):
        np.testing.assert_allclose(result[chosen], full[chosen], rtol=0, atol=1e-4)


def test_windows_of_different_lengths_come_back_in_order(folder: Path, predictor: Predictor) -> None:
    windows = [window for length in (30, 10, 20, 10, 30) for window in random_windows(2, length, seed=length)]
    results = predictor.log_probs(windows)
    assert [len(result) for result in results] == [len(window) for window in windows]
    alone = Predictor(load_masked_lm(folder).network, CPU, remember=0)
    for window, result in zip(windows, results, strict=True):
        np.testing.assert_array_equal(result, alone.log_probs([window])[0])


def test_equal_windows_run_once(predictor: Predictor) -> None:
    first, second = random_windows(2)
    results = predictor.log_probs([first, second, first.copy(), first])
    assert (predictor.windows_served, predictor.windows_run, predictor.passes_run) == (4, 2, 2)
    assert results[0] is results[2] is results[3]
    assert not np.array_equal(results[0], results[1])
    again = predictor.log_probs([second, first])
    assert (predictor.windows_served, predictor.windows_run, predictor.passes_run) == (6, 2, 2)
    np.testing.assert_array_equal(again[0], results[1])
    np.testing.assert_array_equal(again[1], results[0])


def test_the_windows_used_last_are_remembered(folder: Path) -> None:
    predictor = Predictor(load_masked_lm(folder).network, CPU, remember=2)
    a, b, c = random_windows(3, 20)
    predictor.log_probs([a])
    predictor.log_probs([b])
    predictor.log_probs([a])
    assert predictor.windows_run == 2
    predictor.log_probs([c])  # forgets b, for a was used since
    predictor.log_probs([a, c])
    assert predictor.windows_run == 3
    predictor.log_probs([b])
    assert predictor.windows_run == 4


def test_memory_is_bounded(folder: Path) -> None:
    predictor = Predictor(load_masked_lm(folder).network, CPU, remember=3)
    for seed in range(4):
        predictor.log_probs(random_windows(5, 20, seed))
    assert predictor.windows_run == 20
    kept = list(predictor._logits.values())
    assert len(kept) == 3
    # Each holds its own window and no view of a whole pass.
    assert [array.nbytes for array in kept] == [20 * 4 * 4] * 3
    assert all(array.base is None or array.base.nbytes == array.nbytes for array in kept)


def test_results_cannot_be_changed_by_one_of_those_who_share_them(predictor: Predictor) -> None:
    (logp,) = predictor.log_probs(random_windows(1))
    with pytest.raises(ValueError, match="read-only"):
        logp[0, 0] = 0.0


def test_masked_position_is_predicted_from_its_context(predictor: Predictor) -> None:
    window = random_windows(1, 60)[0]
    masked = []
    for nucleotide in (6, 9):
        changed = window.copy()
        changed[30] = nucleotide
        unmasked = changed.copy()
        changed[30] = MASK
        masked.append(predictor.log_probs([changed, unmasked]))
    np.testing.assert_array_equal(masked[0][0], masked[1][0])
    assert not np.array_equal(masked[0][1], masked[1][1])


def test_no_windows(predictor: Predictor) -> None:
    assert predictor.log_probs([]) == []
    assert predictor.passes_run == 0


def test_a_window_that_is_too_long(predictor: Predictor) -> None:
    with pytest.raises(ModelError, match="a window of 301 nucleotides does not fit a model that reads at most 300"):
        predictor.log_probs(random_windows(1, 301))
    assert len(predictor.log_probs(random_windows(1, 300))[0]) == 300


@pytest.mark.parametrize("precision", [Precision.FLOAT16, Precision.BFLOAT16])
def test_half_precision_is_near_float32(folder: Path, predictor: Predictor, precision: Precision) -> None:
    windows = random_windows(2)
    half = Predictor(load_masked_lm(folder).network, CPU, precision).log_probs(windows)
    for result, exact in zip(half, predictor.log_probs(windows), strict=True):
        assert result.dtype == np.float64
        assert 0 < np.abs(result - exact).mean() < 0.1


def test_kl_context_of_a_tiny_model_is_off_the_floor(predictor: Predictor) -> None:
    ref = random_windows(1, 300)[0]
    alt = ref.copy()
    alt[150] = 6 if ref[150] != 6 else 7
    logp_ref, logp_alt = predictor.log_probs([ref, alt])
    divergence = kl_divergence(logp_alt, logp_ref)
    score = kl_context(divergence[150 - FLANK : 150][::-1], divergence[151 : 151 + FLANK])
    assert -1380 < score < 0


def _count_forward(network: MaskedLM) -> Callable[[], int]:
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    return lambda: len(calls)


def test_one_reference_pass_serves_every_alternate(folder: Path) -> None:
    network = load_masked_lm(folder).network
    passes = _count_forward(network)
    predictor = Predictor(network, CPU)
    reference, *alternates = random_windows(4)
    for alternate in alternates:
        predictor.log_probs([reference, alternate])
    assert passes() == predictor.passes_run == 4


class SmallDevice(MaskedLM):
    """Has memory for passes of so many windows."""

    room = 4

    def forward(self, ids: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        if len(ids) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().forward(ids, places)


@pytest.mark.parametrize(("room", "expected"), [(16, 16), (15, 8), (4, 4), (1, 1)])
def test_passes_are_halved_until_they_fit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, room: int, expected: int
) -> None:
    monkeypatch.setattr(predict, "windows_per_pass", lambda _: 16)
    monkeypatch.setattr(SmallDevice, "room", room)
    predictor = Predictor(SmallDevice(tiny_config(hidden=8, heads=1, layers=1, max_nt=100)), CPU)
    predictor.fit()
    assert predictor.windows_per_pass == expected
    said = [record.getMessage() for record in caplog.records]
    assert said == ([f"cpu: little memory: {expected} windows in a pass instead of 16"] if room < 16 else [])
    assert len(predictor.log_probs(random_windows(5, 100))) == 5


def test_a_device_too_small_for_one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "windows_per_pass", lambda _: 16)
    monkeypatch.setattr(SmallDevice, "room", 0)
    predictor = Predictor(SmallDevice(tiny_config(hidden=8, heads=1, layers=1, max_nt=100)), CPU)
    with pytest.raises(DeviceError, match="cpu: has no memory for one window of 100 nt; choose --device cpu"):
        predictor.fit()


def test_windows_under_way_are_not_run_again(folder: Path) -> None:
    predictor = Predictor(load_masked_lm(folder).network, CPU)
    window, other = random_windows(2, 300)
    (full,) = Predictor(load_masked_lm(folder).network, CPU).log_probs([window])
    first = predictor.start([window], [np.array([10])])
    second = predictor.start([window, other], [np.array([20, 250]), np.array([0])])
    assert (predictor.windows_run, predictor.passes_run) == (3, 3)
    (at_first,), (at_second, _) = first(), second()
    np.testing.assert_array_equal(at_first[10], full[10])
    np.testing.assert_array_equal(at_second[[20, 250]], full[[20, 250]])


@pytest.mark.parametrize("per_pass", [1, 4])
def test_all_in_one_array_are_the_rows_of_each_window(
    folder: Path, monkeypatch: pytest.MonkeyPatch, per_pass: int
) -> None:
    monkeypatch.setattr(predict, "windows_per_pass", lambda _: per_pass)
    network = load_masked_lm(folder).network
    one, two, short = *random_windows(2, 300), random_windows(1, 40)[0]
    windows = [one, two, one.copy(), short, two]
    positions = [np.array(some, dtype=np.intp) for some in ([5, 299, 0], [150], [250, 5], [39, 0, 20], [])]
    each = Predictor(network, CPU).log_probs(windows)
    predictor = Predictor(network, CPU)
    together = predictor.start_at(windows, positions)()
    assert (predictor.windows_served, predictor.windows_run) == (5, 3)
    expected = np.concatenate([rows[some] for rows, some in zip(each, positions, strict=True)])
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-4 if per_pass > 1 else 0)
    assert together.shape == (9, 4)

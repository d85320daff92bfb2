"""benchmarks/low_precision.py: roundings by hand, passes equal to the network's, reference + δ equal to both passes."""

import numpy as np
import pytest
import torch

from benchmarks import low_precision as low
from sbert_model.checkpoint import load_masked_lm
from sbert_model.network import MaskedLM
from tests.models import write_random_masked_lm

HEADS = 4


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> MaskedLM:
    return load_masked_lm(write_random_masked_lm(tmp_path_factory.mktemp("m") / "mlm", heads=HEADS, max_nt=62)).network


@pytest.fixture(scope="module")
def ids() -> tuple[torch.Tensor, torch.Tensor]:
    """A sequence, and the same with another base in the middle."""
    reference = torch.from_numpy(np.random.default_rng(1).integers(6, 10, 64))
    alternate = reference.clone()
    alternate[30] = 6 + (alternate[30] - 5) % 4
    return reference, alternate


def bert(network: MaskedLM, dtype: torch.dtype) -> low.Bert:
    return low.Bert(network.state_dict(), HEADS, network.config.layer_norm_eps, dtype)


def test_tf32_by_hand() -> None:
    exact = [1.0, -3.5, 1 + 2**-10, 0.0]
    assert low.to_tf32(torch.tensor(exact)).tolist() == exact
    halfway = torch.tensor([1 + 2**-11, 1 + 3 * 2**-11, -(1 + 2**-11), 1 + 2**-11 + 2**-20])
    assert low.to_tf32(halfway).tolist() == [1.0, 1 + 2**-9, -1.0, 1 + 2**-10]


def test_low_halves_keep_what_one_half_loses() -> None:
    random = torch.Generator().manual_seed(1)
    a, b = (torch.randn(64, 64, generator=random) for _ in range(2))
    exact = a.double() @ b.double()
    errors = {
        name: ((product(a, b).double() - exact).abs().max() / exact.abs().max()).item()
        for name, product in {
            "bfloat16": low.rounded(low.to_bfloat16),
            "float16": low.rounded(low.to_float16),
            "split bfloat16": low.split(low.to_bfloat16),
            "split float16": low.split(low.to_float16),
        }.items()
    }
    assert errors["bfloat16"] > 5 * errors["float16"] > 50 * errors["split bfloat16"] > 50 * errors["split float16"]


def test_scaling_keeps_what_float16_cannot_hold() -> None:
    a, b = torch.tensor([[1e-9, 3e-9]]), torch.tensor([[2e-8], [1e-8]])
    assert low.rounded(low.to_float16)(a, b).item() == 0
    assert low.scaled_float16(a, b).item() == pytest.approx(5e-17, rel=1e-3)
    assert low.scaled_float16(torch.zeros(2, 2), b).tolist() == [[0.0], [0.0]]


def test_a_pass_is_the_networks(network: MaskedLM, ids: tuple[torch.Tensor, torch.Tensor]) -> None:
    with torch.inference_mode():
        expected = network(ids[0][None])[0, :, 6:10]
        found = bert(network, torch.float32).logits(ids[0], low.exact)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=0, atol=2e-5)


def test_reference_plus_delta_are_both_passes(network: MaskedLM, ids: tuple[torch.Tensor, torch.Tensor]) -> None:
    exact = bert(network, torch.float64)
    with torch.inference_mode():
        both = exact.paired(*ids, low.exact)
        expected = [exact.logits(one, low.exact) for one in ids]
    np.testing.assert_allclose(both.ref.numpy(), expected[0].numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(both.alt.numpy(), expected[1].numpy(), rtol=0, atol=1e-12)
    assert both.delta.abs().max() > 1e-3


def test_in_bfloat16_the_difference_errs_less_than_the_passes(
    network: MaskedLM, ids: tuple[torch.Tensor, torch.Tensor]
) -> None:
    product = low.rounded(low.to_bfloat16)
    exact, single = bert(network, torch.float64), bert(network, torch.float32)
    with torch.inference_mode():
        truth = exact.paired(*ids, low.exact).delta
        paired = single.paired(*ids, product).delta.double()
        plain = (single.logits(ids[1], product) - single.logits(ids[0], product)).double()
    assert (paired - truth).abs().median() * 2 < (plain - truth).abs().median()

"""Masked language modelling: which nucleotides the model has to name, and what it sees in their place."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sbert_model.tokenizer import MASK, A, T

IGNORED = -100  # label of a token that does not count, as in torch's cross-entropy

Tokens = npt.NDArray[np.int64]


class Masked(NamedTuple):
    """What the model reads, and the true ids of the chosen tokens (IGNORED elsewhere); both as the ids they come of."""

    input_ids: Tokens
    labels: Tokens


def mask_tokens(ids: Tokens, rng: np.random.Generator, rate: float = 0.15) -> Masked:
    """Choose `rate` of the nucleotides of ids, of any shape; special tokens and N are never chosen.

    80 % of the chosen become [MASK], 10 % a uniform A, C, G or T, 10 % stay (Devlin et al. 2019, section 3.1).
    """
    chosen = (rng.random(ids.shape) < rate) & (ids >= A) & (ids <= T)
    fate = rng.random(ids.shape)
    random = rng.integers(A, T + 1, ids.shape)
    shown = np.where(fate < 0.8, MASK, np.where(fate < 0.9, random, ids))
    return Masked(np.where(chosen, shown, ids), np.where(chosen, ids, IGNORED))

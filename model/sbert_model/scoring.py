"""Scores of a variant from log-probabilities, as pure functions in float64.

Source: Chen et al. 2024, "Self-supervised learning on millions of primary RNA sequences from 72 vertebrates improves
sequence-based RNA splicing prediction", Briefings in Bioinformatics 25(3), bbae163, section "Assessing the impact of
genetic variants using KL divergence", and the code published with it.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sbert_model.tokenizer import NUCLEOTIDES

Floats = npt.NDArray[np.float64]

FLANK: Final = 100
"""Bases on either side of the allele that KL-context looks at."""
PROBABILITY_FLOOR: Final = 1e-6
"""Probabilities are clipped to [1e-6, 1]."""
KL_FLOOR: Final = 1e-6
"""Mean divergences below it count as this, in nats."""
KL_CONTEXT_FLOOR: Final = FLANK * math.log(KL_FLOOR)
"""KL-context of a variant that changes nothing: −1381.55 nats."""


def kl_divergence(logp_alt: npt.ArrayLike, logp_ref: npt.ArrayLike) -> Floats:
    """KL(i) = Σ_x p_alt(x) ln(p_alt(x) / p_ref(x)) in nats, shape (…,), from log-probabilities (…, classes).

    Source: Chen et al. 2024, section "Assessing the impact of genetic variants using KL divergence". Probabilities are
    clipped to [1e-6, 1] first, which bounds every ratio; clipped ones need not sum to 1, so that a divergence can come
    out as much as 3e-6 below zero.
    """
    alt = _clip(logp_alt)  # (…, classes)
    ref = _clip(logp_ref)  # (…, classes)
    divergence: Floats = np.sum(np.exp(alt) * (alt - ref), axis=-1)  # (…,)
    return divergence


def _clip(log_probs: npt.ArrayLike) -> Floats:
    return np.clip(np.asarray(log_probs, dtype=np.float64), math.log(PROBABILITY_FLOOR), 0.0)


def kl_context(kl_left: npt.ArrayLike, kl_right: npt.ArrayLike) -> float:
    """KL-context in nats: Σ_{d=1..100} ln(max((KL(left d) + KL(right d)) / 2, 1e-6)); higher = more disruptive.

    Both arrays are (100,) and run outward from the allele: element 0 is d = 1. The allele itself is left out.
    Source: Chen et al. 2024, section "Assessing the impact of genetic variants using KL divergence".
    Raises ValueError for flanks of another length.
    """
    return float(kl_contexts(np.asarray(kl_left)[None], np.asarray(kl_right)[None])[0])


def kl_contexts(kl_left: npt.ArrayLike, kl_right: npt.ArrayLike) -> Floats:
    """KL-contexts (B,) of several alleles from their flanks (B, 100); see `kl_context`."""
    left = np.asarray(kl_left, dtype=np.float64)
    right = np.asarray(kl_right, dtype=np.float64)
    if left.shape[1:] != (FLANK,) or right.shape != left.shape:
        raise ValueError(f"flanks of {left.shape[1:]} and {right.shape[1:]}, expected ({FLANK},) each")
    logs = np.log(np.maximum((left + right) / 2, KL_FLOOR), order="C")  # (B, 100)
    # Neighbours in memory, so that an allele's sum has one order whatever it is scored with.
    contexts: Floats = logs.sum(axis=1)
    return contexts


def splice_site_kl(logp_alt: npt.ArrayLike, logp_ref: npt.ArrayLike) -> float | None:
    """KL averaged over the bases of a splice site, in nats, from log-probabilities (bases, classes); None without any.

    Source: Chen et al. 2024, same section as KL-context, and the authors' code (donor_kl, acceptor_kl).
    """
    return float(splice_site_kls(logp_alt, logp_ref)) if len(np.asarray(logp_alt)) else None


def splice_site_kls(logp_alt: npt.ArrayLike, logp_ref: npt.ArrayLike) -> Floats:
    """Splice-site KL (…,) of several sites from (…, bases, classes), a base at least; see `splice_site_kl`."""
    return np.asarray(kl_divergence(logp_alt, logp_ref).mean(axis=-1))


class BranchpointChange(NamedTuple):
    """Largest loss and gain of p(branchpoint), each 0…1; lost: index of the base that loses most, if any does."""

    loss: float
    gain: float
    lost: int | None

    @property
    def is_finite(self) -> bool:
        """Whether the model gave finite probabilities."""
        return math.isfinite(self.loss + self.gain)


def branchpoint_change(p_ref: npt.ArrayLike, p_alt: npt.ArrayLike) -> BranchpointChange:
    """Branchpoint disruption: max(p_ref − p_alt) and max(p_alt − p_ref), at least 0, over aligned bases (bases,).

    A base that only one of the two sequences has gets probability 0 in the other.
    """
    loss = np.asarray(p_ref, dtype=np.float64) - np.asarray(p_alt, dtype=np.float64)  # (bases,)
    lost = int(loss.argmax())
    return BranchpointChange(
        max(float(loss[lost]), 0.0), max(float(-loss.min()), 0.0), lost if loss[lost] > 0 else None
    )


def delta_probability(log_probs: npt.ArrayLike, ref_index: int, alt_index: int) -> float:
    """p(alt) − p(ref) at the masked position, −1…1, from its log-probabilities (4,) over A, C, G, T.

    Indices are positions in this order: 0 = A … 3 = T. Source: Chen et al. 2024, same section as KL-context.
    Raises ValueError for another shape.
    """
    values = np.asarray(log_probs, dtype=np.float64)
    if values.shape != (len(NUCLEOTIDES),):
        raise ValueError(f"log-probabilities of shape {values.shape}, expected ({len(NUCLEOTIDES)},)")
    return float(np.exp(values[alt_index]) - np.exp(values[ref_index]))

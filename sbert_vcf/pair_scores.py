"""The scores of one allele on one strand, from its two windows and what the model says of them."""

import math
from collections.abc import Iterable, Mapping

from sbert_model.predict import LogProbs
from sbert_model.scoring import delta_probability, kl_context, kl_divergence, splice_site_kl
from sbert_model.tokenizer import NUCLEOTIDES
from sbert_vcf.results import SpliceSiteKL
from sbert_vcf.splice_sites import SpliceSites
from sbert_vcf.variant import Allele
from sbert_vcf.windows import WindowPair, align_bases

LogProbsOf = Mapping[bytes, LogProbs]
"""Log-probabilities (W, 4) by the window's bytes."""


def kl_context_of(pair: WindowPair, log_probs: LogProbsOf) -> float:
    """KL-context in nats."""
    reference = log_probs[pair.reference.tobytes()]  # (W, 4)
    alternate = log_probs[pair.alternate.tobytes()]  # (W, 4)
    left, right = (
        kl_divergence(alternate[alt_flank], reference[ref_flank])  # (100,)
        for alt_flank, ref_flank in zip(pair.alternate_flanks, pair.reference_flanks, strict=True)
    )
    return kl_context(left, right)


def delta_of(pair: WindowPair, log_probs: LogProbsOf) -> float:
    """p(alt) − p(ref) at the masked base; the masked window must be among those read."""
    masked = log_probs[pair.masked().tobytes()][pair.centre]  # (4,)
    ref, alt = (NUCLEOTIDES.index(ids[pair.centre]) for ids in (pair.reference, pair.alternate))
    return delta_probability(masked, ref, alt)


def splice_site_kl_of(
    pair: WindowPair, allele: Allele, strand: str, sites: Iterable[SpliceSites], log_probs: LogProbsOf
) -> SpliceSiteKL:
    """Splice-site KL in nats of a donor and an acceptor; of those for which it sums to most, of equals the first."""
    reference = log_probs[pair.reference.tobytes()]  # (W, 4)
    alternate = log_probs[pair.alternate.tobytes()]  # (W, 4)

    def at(bases: range) -> float | None:
        found = align_bases(allele, strand, len(pair.reference), bases)
        return splice_site_kl(alternate[found.alternate], reference[found.reference])

    return max(
        (SpliceSiteKL(at(donor), at(acceptor)) for donor, acceptor in dict.fromkeys(sites)),
        key=lambda found: -math.inf if found.total is None else found.total,
        default=SpliceSiteKL(),
    )

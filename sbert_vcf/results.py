"""What scoring an allele gives."""

from typing import NamedTuple

from sbert_vcf.strand import Placement
from sbert_vcf.variant import Allele, Status


class SpliceSiteKL(NamedTuple):
    """Splice-site KL in nats at the donor and the acceptor of the exon nearest to the allele; None without the site."""

    donor: float | None = None
    acceptor: float | None = None

    @property
    def total(self) -> float | None:
        """Donor + acceptor, or the one of them that there is; None without either."""
        if self.donor is None or self.acceptor is None:
            return self.acceptor if self.donor is None else self.donor
        return self.donor + self.acceptor


class BranchpointScore(NamedTuple):
    """What an allele does to the branchpoints before one acceptor; loss and gain of probability, each 0…1.

    position: of the base that loses most, in nt from the first exon base (-25: 25 nt upstream), None where none loses.
    acceptor: 0-based coordinate of the first exon base.
    """

    loss: float
    gain: float
    position: int | None
    acceptor: int


NO_SITES = SpliceSiteKL()


class GeneScore(NamedTuple):
    """The scores of one allele on one gene's strand. kl in nats; delta is p(alt) - p(ref), substitutions only."""

    placement: Placement
    kl: float
    delta: float | None = None
    splice_sites: SpliceSiteKL = NO_SITES
    branchpoint: BranchpointScore | None = None


class AlleleResult(NamedTuple):
    """One ALT (number counts from 1) with its status and a score per gene; `allele` is what was scored."""

    alt: str
    number: int
    status: Status
    scores: tuple[GeneScore, ...] = ()
    allele: Allele | None = None

    @property
    def kl(self) -> float | None:
        """KL-context in nats, the maximum over strands; None without a score."""
        return max((score.kl for score in self.scores), default=None)

    @property
    def ss(self) -> float | None:
        """Splice-site KL in nats, the maximum over genes; None without a site."""
        return max((total for score in self.scores if (total := score.splice_sites.total) is not None), default=None)

    @property
    def bp(self) -> float | None:
        """Branchpoint disruption, 0…1, the maximum over acceptors; None where the allele reaches no region."""
        return max((score.branchpoint.loss for score in self.scores if score.branchpoint), default=None)

    @property
    def delta(self) -> float | None:
        """p(alt) - p(ref) of the largest magnitude over strands; None when it was not asked for or has no meaning."""
        return max((score.delta for score in self.scores if score.delta is not None), key=abs, default=None)

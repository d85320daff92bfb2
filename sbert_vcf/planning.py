"""From an ALT allele to what has to be asked of the models: its normal form, its placements, windows and scores."""

from collections.abc import Iterator
from typing import NamedTuple

from sbert_vcf.acceptors import acceptors_of
from sbert_vcf.branchpoints import BranchpointPair, BranchpointScorer
from sbert_vcf.genes import Genes
from sbert_vcf.notices import Notices
from sbert_vcf.pair_scores import DeltaLogit, KLContext, PairScore, SpliceSiteDivergence
from sbert_vcf.reference import Reference
from sbert_vcf.splice_sites import SitesAround
from sbert_vcf.strand import Placement, Site, StrandSource
from sbert_vcf.variant import Allele, Status, left_align, trim, unscorable
from sbert_vcf.windows import WindowPair, align_bases, build_windows, fits, flank_status


class OnStrand(NamedTuple):
    """The scores that do not depend on the gene."""

    kl: KLContext
    delta: DeltaLogit | None


class Sites(NamedTuple):
    """The scores of a donor and an acceptor; None without the site."""

    donor: SpliceSiteDivergence | None
    acceptor: SpliceSiteDivergence | None


class Planned(NamedTuple):
    """An allele that has windows to be read, with its placements, and what is wanted of it."""

    allele: Allele
    placements: list[Placement]
    strands: dict[str, OnStrand]
    sites: list[list[Sites]]
    """For each placement the splice sites by which the allele is judged."""
    branchpoints: list[list[BranchpointPair]]
    """For each placement the windows before the acceptors that the allele reaches."""

    def pair_scores(self) -> Iterator[PairScore]:
        """All but the branchpoints'."""
        for on_strand in self.strands.values():
            yield on_strand.kl
            if on_strand.delta is not None:
                yield on_strand.delta
        of_sites = (score for placement in self.sites for sites in placement for score in sites)
        yield from dict.fromkeys(score for score in of_sites if score is not None)


class Planner:
    """Plans alleles against one reference.

    window: nt that the model reads; exons: genes with exons, for the splice sites; delta: whether the masked base is
    wanted as well.
    """

    def __init__(
        self,
        reference: Reference,
        strands: StrandSource,
        *,
        window: int,
        exons: Genes | None,
        delta: bool,
        branchpoints: BranchpointScorer | None,
        notices: Notices,
    ) -> None:
        self._reference = reference
        self._strands = strands
        self._window = window
        self._exons = exons
        self._sites_around = SitesAround(exons) if exons is not None else None
        self._delta = delta
        self._branchpoints = branchpoints
        self._notices = notices

    def plan(self, site: Site, index: int) -> Planned | Status:
        """Return what is wanted of a site's ALT, or why it cannot be scored."""
        alt = site.alts[index]
        allele = unscorable(site.ref, alt) or self._normalized(site, alt)
        if isinstance(allele, Status):
            return allele
        status = flank_status(allele, self._reference)
        if status is not None:
            return status
        placements = self._strands.placements(site, index, allele)
        if not placements:
            return Status.NO_GENE
        strands: dict[str, OnStrand] = {}
        for placement in placements:
            if placement.strand not in strands:
                strands[placement.strand] = self._on_strand(allele, placement.strand)
        sites = [self._sites(placement, allele, strands[placement.strand].kl.pair) for placement in placements]
        pairs = [self._branchpoint_pairs(placement, allele) for placement in placements]
        return Planned(allele, placements, strands, sites, pairs)

    def _on_strand(self, allele: Allele, strand: str) -> OnStrand:
        pair = build_windows(allele, strand, self._reference, self._window)
        substitution = allele.end - allele.start == len(allele.alt) == 1
        return OnStrand(KLContext(pair, strand), DeltaLogit(pair, strand) if self._delta and substitution else None)

    def _sites(self, placement: Placement, allele: Allele, pair: WindowPair) -> list[Sites]:
        """Return the scores of each donor and acceptor, where one of them lies in the windows."""
        first = allele.start - self._window // 2
        last = first + self._window
        if self._exons is None or self._sites_around is None:
            return []
        # The two bases of a site lie on one side of its boundary.
        if not self._exons.has_splice_site(allele.contig, first - 1, last + 1):
            return []
        found: dict[range, SpliceSiteDivergence | None] = {}

        def at(bases: range) -> SpliceSiteDivergence | None:
            if bases not in found:
                aligned = align_bases(allele, placement.strand, self._window, bases)
                found[bases] = SpliceSiteDivergence(pair, placement.strand, aligned) if len(aligned.reference) else None
            return found[bases]

        return [
            Sites(at(donor), at(acceptor))
            for donor, acceptor in self._sites_around.of(placement, allele)
            if (donor.start < last and donor.stop > first) or (acceptor.start < last and acceptor.stop > first)
        ]

    def _branchpoint_pairs(self, placement: Placement, allele: Allele) -> list[BranchpointPair]:
        if self._branchpoints is None:
            return []
        acceptors = acceptors_of(placement, allele, self._exons, self._branchpoints.reach, self._reference.letters)
        return self._branchpoints.pairs(allele, acceptors, self._reference) if acceptors else []

    def _normalized(self, site: Site, alt: str) -> Allele | Status:
        contig = self._reference.contig(site.contig)
        if contig is None:
            self._notices.warn(
                "contig-missing",
                f"contigs that {self._reference.path} does not have (first: {site.contig}) get CONTIG_MISSING; --alias "
                "can name them",
            )
            return Status.CONTIG_MISSING
        end = site.start + len(site.ref)
        if site.start < 0 or end > self._reference.contigs[contig]:
            return Status.CONTIG_END
        there, ref = self._reference.letters(contig, site.start, end), site.ref.upper()
        if there != ref and any(known not in ("N", base) for known, base in zip(there, ref, strict=True)):
            return Status.REF_MISMATCH
        allele = trim(contig, site.start, site.ref, alt)
        if not fits(allele, self._window):
            return Status.TOO_LONG
        return left_align(allele, self._reference.letters)

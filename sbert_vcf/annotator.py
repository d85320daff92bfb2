"""The path from alleles to scores: windows, one pass of the model per window, KL-context."""

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from types import TracebackType

from sbert_model.checkpoint import Checkpoint, load_masked_lm, load_token_classifier
from sbert_model.compute import Compute
from sbert_model.contigs import read_aliases
from sbert_model.device import select_devices
from sbert_model.errors import ModelError
from sbert_model.network import MaskedLM
from sbert_model.precision import COSTS, Precision, resolve_precision, why_not_split
from sbert_model.predict import Predictor
from sbert_model.registry import resolve
from sbert_model.scoring import FLANK, BranchpointChange
from sbert_vcf import fields
from sbert_vcf.branchpoints import BranchpointPair, BranchpointScorer, not_finite, score_pairs
from sbert_vcf.consequence import ConsequenceField
from sbert_vcf.genes import Genes
from sbert_vcf.known_scores import KnownScores
from sbert_vcf.notices import LOGGER, Notices
from sbert_vcf.options import ScoringOptions, find_branchpoint_model, find_model, find_reference
from sbert_vcf.pair_scores import PairScore
from sbert_vcf.planning import Planned, Planner, Sites
from sbert_vcf.reference import Reference
from sbert_vcf.results import NO_SITES, AlleleResult, GeneScore, SpliceSiteKL
from sbert_vcf.score_cache import ScoreCache
from sbert_vcf.strand import Site, StrandSource
from sbert_vcf.variant import Status, Variant

LARGEST_WINDOW = 1024
Plans = list[list[Planned | Status]]
"""For each site and ALT what is wanted of it, or why it cannot be scored."""


class Annotator:
    """Scores the ALT alleles of sites against one reference with one model. Use as a context manager.

    batch_size: how many alleles are gathered before the model runs. strand: a mode of --strand; field: the consequence
    field of the sites, if they carry one; delta: also compute p(alt) - p(ref) at the masked position, one more pass for
    each single-nucleotide substitution and strand; branchpoints: also score branchpoints, by this model, which takes
    passes of its own for alleles near an acceptor; branchpoints_asked: whether it was asked for, so that it deserves a
    warning where no acceptors are known; cache: where scores are looked up first, and compute: what the
    predictors run on, both closed with the annotator.
    Raises ModelError for a model that reads too few nucleotides.
    """

    def __init__(
        self,
        reference: Reference,
        predictor: Predictor,
        model: Checkpoint[MaskedLM],
        *,
        batch_size: int | None = None,
        strand: str = "auto",
        field: ConsequenceField | None = None,
        genes: Genes | None = None,
        delta: bool = False,
        branchpoints: BranchpointScorer | None = None,
        branchpoints_asked: bool = True,
        cache: ScoreCache | None = None,
        compute: Compute | None = None,
        notices: Notices | None = None,
    ) -> None:
        self.reference = reference
        self.predictor = predictor
        self.model = model
        self.window = min(LARGEST_WINDOW, model.config.max_nucleotides)
        if self.window < 2 * FLANK + 2:
            raise ModelError(f"{model.name}: reads {self.window} nt; KL-context needs at least {2 * FLANK + 2}")
        self.batch_size = batch_size or predictor.default_batch_size
        self.delta = delta
        self._notices = notices or Notices()
        self.branchpoints = branchpoints
        self.cache = cache
        self.devices = compute.devices if compute else str(predictor.device)
        self._compute = compute
        self._known = KnownScores(cache, model, predictor)
        if branchpoints is not None:
            self._known_branchpoints = KnownScores(cache, branchpoints.model, branchpoints.predictor)
        self.genes = genes
        self._exons = genes if genes is not None and genes.has_exons else None
        self.strands = StrandSource(strand, field, genes, self._notices)
        self._planner = Planner(
            reference,
            self.strands,
            window=self.window,
            exons=self._exons,
            delta=delta,
            branchpoints=branchpoints,
            notices=self._notices,
        )
        self.optional_fields = self._optional_fields(branchpoints_asked)

    def _optional_fields(self, branchpoints_asked: bool) -> frozenset[str]:
        """Return the INFO fields, of those that not every run writes, for which this one has what they need."""
        knows_acceptors = self._exons is not None or self.strands.has_hgvsc
        has_bp = self.branchpoints is not None and knows_acceptors
        without_bp = self.branchpoints is not None and not knows_acceptors
        if self.genes is not None and self._exons is None:
            left_out = f"{fields.SS_ID} and {fields.BP_ID} are" if without_bp else f"{fields.SS_ID} is"
            self._notices.warn("exons", f"{self.genes.path}: names no exons: {left_out} left out")
        elif without_bp:
            LOGGER.log(
                logging.WARNING if branchpoints_asked else logging.INFO,
                "%s is left out: no acceptors are known; give --genes with exons, or run VEP with --hgvs",
                fields.BP_ID,
            )
        written = {fields.DELTA_ID: self.delta, fields.SS_ID: self._exons is not None, fields.BP_ID: has_bp}
        return frozenset(field for field, there in written.items() if there)

    @classmethod
    def open(
        cls,
        options: ScoringOptions,
        *,
        field: ConsequenceField | None = None,
        header_reference: str | None = None,
        notices: Notices | None = None,
    ) -> "Annotator":
        """Open what `options` names: reference, genes and model, the model on its device.

        field: the consequence field that sites will carry; header_reference: the FASTA that a VCF header names.
        Raises SbertError subclasses for whatever is missing or broken.
        """
        devices = select_devices(options.device, options.workers)
        precision = resolve_precision(options.precision, *devices)
        if options.precision == "auto" and devices[0].type == "cuda" and precision is Precision.FLOAT32:
            reason = next(filter(None, map(why_not_split, devices)))
            LOGGER.warning("%s: float32 is used instead of split precision, which is several times as fast", reason)
        if precision in COSTS:
            LOGGER.warning("--precision %s breaks the accuracy contract: %s", precision.value, COSTS[precision])
        aliases = read_aliases(Path(options.alias)) if options.alias else []
        fasta = find_reference(options.reference, header_reference)
        # Before a genome is indexed and an annotation parsed, which may take minutes.
        name = find_model(options.model)
        model = load_masked_lm(resolve(name), name)
        with contextlib.ExitStack() as stack:
            compute = Compute(devices, precision, options.threads)
            stack.callback(compute.close)
            predictor = compute.predictor(model.network)
            branchpoints = _open_branchpoints(options, compute)
            reference = Reference(fasta, aliases)
            genes = Genes.open(Path(options.genes), aliases) if options.genes else None
            predictor.fit()
            LOGGER.info("model: %s (sha256 %s…), %s on %s", name, model.sha256[:12], precision.value, compute.devices)
            annotator = cls(
                reference,
                predictor,
                model,
                batch_size=options.batch_size,
                strand=options.strand,
                field=field,
                genes=genes,
                delta=options.delta,
                branchpoints=branchpoints,
                branchpoints_asked=options.branchpoint_model is not None,
                cache=ScoreCache(Path(options.cache)) if options.cache else None,
                compute=compute,
                notices=notices,
            )
            stack.pop_all()
        if branchpoints is not None and fields.BP_ID in annotator.optional_fields:
            used = branchpoints.model
            LOGGER.info("branchpoint model: %s (sha256 %s…)", used.name, used.sha256[:12])
        return annotator

    def __enter__(self) -> "Annotator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reference.__exit__(kind, error, trace)
        if self.cache is not None:
            self.cache.close()
        if self._compute is not None:
            self._compute.close()

    def score(self, variants: Iterable[Variant]) -> Iterator[AlleleResult]:
        """Score variants in order and lazily: `batch_size` of them are read before their first result is given."""
        sites = (Site(variant.contig, variant.start, variant.ref, (variant.alt,)) for variant in variants)
        while chunk := list(islice(sites, self.batch_size)):
            for results in self.score_sites(chunk):
                yield results[0]

    def score_sites(self, sites: Sequence[Site]) -> list[tuple[AlleleResult, ...]]:
        """Score every ALT of every site; results in the order of the sites and their ALTs."""
        return self.start(sites, self.plan(sites))()

    def plan(self, sites: Sequence[Site]) -> Plans:
        """Return what is wanted of every ALT of every site. No other thread may plan at the same time."""
        return [[self._planner.plan(site, index) for index in range(len(site.alts))] for site in sites]

    def start(self, sites: Sequence[Site], plans: Plans) -> Callable[[], list[tuple[AlleleResult, ...]]]:
        """Let the models read what is planned; the function that comes back waits for what `score_sites` returns.

        Functions are to be called in the order in which they came, each once; a thread other than the one that starts
        may do it.
        """
        planned = [plan for row in plans for plan in row if not isinstance(plan, Status)]
        finish_pairs = self._known.start_pair_scores(
            (one for plan in planned for one in plan.pair_scores()), self.predictor
        )
        finish_branchpoints = self._start_branchpoints(planned)

        def finish() -> list[tuple[AlleleResult, ...]]:
            values, changes = finish_pairs(), finish_branchpoints()
            self._check_finite(planned, values, changes)
            return [
                tuple(self._result(alt, number, plan, values, changes) for number, (alt, plan) in enumerate(alleles, 1))
                for alleles in (zip(site.alts, row, strict=True) for site, row in zip(sites, plans, strict=True))
            ]

        return finish

    def _start_branchpoints(
        self, plans: Iterable[Planned]
    ) -> Callable[[], Mapping[BranchpointPair, BranchpointChange]]:
        if self.branchpoints is None:
            return dict
        pairs = (pair for plan in plans for of_placement in plan.branchpoints for pair in of_placement)
        return self._known_branchpoints.start_branchpoints(pairs, self.branchpoints)

    def _result(
        self,
        alt: str,
        number: int,
        plan: Planned | Status,
        values: Mapping[PairScore, float],
        branchpoints: Mapping[BranchpointPair, BranchpointChange],
    ) -> AlleleResult:
        if isinstance(plan, Status):
            return AlleleResult(alt, number, plan)
        scores = []
        for placement, sites, pairs in zip(plan.placements, plan.sites, plan.branchpoints, strict=True):
            on_strand = plan.strands[placement.strand]
            kl, delta = values[on_strand.kl], _value(on_strand.delta, values)
            scores.append(
                GeneScore(placement, kl, delta, _splice_site_kl(sites, values), score_pairs(pairs, branchpoints))
            )
        return AlleleResult(alt, number, Status.OK, tuple(scores), plan.allele)

    def _check_finite(
        self,
        planned: Iterable[Planned],
        values: Mapping[PairScore, float],
        changes: Mapping[BranchpointPair, BranchpointChange],
    ) -> None:
        """Raise ModelError that names the first allele of which a score is no number."""
        bad = {score for score, value in values.items() if not math.isfinite(value)}
        bad_pairs = {pair for pair, change in changes.items() if not change.is_finite}
        for plan in planned if bad or bad_pairs else ():
            where = f"around {plan.allele.contig}:{plan.allele.start + 1}"
            if not bad.isdisjoint(plan.pair_scores()):
                raise ModelError(not_finite(self.model.name, f"probabilities {where}"))
            if self.branchpoints is not None and not bad_pairs.isdisjoint(chain.from_iterable(plan.branchpoints)):
                raise ModelError(not_finite(self.branchpoints.model.name, f"branchpoint probabilities {where}"))

    def log_windows(self) -> None:
        """Say how the cache did and, for those who want to know, how many windows the models have read."""
        if self.cache is not None and (summary := self.cache.summary()):
            LOGGER.info("%s", summary)
        for what, scorer in (("windows", self), ("branchpoint windows", self.branchpoints)):
            if scorer is not None:
                read = scorer.predictor
                LOGGER.debug("%s: %d asked for, %d run", what, read.windows_served, read.windows_run)


def _value(score: PairScore | None, values: Mapping[PairScore, float]) -> float | None:
    return None if score is None else values[score]


def _splice_site_kl(sites: Sequence[Sites], values: Mapping[PairScore, float]) -> SpliceSiteKL:
    """Of those for which it sums to most, of equals the first."""
    found = [SpliceSiteKL(_value(one.donor, values), _value(one.acceptor, values)) for one in sites]
    if len(found) < 2:
        return found[0] if found else NO_SITES
    return max(found, key=lambda one: -math.inf if one.total is None else one.total)


def _open_branchpoints(options: ScoringOptions, compute: Compute) -> BranchpointScorer | None:
    name = find_branchpoint_model(options.branchpoint_model)
    if name is None:
        return None
    model = load_token_classifier(resolve(name), name)
    predictor = compute.predictor(model.network)
    predictor.fit()
    return BranchpointScorer(model, predictor, options.bp_distance)

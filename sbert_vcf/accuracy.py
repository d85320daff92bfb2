"""The accuracy contract: scores of a device and a precision against those of the same models in float64."""

import dataclasses
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from sbert_model.checkpoint import load_masked_lm, load_token_classifier
from sbert_model.contigs import read_aliases
from sbert_model.errors import InputError
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.precision import Precision
from sbert_model.predict import FinishAt, Indices, LogProbs, Predictor
from sbert_model.scoring import KL_FLOOR
from sbert_model.tokenizer import Ids, with_specials
from sbert_vcf.annotator import Annotator
from sbert_vcf.branchpoints import BranchpointScorer
from sbert_vcf.consequence import ConsequenceField, find_field
from sbert_vcf.generated import generate
from sbert_vcf.genes import Genes
from sbert_vcf.notices import Notices
from sbert_vcf.options import ScoringOptions
from sbert_vcf.results import AlleleResult, GeneScore
from sbert_vcf.strand import Site
from sbert_vcf.vcf_input import VcfInput

ALLELES: Final = 200
"""The least number of alleles on which the contract is measured."""

Floats = npt.NDArray[np.float64]
Scores = tuple[AlleleResult, AlleleResult]
"""What the measured precision and what float64 make of one allele."""


class Figure(NamedTuple):
    """One figure of the contract, measured on `values` scores, with its limit."""

    score: str
    name: str
    values: int
    measured: float
    limit: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        """Whether it keeps to its limit; what is not finite does not."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


class Float64Predictor(Predictor):
    """Runs a network in float64, every window by itself and at all of its bases: on a GPU of NVIDIA, else the CPU."""

    def __init__(self, network: MaskedLM | TokenClassifier, device: torch.device) -> None:
        super().__init__(network, device if device.type == "cuda" else torch.device("cpu"), Precision.FLOAT64)

    def start_at(self, windows: Sequence[Ids], positions: Sequence[Indices]) -> FinishAt:
        """Log-probabilities (bases, classes) at bases of each window; equal windows run once."""
        distinct = {window.tobytes(): window for window in windows}
        found = {key: self._of_window(window) for key, window in distinct.items()}
        asked = zip(windows, positions, strict=True)
        log_probs = [found[window.tobytes()][bases] for window, bases in asked]  # (bases, classes) each
        return lambda: np.concatenate(log_probs)

    def _of_window(self, window: Ids) -> LogProbs:
        with torch.inference_mode():
            ids = torch.from_numpy(with_specials(window[None])).to(self.device)  # (1, W + 2)
            logits = self.network(ids)[0, 1:-1, self.network.classes]  # (W, classes)
            log_probs: LogProbs = torch.log_softmax(logits, dim=-1).cpu().numpy()
            return log_probs


class Check(NamedTuple):
    """How exact a model's scores are: on which alleles and device and in which precision they were made."""

    model: str
    sha256: str
    precision: str
    device: str
    alleles: int
    data: str
    figures: list[Figure]

    @property
    def kept(self) -> bool:
        """Whether every figure keeps to its limit."""
        return all(figure.kept for figure in self.figures)


def check(options: ScoringOptions, vcf: str | None, alleles: int = ALLELES, *, progress: bool = False) -> Check:
    """Score the first alleles of a VCF that can be scored, or made-up ones, and compare with float64.

    Raises InputError where fewer than two can be scored, and SbertError subclasses as an annotator does.
    """
    with ExitStack() as stack:
        sites: Iterable[Site]
        field, header_reference, notices = None, None, Notices()
        if vcf is None:
            made = generate(Path(stack.enter_context(tempfile.TemporaryDirectory())), alleles)
            options = dataclasses.replace(options, reference=str(made.fasta), genes=str(made.genes))
            sites, data = made.sites, "generated variants in generated genes"
        else:
            records = stack.enter_context(VcfInput(vcf, notices))
            field, header_reference = find_field(records.header.info), records.header.reference
            sites, data = _sites(records, field), f"{vcf}"
        annotator = stack.enter_context(
            Annotator.open(options, field=field, header_reference=header_reference, notices=notices)
        )
        exact = in_float64(annotator, options, field, notices)
        with tqdm(total=alleles, unit=" alleles", file=sys.stderr, disable=not progress) as bar:
            scores = []
            for pair in score_both(annotator, exact, sites, alleles):
                scores.append(pair)
                bar.update()
        if len(scores) < 2:
            raise InputError(f"{data}: {len(scores)} alleles can be scored; at least 2 are needed, better {ALLELES}")
        return Check(
            annotator.model.name,
            annotator.model.sha256,
            annotator.predictor.precision.value,
            annotator.devices,
            len(scores),
            data,
            figures(scores),
        )


def _sites(records: VcfInput, field: ConsequenceField | None) -> Iterator[Site]:
    for record in records:
        consequences = record.info(field.id) if field else ""
        yield Site(record.contig, record.start, record.ref, record.alts, consequences)


def in_float64(
    annotator: Annotator, options: ScoringOptions, field: ConsequenceField | None, notices: Notices
) -> Annotator:
    """Return an annotator for the same scores, whose models run in float64; it shares the reference."""
    aliases = read_aliases(Path(options.alias)) if options.alias else []
    device = annotator.predictor.device
    branchpoints = None
    if annotator.branchpoints is not None:
        used = annotator.branchpoints
        classifier = load_token_classifier(used.model.folder, used.model.name).network
        branchpoints = BranchpointScorer(used.model, Float64Predictor(classifier, device), used.distance)
    network = load_masked_lm(annotator.model.folder, annotator.model.name).network
    return Annotator(
        annotator.reference,
        Float64Predictor(network, device),
        annotator.model,
        strand=options.strand,
        field=field,
        genes=Genes.open(Path(options.genes), aliases) if options.genes else None,
        branchpoints=branchpoints,
        notices=notices,
    )


def score_both(annotator: Annotator, exact: Annotator, sites: Iterable[Site], alleles: int) -> Iterator[Scores]:
    """Yield the scores of the first `alleles` alleles that have some."""
    remaining, sites = alleles, iter(sites)
    while remaining and (group := list(islice(sites, min(remaining, annotator.batch_size)))):
        rows = zip(annotator.score_sites(group), exact.score_sites(group), strict=True)
        scored = [pair for row in rows for pair in zip(*row, strict=True) if pair[0].scores][:remaining]
        remaining -= len(scored)
        yield from scored


def figures(scores: Iterable[Scores]) -> list[Figure]:
    """Return the contract's figures, but for scores that no allele has.

    The relative error of a splice-site KL below 1e-6 nats, which counts as nothing in KL-context, is that of 1e-6.
    """
    pairs: list[tuple[GeneScore, GeneScore]] = []
    on_strands: list[tuple[GeneScore, GeneScore]] = []
    for one, other in scores:
        of_genes = list(zip(one.scores, other.scores, strict=True))
        pairs += of_genes
        # KL-context is the same for all genes on a strand.
        on_strands += {pair[0].placement.strand: pair for pair in of_genes}.values()
    kl = _columns(on_strands, lambda score: [score.kl])
    sites = _columns(pairs, lambda score: score.splice_sites)
    branchpoints = _columns(pairs, lambda score: score.branchpoint[:2] if score.branchpoint else ())
    relative = np.abs(sites[0] - sites[1]) / np.maximum(np.abs(sites[1]), KL_FLOOR)
    found = []
    if kl.size:
        found.append(Figure("KL-context", "Spearman correlation", kl.shape[1], spearman(*kl), 0.999, at_least=True))
        found.append(Figure("KL-context", "largest error, nats", kl.shape[1], _largest(kl[0] - kl[1]), 1.0))
    if sites.size:
        found.append(Figure("splice-site KL", "largest relative error", sites.shape[1], _largest(relative), 0.01))
    if branchpoints.size:
        error = _largest(branchpoints[0] - branchpoints[1])
        found.append(Figure("branchpoint loss, gain", "largest error", branchpoints.shape[1], error, 1e-3))
    return found


def _columns(pairs: list[tuple[GeneScore, GeneScore]], values: Callable[[GeneScore], Iterable[float | None]]) -> Floats:
    """Return the values that there are, measured and exact, (2, n)."""
    rows = [
        (one, other)
        for pair in pairs
        for one, other in zip(*map(values, pair), strict=True)
        if one is not None and other is not None
    ]
    columns: Floats = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    return columns


def _largest(errors: Floats) -> float:
    return float(np.abs(errors).max())


def spearman(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation of two arrays (n,), ties at their mean rank; NaN where either is constant."""
    ranks = np.stack([_ranks(one), _ranks(other)])  # (2, n)
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = np.sqrt((ranks**2).sum(axis=1))
    return float(ranks[0] @ ranks[1] / spread.prod()) if spread.all() else float("nan")


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Floats = (ends - (counts - 1) / 2)[inverse]
    return ranks

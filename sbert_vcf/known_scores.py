"""Scores that the cache knows, and the others computed and noted in it."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from sbert_model.checkpoint import Checkpoint
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.predict import Predictor
from sbert_model.scoring import BranchpointChange
from sbert_vcf import pair_scores
from sbert_vcf.branchpoints import BranchpointPair, BranchpointScorer
from sbert_vcf.cache_keys import Scorer
from sbert_vcf.pair_scores import PairScore
from sbert_vcf.score_cache import ScoreCache, Values

_NOWHERE = -1.0


class _Keyed(Protocol):
    def key(self, seed: bytes) -> bytes: ...


_Score = TypeVar("_Score", bound=_Keyed)


class KnownScores:
    """The scores of one model; without a cache all of them are computed."""

    def __init__(
        self, cache: ScoreCache | None, model: Checkpoint[MaskedLM] | Checkpoint[TokenClassifier], predictor: Predictor
    ) -> None:
        precision = str(predictor.dtype).removeprefix("torch.")
        scorer = Scorer(model.name, model.sha256, model.config, precision)
        self._cache = cache
        self._seed = scorer.seed()
        self._model = cache.model_id(scorer) if cache else 0

    def pair_scores(self, scores: Iterable[PairScore], predictor: Predictor) -> dict[PairScore, float]:
        """Return the values of scores; windows are read for those that are not known."""

        def compute(unknown: list[PairScore]) -> dict[PairScore, Values]:
            return {score: (value,) for score, value in pair_scores.values_of(unknown, predictor).items()}

        return {score: value for score, (value,) in self._values(scores, compute).items()}

    def branchpoint_changes(
        self, pairs: Iterable[BranchpointPair], scorer: BranchpointScorer
    ) -> dict[BranchpointPair, BranchpointChange]:
        """Return what alleles do before acceptors; windows are read for those that are not known."""

        def compute(unknown: list[BranchpointPair]) -> dict[BranchpointPair, Values]:
            return {
                pair: (loss, gain, _NOWHERE if lost is None else lost)
                for pair, (loss, gain, lost) in scorer.changes(unknown).items()
            }

        return {
            pair: BranchpointChange(loss, gain, None if lost == _NOWHERE else int(lost))
            for pair, (loss, gain, lost) in self._values(pairs, compute).items()
        }

    def _values(
        self, scores: Iterable[_Score], compute: Callable[[list[_Score]], Mapping[_Score, Values]]
    ) -> Mapping[_Score, Values]:
        if self._cache is None:
            return compute(list(scores))
        keys = {score: score.key(self._seed) for score in scores}
        known = self._cache.find(list(keys.values()))
        found = {score: known[key] for score, key in keys.items() if key in known}
        computed = compute([score for score in keys if score not in found])
        # What is not finite ends the run, and must not meet the next one.
        finite = {keys[score]: values for score, values in computed.items() if all(map(math.isfinite, values))}
        self._cache.note(self._model, finite)
        return {**found, **computed}

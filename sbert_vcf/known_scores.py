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
_Finish = Callable[[], Mapping[_Score, Values]]


class KnownScores:
    """The scores of one model; without a cache all of them are computed."""

    def __init__(
        self, cache: ScoreCache | None, model: Checkpoint[MaskedLM] | Checkpoint[TokenClassifier], predictor: Predictor
    ) -> None:
        scorer = Scorer(model.name, model.sha256, model.config, predictor.precision.value)
        self._cache = cache
        self._seed = scorer.seed()
        self._model = cache.model_id(scorer) if cache else 0

    def start_pair_scores(
        self, scores: Iterable[PairScore], predictor: Predictor
    ) -> Callable[[], dict[PairScore, float]]:
        """Let windows be read for the scores that are not known; what comes back waits for the values of all."""

        def start(unknown: list[PairScore]) -> "_Finish[PairScore]":
            finish = pair_scores.start(unknown, predictor)
            return lambda: {score: (value,) for score, value in finish().items()}

        finish_all = self._start(scores, start)
        return lambda: {score: value for score, (value,) in finish_all().items()}

    def start_branchpoints(
        self, pairs: Iterable[BranchpointPair], scorer: BranchpointScorer
    ) -> Callable[[], dict[BranchpointPair, BranchpointChange]]:
        """Let windows be read for what alleles do before acceptors where it is not known; as for pair scores."""

        def start(unknown: list[BranchpointPair]) -> "_Finish[BranchpointPair]":
            finish = scorer.start(unknown)
            return lambda: {
                pair: (loss, gain, _NOWHERE if lost is None else lost) for pair, (loss, gain, lost) in finish().items()
            }

        finish_all = self._start(pairs, start)
        return lambda: {
            pair: BranchpointChange(loss, gain, None if lost == _NOWHERE else int(lost))
            for pair, (loss, gain, lost) in finish_all().items()
        }

    def _start(self, scores: Iterable[_Score], start: Callable[[list[_Score]], _Finish[_Score]]) -> _Finish[_Score]:
        cache = self._cache
        if cache is None:
            return start(list(scores))
        keys = {score: score.key(self._seed) for score in scores}
        known = cache.find(list(keys.values()))
        found = {score: known[key] for score, key in keys.items() if key in known}
        finish = start([score for score in keys if score not in found])

        def finish_all() -> Mapping[_Score, Values]:
            computed = finish()
            # What is not finite ends the run, and must not meet the next one.
            finite = {keys[score]: values for score, values in computed.items() if all(map(math.isfinite, values))}
            cache.note(self._model, finite)
            return {**found, **computed}

        return finish_all

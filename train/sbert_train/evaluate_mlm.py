"""How well a model names the masked bases of held-out pre-mRNA, beside baselines on the same bases."""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm import tqdm

from sbert_model.checkpoint import load_masked_lm
from sbert_model.device import select_device
from sbert_model.errors import InputError, ModelError
from sbert_model.network import BertConfig, MaskedLM
from sbert_model.predict import Predictor
from sbert_model.registry import resolve
from sbert_model.tokenizer import Ids
from sbert_train.corpus import MANIFEST, TOKEN_BITS, Corpus, open_corpus
from sbert_train.count_models import CountModel, either_side_levels, evenly, fit, log_probabilities, markov_levels
from sbert_train.evaluation_windows import Place, Window, choose_places, read_windows
from sbert_train.masked_bases import Group, MaskedBases, Namer, gather, groups
from sbert_train.mlm_metrics import Figures, figures, unit_sums

LOGGER = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Network = Callable[[Sequence[Ids]], Sequence[Floats]]
"""Natural-log probabilities (L, 4) of A, C, G, T at each base of each window of ids (L,)."""

COUNTED_BASES = 200_000_000  # at most so many training bases are counted: about half a minute
WIDEST_SIDE = 5
INITIAL_DEVIATION = 0.02  # of BERT's first weights
MIN_CONTIGS = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked of the models.

    windows: at most so many per species; None: all. mask_rate: share of a window's bases masked, all at once.
    """

    length: int = 1024
    windows: int | None = None
    mask_rate: float = 0.15
    seed: int = 0
    markov_order: int = 5


@dataclass(frozen=True, slots=True)
class Score:
    """One model on one group of masked bases; intervals come from resampling its `units` contigs or pieces."""

    group_by: str
    group: str
    model: str
    windows: int
    bases: int
    unit: str
    units: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class Comparison:
    """The scores, group by group; `counted_bases` is how many training bases the count models rest on."""

    scores: list[Score]
    counted_bases: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores and where they come from: versions, digests and settings, ready for JSON."""

    model: str
    provenance: dict[str, Any]
    scores: list[Score]


def evaluate(model: str | Path, corpus_folder: Path, settings: Settings, device: str = "auto") -> Evaluation:
    """Score a model (a folder or a name) on the held-out part of a corpus, beside the baselines.

    Raises ModelError, DeviceError and InputError for what cannot be evaluated.
    """
    checkpoint = load_masked_lm(resolve(model))
    longest = checkpoint.config.max_nucleotides
    if settings.length > longest:
        raise ModelError(f"{model}: reads at most {longest} nt; windows of {settings.length} nt do not fit it")
    where = select_device(device)
    corpus = open_corpus(corpus_folder)
    networks = (checkpoint.network, untrained_network(checkpoint.config, settings.seed))
    network, untrained = (Predictor(network, where, remember=0).log_probs for network in networks)
    result = compare(network, untrained, corpus, settings)
    manifest = (corpus_folder / MANIFEST).read_bytes()
    provenance = {
        "version": version("sbert-vcf"),
        "model": {"name": checkpoint.name, "sha256": checkpoint.sha256},
        "corpus": {"species": len(corpus.species), "manifest_sha256": hashlib.sha256(manifest).hexdigest()},
        "settings": asdict(settings) | {"device": str(where), "counted_bases": result.counted_bases},
    }
    return Evaluation(checkpoint.name, provenance, result.scores)


def untrained_network(config: BertConfig, seed: int = 0) -> MaskedLM:
    """Return a network with the random weights that BERT starts from (normal, 0.02; biases 0), in eval mode."""
    network = MaskedLM(config)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=INITIAL_DEVIATION, generator=generator)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    return network.requires_grad_(False).eval()


def compare(network: Network, untrained: Network, corpus: Corpus, settings: Settings) -> Comparison:
    """Score a network, the same network untrained and count models on masked bases of the validation split.

    The count models are fitted on the training split. They see the true bases around each masked base, as in published
    comparisons of this kind; that favours them, for some of these bases are masked for the network.
    Raises InputError for a corpus that holds nothing out, or nothing of the wanted length.
    """
    places = _places(corpus, settings)
    counted, baselines = _count_namers(corpus, settings.markov_order)
    namers = {"model": _network_namer(network), "untrained": _network_namer(untrained), **baselines}
    windows = read_windows(
        corpus.validation, corpus.species, places, settings.length, settings.mask_rate, settings.seed
    )
    # disable=None: silent where stderr is no terminal.
    shown = tqdm(windows, total=len(places), unit=" windows", file=sys.stderr, disable=None)
    bases = gather(shown, namers, _soft_masked(corpus))
    if not bases.labels.size:
        raise InputError(f"{corpus.folder}: no base was masked; take more windows or a higher mask rate")
    return Comparison(list(_scores(bases, corpus.species)), counted)


def _places(corpus: Corpus, settings: Settings) -> list[Place]:
    if not len(corpus.validation):
        raise InputError(f"{corpus.folder}: the corpus holds nothing out to evaluate on; build it with a hold-out")
    places = choose_places(corpus.validation, corpus.species, settings.length, settings.windows, settings.seed)
    if not places:
        longest = int(corpus.validation.lengths.max())
        raise InputError(
            f"{corpus.folder}: no held-out piece has {settings.length} nt, the longest has {longest}; "
            "choose shorter windows"
        )
    found = {place.species for place in places}
    if absent := [name for index, name in enumerate(corpus.species) if index not in found]:
        LOGGER.info("nothing held out of %d nt or more in: %s", settings.length, ", ".join(absent))
    LOGGER.info("%s windows of %d nt in %d species", f"{len(places):,}", settings.length, len(found))
    return places


def _soft_masked(corpus: Corpus) -> list[bool]:
    """Whether each species' genome tells its repeats: in a FASTA of upper case alone no base is one."""
    return [entry["repeat"] > 0 for entry in corpus.manifest["species"]]


def _network_namer(network: Network) -> Namer:
    """Ask a network for the masked bases; it sees the windows with all of them masked at once."""

    def name(windows: Sequence[Window]) -> list[Floats]:
        rows = network([window.seen() for window in windows])
        return [row[window.masked] for row, window in zip(rows, windows, strict=True)]

    return name


def _count_namers(corpus: Corpus, markov_order: int) -> tuple[int, dict[str, Namer]]:
    """Fit the count models on the training split, or evenly on COUNTED_BASES of it; bases counted, models by name."""
    total = int(corpus.training.lengths.sum())

    def training() -> Iterator[Ids]:
        # What is left out of a large corpus is not even read.
        parts = evenly((piece.codes for piece in corpus.training), total, COUNTED_BASES)
        return (part & np.uint8(TOKEN_BITS) for part in parts)

    chain = fit(markov_levels(markov_order), training())
    sides = fit(either_side_levels(WIDEST_SIDE), training())
    namers = {"composition": _count_namer(chain, 0), f"markov-{markov_order}": _count_namer(chain, markov_order)}
    return sides.bases, namers | {f"sides-{n}": _count_namer(sides, n) for n in range(1, WIDEST_SIDE + 1)}


def _count_namer(model: CountModel, depth: int) -> Namer:
    """Ask a count model, which sees the true bases, for the masked bases."""

    def name(windows: Sequence[Window]) -> list[Floats]:
        return [log_probabilities(model, window.ids, window.masked, depth) for window in windows]

    return name


def _scores(bases: MaskedBases, species: Sequence[str]) -> Iterator[Score]:
    """Yield the scores of every model on each group that has bases; kinds without any are named once, in the log."""
    left_out = []
    for group in groups(bases.labels, species):
        if group.members.any():
            yield from _group_scores(bases, group)
        elif group.by in ("region", "gene", "repeat"):
            left_out.append(group.name)
    if left_out:
        LOGGER.info("left out, for the corpus says of no masked base that it is one: %s", ", ".join(left_out))


def _group_scores(bases: MaskedBases, group: Group) -> Iterator[Score]:
    """Resample contigs where there are some, else pieces (genes): windows of one gene are not independent."""
    labels = bases.labels[group.members]
    unit = "contig" if np.unique(labels["contig"]).size >= MIN_CONTIGS else "piece"
    calls, losses = bases.calls[:, group.members], bases.losses[:, group.members]
    sums = unit_sums(labels["truth"], calls, losses, labels[unit])
    windows = np.unique(labels["window"]).size
    for model, found in zip(bases.models, figures(sums), strict=True):
        yield Score(group.by, group.name, model, windows, labels.size, unit, len(sums.bases), found)

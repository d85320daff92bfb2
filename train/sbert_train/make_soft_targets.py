"""Makes soft targets: counts of one half of the genomes, mixed by a small network, for the genes of the other half."""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from sbert_model.errors import InputError, OutputError
from sbert_model.fasta import fetch, open_fasta
from sbert_model.tokenizer import N, encode, reverse_complement
from sbert_train.build_corpus import contig_pattern
from sbert_train.context_counts import CONTEXTS, FEATURES, REACH, Bases, Table, bases_of, count, features
from sbert_train.corpus import Corpus, Piece, Pieces
from sbert_train.soft_targets import SCALE, TABLE, write_manifest
from sbert_train.species_table import Genome
from sbert_train.splice_sites import site_frequencies, sites_of

HIDDEN = 96
BATCH = 4096
EPOCHS = 4
LEARNING_RATE = 3e-3
STRETCH = 1 << 18  # bases computed at once
MARGIN = 1024  # nt fetched around a stretch, for the windows


@dataclass(frozen=True, slots=True)
class Halves:
    """Contigs whose whole name matches one of `patterns` are half 0, the others half 1; those held out are in neither.

    Genes that are the same in several species have to be in one half: then no target comes from a copy of its own gene.
    """

    patterns: tuple[re.Pattern[str], ...]
    held_out: tuple[re.Pattern[str], ...]

    def of(self, contig: str) -> int | None:
        """Return the half of a contig."""
        if any(pattern.fullmatch(contig) for pattern in self.held_out):
            return None
        return 0 if any(pattern.fullmatch(contig) for pattern in self.patterns) else 1


class Mixer(nn.Module):
    """Logits of A, C, G, T from features; a small network beside a linear one."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(FEATURES, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 4)
        )
        self.linear = nn.Linear(FEATURES, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (B, 4) of features (B, FEATURES)."""
        logits: Tensor = self.network(inputs) + self.linear(inputs)
        return logits


def make_soft_targets(
    corpus: Corpus, genomes: Sequence[Genome], halves: Sequence[str], out: Path, sample: int, seed: int
) -> None:
    """Write the soft targets of the training pieces of `corpus` to the new folder `out`.

    Counted are both strands of whole contigs. `genomes` are those of the corpus; `halves` patterns of contig names, see
    Halves. The mixing network is fitted on `sample` bases, each with the counts of the other half.
    Raises InputError for a corpus whose held-out pieces were drawn at random, for genomes that are not the corpus' and
    for patterns that are none or leave a half empty; OutputError where `out` exists.
    """
    if out.exists():
        raise OutputError(f"{out}: exists; choose another folder")
    held_out = corpus.manifest["hold_out"]
    if held_out["random_pieces"]:
        raise InputError(f"{corpus.folder}: held out are random pieces; soft targets need whole contigs (--hold-out)")
    if tuple(genome.species for genome in genomes) != corpus.species:
        raise InputError(f"the species table is not that of {corpus.folder}; give the one it was built from")
    division = Halves(tuple(map(contig_pattern, halves)), tuple(map(contig_pattern, held_out["contigs"])))
    tables = [_tables(genomes, division, half) for half in (0, 1)]
    torch.manual_seed(seed)
    mixer = _fit(*_sample(corpus.training, division, tables, sample, np.random.default_rng(seed)))
    new = out.with_name(out.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        _write(corpus.training, division, tables, mixer, new / TABLE)
        write_manifest(new, corpus, {"halves": list(halves), "sample": sample, "seed": seed})
        new.rename(out)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise OutputError(f"{out}: cannot write the soft targets ({error.strerror}); make room") from error


def _tables(genomes: Sequence[Genome], division: Halves, half: int) -> list[Table]:
    """Count both strands of the contigs of one half."""
    gap = np.full(REACH, N, dtype=np.uint8)
    strands = []
    for genome in genomes:
        with open_fasta(genome.fasta) as fasta:
            for contig in fasta.references:
                if division.of(contig) == half:
                    length = fasta.get_reference_length(contig)
                    ids = encode(fetch(fasta, genome.fasta, contig, 0, length).decode("ascii"))
                    strands += [ids, gap, reverse_complement(ids), gap]
    if not strands:
        raise InputError(f"the patterns leave no contig to half {half + 1}; check the names of the contigs")
    bases = bases_of(np.concatenate(strands))
    return [count(bases, offsets) for offsets in tqdm(CONTEXTS, desc=f"counts of half {half + 1}", disable=None)]


def _sample(
    pieces: Pieces, division: Halves, tables: list[list[Table]], size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Features (S, FEATURES) and bases (S,) of about `size` bases, drawn from all pieces alike."""
    share = size / int(pieces.lengths.sum())
    inputs, truth = [], []
    for piece in tqdm(pieces, desc="sample", disable=None):
        for start, rows in _features(piece, division, tables):
            bases = bases_of(piece.ids[start : start + len(rows)])
            chosen = (rng.random(len(rows)) < share) & (bases >= 0)
            inputs.append(rows[chosen])
            truth.append(bases[chosen])
    return torch.from_numpy(np.concatenate(inputs)), torch.from_numpy(np.concatenate(truth)).long()


def _features(piece: Piece, division: Halves, tables: list[list[Table]]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield features of stretches of a piece, from the counts of the half that it is not in, with their start."""
    half = division.of(piece.contig)
    assert half is not None, "a training piece of a held-out contig"
    bases: Bases = bases_of(piece.ids)
    for start in range(0, bases.size, STRETCH):
        end = min(start + STRETCH, bases.size)
        first = max(0, start - MARGIN)
        yield start, features(bases[first : end + MARGIN], tables[1 - half], start - first, end - first)


def _fit(inputs: Tensor, truth: Tensor) -> Mixer:
    mixer = Mixer()
    steps = max(1, EPOCHS * len(inputs) // BATCH)
    optimizer = torch.optim.AdamW(mixer.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps + 1)
    for _ in tqdm(range(steps), desc="mixing", disable=None):
        chosen = torch.randint(len(inputs), (BATCH,))
        loss = functional.cross_entropy(mixer(inputs[chosen]), truth[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return mixer


@torch.no_grad()
def _write(pieces: Pieces, division: Halves, tables: list[list[Table]], mixer: Mixer, path: Path) -> None:
    targets = np.lib.format.open_memmap(path, "w+", np.uint8, (int(pieces.lengths.sum()), 4))
    halves = np.array([division.of(piece.contig) for piece in pieces])
    around_sites = [site_frequencies(pieces, halves == half) for half in (0, 1)]
    first = 0
    for piece, half in zip(tqdm(pieces, desc="targets", disable=None), halves, strict=True):
        parts = [mixer(torch.from_numpy(rows)).softmax(-1) for _, rows in _features(piece, division, tables)]
        shares = torch.cat(parts).numpy()  # (L, 4)
        around_sites[1 - half].sharpen(shares, sites_of(piece))
        targets[first : first + len(piece)] = np.rint(SCALE * shares).astype(np.uint8)
        first += len(piece)
    targets.flush()

"""Soft targets: for each training nucleotide, how likely A, C, G and T are there by the counts of other loci.

A masked base tells a network one of four letters where it is to learn four probabilities close to each other: almost
all of a small run goes into averaging that noise out. Where the probabilities themselves are the target (Hinton et al.
2015), the same number of steps takes it much further. They come from context counts (sbert_train.context_counts) and,
around splice sites, from the bases that stand at the same place of other sites (sbert_train.splice_sites).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sbert_model.errors import InputError
from sbert_train.corpus import INDEX, Corpus

VERSION = 2
TABLE, MANIFEST = "targets.npy", "targets.json"
SCALE = 255  # a probability p is stored as the byte round(255 p)

CERTAIN = 0.7  # probability of the likeliest base
STRETCH = 128  # nt
CERTAIN_SHARE = 0.4  # of a stretch
APART = 16  # nt, from one stretch to the next
BLOCK = 1 << 22  # rows looked at together

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """The targets of the training pieces of one corpus, memory-mapped."""

    table: Bytes  # (N, 4), the pieces one after the other
    offsets: Numbers  # (P,) first row of each piece

    def rows(self, piece: int, start: int, length: int) -> npt.NDArray[np.float32]:
        """Probabilities (length, 4) of A, C, G, T from nucleotide `start` of a training piece on."""
        first = int(self.offsets[piece]) + start
        rows = self.table[first : first + length].astype(np.float32)
        sums = rows.sum(axis=1, keepdims=True)
        probabilities: npt.NDArray[np.float32] = np.divide(rows, sums, out=np.full_like(rows, 0.25), where=sums > 0)
        return probabilities

    def certain_stretches(self) -> tuple[Numbers, Numbers]:
        """Piece and start (S,) of the stretches of 128 nt, one each 16 nt, over 40 % of whose bases are certain."""
        rows = len(self.table)
        certain = np.zeros(rows + 1, dtype=np.int64)  # how many rows before each
        for first in range(0, rows, BLOCK):
            certain[first + 1 : first + BLOCK + 1] = self.table[first : first + BLOCK].max(axis=1) > CERTAIN * SCALE
        np.cumsum(certain, out=certain)
        pieces, starts = [], []
        for piece, (first, end) in enumerate(zip(self.offsets, [*self.offsets[1:], rows], strict=True)):
            places = np.arange(first, end - STRETCH + 1, APART)
            found = places[certain[places + STRETCH] - certain[places] > CERTAIN_SHARE * STRETCH]
            pieces.append(np.full(found.size, piece))
            starts.append(found - first)
        return np.concatenate(pieces), np.concatenate(starts)


def open_soft_targets(folder: Path, corpus: Corpus) -> SoftTargets:
    """Open the targets that were made for `corpus`; raises InputError for others and for a broken folder."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version, index = manifest["version"], manifest["corpus_index"]
        table = np.load(folder / TABLE, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder}: cannot read soft targets ({error}); make them with sbert-vcf train soft-targets"
        ) from error
    lengths = corpus.training.lengths
    if version != VERSION or index != corpus_digest(corpus) or table.shape != (int(lengths.sum()), 4):
        raise InputError(f"{folder}: soft targets of another corpus than {corpus.folder}, or of another version")
    return SoftTargets(table.view(np.ndarray), np.cumsum(lengths) - lengths)


def corpus_digest(corpus: Corpus) -> str:
    """Return what ties targets to a corpus: the SHA-256 of its index."""
    return hashlib.sha256((corpus.folder / INDEX).read_bytes()).hexdigest()


def write_manifest(folder: Path, corpus: Corpus, notes: dict[str, object]) -> None:
    """Describe the targets in `folder`."""
    manifest = {"version": VERSION, "corpus_index": corpus_digest(corpus), **notes}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

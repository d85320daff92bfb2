"""A corpus folder: memory-mapped pieces of pre-mRNA, what the model is pretrained on and what is held out."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from sbert_model.errors import InputError
from sbert_model.tokenizer import Ids

VERSION = 1
"""Of the folder's files: raise it when what they hold or mean changes."""

MANIFEST, INDEX, CONTIGS = "manifest.json", "index.npy", "contigs.txt"

REGIONS = ("unknown", "intron", "exon", "cds", "utr5", "utr3")
"""Names of the region numbers. exon: exonic, of a transcript without CDS; unknown: the annotation gives no exons."""

# The byte of a nucleotide: token id in bits 0-3, region in bits 4-6, soft-masked repeat in bit 7.
TOKEN_BITS = 0b1111
REGION_SHIFT = 4
REGION_BITS = 0b111
REPEAT_BIT = 0b1000_0000

Codes = npt.NDArray[np.uint8]

INDEX_ROW = np.dtype(
    [
        ("species", "<i4"),  # number in the manifest's list
        ("contig", "<i4"),  # line of contigs.txt, from 0
        ("start", "<i8"),  # 0-based half-open, genomic
        ("end", "<i8"),
        ("minus", "?"),
        ("coding", "i1"),  # -1: the annotation names no CDS
        ("validation", "?"),
        ("shard", "<i4"),
        ("offset", "<i8"),  # in the shard
    ]
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of pre-mRNA without assembly gaps, in the sense direction.

    start, end: 0-based half-open, genomic. coding: lies in a gene with a CDS; None where the annotation names no CDS.
    codes: a byte for each nucleotide, read-only; `ids`, `regions` and `repeats` take it apart.
    """

    species: str
    contig: str
    start: int
    end: int
    strand: str
    coding: bool | None
    codes: Codes  # (end - start,)

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def ids(self) -> Ids:
        """Token ids (L,) without special tokens."""
        return token_ids(self.codes)

    @property
    def regions(self) -> npt.NDArray[np.uint8]:
        """Region numbers (L,), of REGIONS."""
        regions: npt.NDArray[np.uint8] = (self.codes >> np.uint8(REGION_SHIFT)) & np.uint8(REGION_BITS)
        return regions

    @property
    def repeats(self) -> npt.NDArray[np.bool_]:
        """Where the genome is soft-masked (L,)."""
        return self.codes >= REPEAT_BIT


def token_ids(codes: Codes) -> Ids:
    """Token ids of codes of the same shape."""
    ids: Ids = codes & np.uint8(TOKEN_BITS)
    return ids


class _Shards:
    """The token files, mapped when they are first read; a copy in another process maps them again."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._maps: dict[int, Codes] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _Shards, (self._paths,)

    def __getitem__(self, number: int) -> Codes:
        if number not in self._maps:
            self._maps[number] = np.memmap(self._paths[number], dtype=np.uint8, mode="r").view(np.ndarray)
        return self._maps[number]


class Pieces(Sequence[Piece]):
    """One split of a corpus; a piece is made when it is asked for."""

    def __init__(
        self, rows: npt.NDArray[np.void], species: tuple[str, ...], contigs: Sequence[str], shards: _Shards
    ) -> None:
        self._rows = rows
        self._species = species
        self._contigs = contigs
        self._shards = shards

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Nucleotides of each piece (P,)."""
        lengths: npt.NDArray[np.int64] = self._rows["end"] - self._rows["start"]
        return lengths

    @property
    def species_numbers(self) -> npt.NDArray[np.int64]:
        """Number of each piece's species in the corpus (P,)."""
        return self._rows["species"].astype(np.int64)

    def __len__(self) -> int:
        return self._rows.size

    @overload
    def __getitem__(self, number: int) -> Piece: ...
    @overload
    def __getitem__(self, number: slice) -> "Pieces": ...
    def __getitem__(self, number: int | slice) -> "Piece | Pieces":
        if isinstance(number, slice):
            return Pieces(self._rows[number], self._species, self._contigs, self._shards)
        row = self._rows[number]
        start, end, offset = int(row["start"]), int(row["end"]), int(row["offset"])
        return Piece(
            species=self._species[row["species"]],
            contig=self._contigs[row["contig"]],
            start=start,
            end=end,
            strand="-" if row["minus"] else "+",
            coding=None if row["coding"] < 0 else bool(row["coding"]),
            codes=self._shards[int(row["shard"])][offset : offset + end - start],
        )


@dataclass(frozen=True, slots=True)
class Corpus:
    """An opened corpus folder: the pieces to learn from and those held out.

    weights: per species, from its table: how often its nucleotides are drawn, relative to those of the others.
    """

    folder: Path
    species: tuple[str, ...]
    weights: tuple[float, ...]
    training: Pieces
    validation: Pieces
    manifest: dict[str, Any]


def open_corpus(folder: Path) -> Corpus:
    """Open a corpus folder; nothing but its index is read.

    Raises InputError for a folder that is no corpus, of another version or incomplete.
    """
    manifest = _read_manifest(folder)
    try:
        shards = [folder / shard["name"] for shard in manifest["shards"]]
        for path, size in zip(shards, (shard["size"] for shard in manifest["shards"]), strict=True):
            _check_size(path, size)
        for name in (INDEX, CONTIGS):
            _check_digest(folder / name, manifest["files"][name])
        rows = np.load(folder / INDEX, allow_pickle=False)
        contigs = (folder / CONTIGS).read_text(encoding="utf-8").split("\n")[:-1]
        species = tuple(entry["name"] for entry in manifest["species"])
        weights = tuple(float(entry["weight"]) for entry in manifest["species"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / MANIFEST}: broken ({error!r}); build the corpus again") from error
    held_out = rows["validation"]
    maps = _Shards(shards)
    training, validation = (Pieces(rows[keep], species, contigs, maps) for keep in (~held_out, held_out))
    return Corpus(folder, species, weights, training, validation, manifest)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot read it ({error.strerror}); give a folder made by sbert-vcf train corpus"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: broken ({error}); build the corpus again") from error
    version = manifest.get("version") if isinstance(manifest, dict) else None
    if version != VERSION:
        raise InputError(
            f"{path}: corpus of version {version}, this program reads version {VERSION}; build the corpus again"
        )
    assert isinstance(manifest, dict)
    return manifest


def _check_size(path: Path, size: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror}); build the corpus again") from error
    if found != size:
        raise InputError(f"{path}: {found:,} bytes, the manifest says {size:,}; copy or build the corpus again")


def _check_digest(path: Path, digest: str) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror}); build the corpus again") from error
    if found != digest:
        raise InputError(f"{path}: not the file that the manifest describes; copy or build the corpus again")

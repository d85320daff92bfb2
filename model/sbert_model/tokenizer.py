"""The ten tokens of SpliceBERT: one token per nucleotide, looked up byte by byte in a table."""

from typing import Final

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint8]

VOCAB: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "N", "A", "C", "G", "T")
PAD: Final = 0
UNK: Final = 1
CLS: Final = 2
SEP: Final = 3
MASK: Final = 4
N: Final = 5
A: Final = 6
C: Final = 7
G: Final = 8
T: Final = 9
NUCLEOTIDES: Final = (A, C, G, T)
"""Ids of the four nucleotides, in the order of every array of four probabilities."""

_AMBIGUOUS = b"NRYSWKMBDHV"


def _encoding_table() -> Ids:
    table = np.full(256, UNK, dtype=np.uint8)
    for letters, token in ((_AMBIGUOUS, N), (b"A", A), (b"C", C), (b"G", G), (b"TU", T)):
        table[list(letters)] = token
        table[list(letters.lower())] = token
    return table


def _complement_table() -> Ids:
    table = np.arange(256, dtype=np.uint8)
    table[[A, C, G, T]] = (T, G, C, A)
    return table


# As bytes: bytes.translate is many times faster than indexing an array with one byte per index.
_ENCODE = _encoding_table().tobytes()
_COMPLEMENT = _complement_table().tobytes()
_TOKENS = np.array(VOCAB)


def encode(sequence: str | bytes) -> Ids:
    """Token ids of a nucleotide sequence, without [CLS] and [SEP]: uint8 (L,).

    U reads as T, lower case as upper case, every other IUPAC letter as N; anything else becomes [UNK].
    """
    # "replace" keeps one byte per character, so that the ids stay aligned with the sequence.
    raw = sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence
    return np.array(np.frombuffer(raw.translate(_ENCODE), dtype=np.uint8))


def decode(ids: npt.NDArray[np.integer]) -> str:
    """The text of token ids (L,); special tokens show as `[MASK]` and the like."""
    return "".join(_TOKENS[ids].tolist())


def reverse_complement(ids: Ids) -> Ids:
    """Ids (…, L) of the opposite strand: A↔T, C↔G, every other token as it is, order of the last axis reversed."""
    complement = np.frombuffer(ids.tobytes().translate(_COMPLEMENT), dtype=np.uint8).reshape(ids.shape)
    return np.array(complement[..., ::-1], order="C")


def with_specials(ids: Ids) -> npt.NDArray[np.int64]:
    """`[CLS] ids [SEP]` as the network reads them: int64 (B, L + 2) from ids (B, L)."""
    rows, length = ids.shape
    tokens = np.empty((rows, length + 2), dtype=np.int64)
    tokens[:, 0] = CLS
    tokens[:, 1:-1] = ids
    tokens[:, -1] = SEP
    return tokens

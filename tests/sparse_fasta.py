"""A bgzipped FASTA of whole chromosomes that holds bases only here and there, N elsewhere: made in milliseconds."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sbert_vcf.line_source import BGZF_EOF

_BLOCK = 0xFF00  # bytes of text in each bgzip block but a sequence's last


class Piece(NamedTuple):
    """Letters from a 0-based start on."""

    start: int
    letters: str


class Contig(NamedTuple):
    """A contig's length in nt, and its bases; of pieces that overlap the last one is seen."""

    length: int
    pieces: Sequence[Piece]


def write_sparse_fasta(path: Path, contigs: Mapping[str, Contig]) -> Path:
    """Write the FASTA with its .fai and .gzi, one line a contig; returns `path`."""
    empty = _packed(b"N" * _BLOCK)
    blocks: list[tuple[bytes, int]] = []
    lines, at = [], 0
    for name, contig in contigs.items():
        title = f">{name}\n".encode()
        blocks.append((_packed(title), len(title)))
        at += len(title)
        lines.append(f"{name}\t{contig.length}\t{at}\t{contig.length}\t{contig.length + 1}\n")
        for start in range(0, contig.length, _BLOCK):
            size = min(_BLOCK, contig.length - start)
            text = _letters(contig.pieces, start, start + size)
            blocks.append((empty if text is None and size == _BLOCK else _packed(text or b"N" * size), size))
        blocks.append((_packed(b"\n"), 1))
        at += contig.length + 1
    path.write_bytes(b"".join(block for block, _ in blocks) + BGZF_EOF)
    path.with_name(path.name + ".fai").write_text("".join(lines))
    path.with_name(path.name + ".gzi").write_bytes(_gzi(blocks))
    return path


def _letters(pieces: Sequence[Piece], start: int, end: int) -> bytes | None:
    """Return the text of [start, end), None where no piece reaches into it."""
    text: bytearray | None = None
    for piece in pieces:
        low, high = max(piece.start, start), min(piece.start + len(piece.letters), end)
        if low < high:
            text = text or bytearray(b"N" * (end - start))
            text[low - start : high - start] = piece.letters[low - piece.start : high - piece.start].encode()
    return None if text is None else bytes(text)


def _packed(data: bytes) -> bytes:
    """Return one bgzip block (SAM specification, section 4.1)."""
    deflate = zlib.compressobj(wbits=-15)
    packed = deflate.compress(data) + deflate.flush()
    size = struct.pack("<H", 16 + 2 + len(packed) + 8 - 1)
    return b"".join((BGZF_EOF[:16], size, packed, struct.pack("<II", zlib.crc32(data), len(data))))


def _gzi(blocks: Sequence[tuple[bytes, int]]) -> bytes:
    """Return the index: where each block but the first starts, compressed and not."""
    starts, packed, text = [], 0, 0
    for block, size in blocks[:-1]:
        packed, text = packed + len(block), text + size
        starts.append(struct.pack("<QQ", packed, text))
    return struct.pack("<Q", len(starts)) + b"".join(starts)

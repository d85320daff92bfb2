"""The cache of parsed annotations: found by the content of the file, rebuilt whenever it cannot be trusted."""

import hashlib
import io
import logging
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray

from sbert_model.errors import InputError

FORMAT_VERSION = 1
"""Part of every entry's name: raise it when the arrays or the way they are parsed change."""

Arrays = dict[str, NDArray[Any]]

_SETTLED_NS = 2_000_000_000
_DIGEST_BYTES = hashlib.sha256().digest_size
_log = logging.getLogger(__name__)


def default_folder() -> Path:
    """Return the folder of the gene cache: below $SBERT_VCF_CACHE where that is set, else below the user's cache."""
    return Path(os.environ.get("SBERT_VCF_CACHE") or platformdirs.user_cache_dir("sbert-vcf")) / "genes"


def cached_arrays(path: Path, folder: Path, parse: Callable[[Path], Arrays]) -> Arrays:
    """Return `parse(path)`, read from the cache in `folder` where that knows the content of `path`.

    A broken entry is built anew; a folder that cannot be written costs one warning. Raises InputError for an
    unreadable `path`, and what `parse` raises.
    """
    if path.exists() and not path.is_file():
        return parse(path)  # a pipe can be read only once
    try:
        stamp = _stamp(path)
        note = folder / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.digest"
        noted = _noted_digest(note, stamp)
        digest = noted or _content_digest(path)
    except OSError as error:
        raise InputError(f"{path}: cannot read the annotation: {error.strerror}") from error
    entry = folder / f"{digest}.v{FORMAT_VERSION}.genes"
    arrays = _load(entry)
    found = arrays is not None
    if arrays is None:
        arrays = parse(path)
    try:
        if _stamp(path) != stamp:
            return arrays  # the file changed while it was read: the digest may be another content's
        if not found:
            _write(entry, _packed(arrays))
        if not noted and time.time_ns() - max(stamp[:2]) > _SETTLED_NS:
            _write(note, f"{stamp} {digest}".encode())
    except OSError as error:
        _log.warning("gene cache not written (%s: %s); %s is read anew next time", folder, error.strerror, path)
    return arrays


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what a change of a file's content cannot leave as it was: unlike mtime, nobody can set ctime."""
    status = path.stat()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev


def _noted_digest(note: Path, stamp: tuple[int, ...]) -> str | None:
    """Return the digest noted for a file with this stamp: hashing 1.5 GB takes longer than everything else.

    A note is only made of a file that had been left alone for two seconds, so no later change can share its stamp.
    """
    try:
        written, _, digest = note.read_text().rpartition(" ")
    except (OSError, UnicodeDecodeError):
        return None
    return digest if written == str(stamp) else None


def _content_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _packed(arrays: Arrays) -> bytes:
    payload = io.BytesIO()
    np.savez(payload, allow_pickle=False, **arrays)
    return hashlib.sha256(payload.getbuffer()).digest() + payload.getvalue()


def _load(entry: Path) -> Arrays | None:
    """Return the arrays of a cache entry, None when it is missing or its checksum is not right."""
    try:
        content = entry.read_bytes()
    except OSError:
        return None
    payload = memoryview(content)[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != content[:_DIGEST_BYTES]:
        _log.warning("gene cache: %s is broken and is built anew", entry)
        return None
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        return dict(arrays)


def _write(target: Path, content: bytes) -> None:
    """Write a file that others see whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

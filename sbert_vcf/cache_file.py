"""The file of a score cache: an SQLite database that several runs may use at once, what is in it, and its upkeep."""

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from sbert_model.errors import InputError

FORMAT_VERSION = 1
"""Kept in the file: raise it when the tables or the values in them change."""

_APPLICATION_ID = 0x53424B4C
_BUSY_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS model (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, precision TEXT NOT NULL,
    UNIQUE (name, sha256, precision));
CREATE TABLE IF NOT EXISTS score (
    key BLOB PRIMARY KEY, model INTEGER NOT NULL, used INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
"""


class ModelEntries(NamedTuple):
    """The scores of one model in one precision; used: day of the latest use."""

    name: str
    sha256: str
    precision: str
    scores: int
    used: int


class Facts(NamedTuple):
    """What a cache holds: its format, its size in bytes and its scores by model."""

    version: int
    size: int
    models: list[ModelEntries]


class Pruned(NamedTuple):
    """What pruning left: scores removed and kept, size in bytes before and after."""

    removed: int
    kept: int
    size_before: int
    size_after: int


def today() -> int:
    """Return the number of this day (UTC), as entries note when they were used last."""
    return int(time.time() // 86400)


def open_cache(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open a cache for reading and writing, made where it is missing or empty if `create`; commits are explicit.

    Raises InputError for a file that is missing, no score cache, broken, of a newer format, or cannot be written.
    """
    if not create and not path.is_file():
        raise InputError(f"{path}: no such score cache")
    try:
        connection = _connect(path, create)
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be used ({error})") from error
    try:
        _prepare(connection, path, create)
    except sqlite3.Error as error:
        connection.close()
        raise InputError(f"{path}: cannot be used as a score cache ({error})") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, create: bool) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    # Threads take turns: whoever shares a connection among them locks it.
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, path: Path, create: bool) -> None:
    """Check whose file it is before anything is written, make the tables of a new one, and see that it is writable."""
    application, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    new = not (application or version or tables)
    if application != _APPLICATION_ID and not (new and create):
        raise InputError(f"{path}: is no score cache of sbert-vcf")
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path}: written by a newer sbert-vcf (format {version}, this one knows {FORMAT_VERSION}); "
            "update sbert-vcf or name another file"
        )
    _use_wal(connection)
    # After a power cut the last scores may be missing; the file is whole.
    connection.execute("PRAGMA synchronous=NORMAL")
    with transaction(connection):
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        # Written every time: nothing else tells at once that the file is read-only.
        connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; unlike other statements this one does not wait when two runs do it at once."""
    patience = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > patience:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all that the block writes, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def size_of(connection: sqlite3.Connection) -> int:
    """Return the size of the database in bytes, without its write-ahead log."""
    return _pragma(connection, "page_count") * _pragma(connection, "page_size")


def size_text(size: int) -> str:
    """Return a size in bytes as people read it."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def facts(path: Path) -> Facts:
    """Count what is in a cache. Raises InputError as `open_cache` does, and for a file that cannot be read."""
    with closing(open_cache(path, create=False)) as connection, _readable(path):
        rows = connection.execute(
            "SELECT name, sha256, precision, count(*), max(used) FROM score JOIN model ON model.id = score.model "
            "GROUP BY model.id ORDER BY model.id"
        )
        models = [ModelEntries(*row) for row in rows]
        return Facts(_pragma(connection, "user_version"), size_of(connection), models)


def prune(path: Path, *, max_bytes: int | None = None, unused_days: int | None = None) -> Pruned:
    """Drop the scores not used for `unused_days`, then the least recently used ones until the file has `max_bytes`.

    The file is rewritten, for which its folder needs room for a second copy. Runs that use it meanwhile go on. Raises
    InputError as `open_cache` does, and for a file that cannot be read.
    """
    with closing(open_cache(path, create=False)) as connection, _readable(path):
        count = "SELECT count(*) FROM score"
        (scores,), before = connection.execute(count).fetchone(), size_of(connection)
        if unused_days is not None:
            connection.execute("DELETE FROM score WHERE used < ?", (today() - unused_days,))
        _rewrite(connection)
        while max_bytes is not None and (size := size_of(connection)) > max_bytes:
            (kept,) = connection.execute(count).fetchone()
            if not kept:
                break
            surplus = math.ceil(kept * (1 - max_bytes / size))
            oldest = "SELECT key FROM score ORDER BY used LIMIT ?"
            connection.execute(f"DELETE FROM score WHERE key IN ({oldest})", (surplus,))
            _rewrite(connection)
        (kept,) = connection.execute(count).fetchone()
        return Pruned(scores - kept, kept, before, size_of(connection))


def _rewrite(connection: sqlite3.Connection) -> None:
    """Give the room of deleted scores back to the disk."""
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read ({error}); if it is broken, delete it") from error

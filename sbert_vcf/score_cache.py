"""The score cache of a run: scores found by key or noted for later runs, and never in the run's way."""

import sqlite3
import struct
import threading
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from sbert_model.errors import InputError
from sbert_vcf.cache_file import open_cache, size_of, size_text, today, transaction
from sbert_vcf.cache_keys import Scorer
from sbert_vcf.notices import LOGGER

Values = tuple[float, ...]
"""The numbers of one score, kept as float64."""

_Result = TypeVar("_Result")
_ROWS_PER_WRITE = 2000
_SECONDS_PER_WRITE = 10.0
_KEYS_PER_QUESTION = 500
_CHECK = struct.Struct("<I")


class ScoreCache:
    """Scores by key in a file that several runs may use at once. Use as a context manager; threads may share one.

    Whatever is wrong with the file is said once, and the run goes on as if there were none: nothing is found then and
    nothing kept. A value comes back exactly as it was noted; one that the disk has damaged counts as a broken file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked = 0
        self.found = 0
        self._lock = threading.Lock()
        self._noted: dict[bytes, tuple[int, Values]] = {}
        self._touched: set[bytes] = set()
        self._written = time.monotonic()
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = open_cache(path, create=True)
        except InputError as error:
            LOGGER.warning("cache: %s; the run goes on without it", error)

    def __enter__(self) -> "ScoreCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def usable(self) -> bool:
        """Whether the file is in use: False once something was wrong with it."""
        return self._connection is not None

    def model_id(self, scorer: Scorer) -> int:
        """Return the number under which the scores of this model are noted."""
        names = (scorer.name, scorer.sha256, scorer.precision)

        def find_or_make(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                connection.execute("INSERT OR IGNORE INTO model (name, sha256, precision) VALUES (?, ?, ?)", names)
            query = "SELECT id FROM model WHERE name = ? AND sha256 = ? AND precision = ?"
            return int(connection.execute(query, names).fetchone()[0])

        with self._lock:
            return self._attempt(find_or_make, 0)

    def find(self, keys: Collection[bytes]) -> dict[bytes, Values]:
        """Return the scores that are known, by key."""
        with self._lock:
            found = {key: self._noted[key][1] for key in keys if key in self._noted}
            others = [key for key in dict.fromkeys(keys) if key not in found]
            nothing: dict[bytes, Values] = {}
            found |= self._attempt(lambda connection: self._read(connection, others), nothing)
            self.asked += len(keys)
            self.found += sum(key in found for key in keys)
            return found

    def _read(self, connection: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, Values]:
        found: dict[bytes, Values] = {}
        day = today()
        for start in range(0, len(keys), _KEYS_PER_QUESTION):
            some = keys[start : start + _KEYS_PER_QUESTION]
            query = f"SELECT key, used, value FROM score WHERE key IN ({','.join('?' * len(some))})"
            for key, used, value in connection.execute(query, some):
                found[key] = _unpacked(key, value)
                if used != day:
                    self._touched.add(key)
        return found

    def note(self, model: int, scores: Mapping[bytes, Values]) -> None:
        """Keep scores for later runs; they are written by the thousand, or after some seconds."""
        with self._lock:
            if self.usable:
                self._noted.update((key, (model, values)) for key, values in scores.items())
            rows = len(self._noted) + len(self._touched)
            if rows >= _ROWS_PER_WRITE or time.monotonic() - self._written > _SECONDS_PER_WRITE:
                self._attempt(self._write, None)

    def _write(self, connection: sqlite3.Connection) -> None:
        day = today()
        rows = ((key, model, day, _packed(key, values)) for key, (model, values) in self._noted.items())
        if self._noted or self._touched:
            with transaction(connection):
                connection.executemany("INSERT OR REPLACE INTO score (key, model, used, value) VALUES (?,?,?,?)", rows)
                _touch(connection, day, self._touched)
        self._noted.clear()
        self._touched.clear()
        self._written = time.monotonic()

    def summary(self) -> str:
        """Return hit rate and size for people; nothing for a file that could not be used to the end."""

        def describe(connection: sqlite3.Connection) -> str:
            self._write(connection)
            share = f"{self.found / self.asked:.0%} of " if self.asked else ""
            return f"cache {self.path}: {share}{self.asked:,} scores found, {size_text(size_of(connection))}"

        with self._lock:
            return self._attempt(describe, "")

    def close(self) -> None:
        """Write what is noted and close the file."""
        with self._lock:
            self._attempt(self._write, None)
            self._drop()

    def _attempt(self, action: Callable[[sqlite3.Connection], _Result], otherwise: _Result) -> _Result:
        """Return what the action makes of the file; give the file up when it fails."""
        if self._connection is None:
            return otherwise
        try:
            return action(self._connection)
        except sqlite3.Error as error:
            LOGGER.warning("cache: %s: cannot be used any longer (%s); the run goes on without it", self.path, error)
            self._drop()
            return otherwise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._noted.clear()
        self._touched.clear()


def _touch(connection: sqlite3.Connection, day: int, keys: Iterable[bytes]) -> None:
    connection.executemany("UPDATE score SET used = ? WHERE key = ?", ((day, key) for key in keys))


def _packed(key: bytes, values: Values) -> bytes:
    """Return the values and a checksum, for SQLite would not notice a bit that the disk has turned."""
    data = struct.pack(f"<{len(values)}d", *values)
    return data + _CHECK.pack(zlib.crc32(key + data))


def _unpacked(key: bytes, value: object) -> Values:
    if isinstance(value, bytes) and len(value) % 8 == _CHECK.size:
        data, check = value[: -_CHECK.size], value[-_CHECK.size :]
        if _CHECK.pack(zlib.crc32(key + data)) == check:
            return struct.unpack(f"<{len(data) // 8}d", data)
    raise sqlite3.DatabaseError("it holds a damaged value")

"""Restart points: small files from which runs that were cut off go on."""

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sbert_model.errors import InputError
from sbert_vcf.progress import Done
from sbert_vcf.sinks import Held

_FORMAT = 1


class Watched(NamedTuple):
    """What the index will need to know of the records so far; `last` is a contig and a 0-based start."""

    contigs: list[str]
    last: tuple[str, int]
    sorted: bool
    longest: int


class RestartPoint(NamedTuple):
    """Where a run can go on.

    run: what decides its output, by name; held: the unfinished output; whole: the size of the finished output, when it
    is about to get its final name.
    """

    run: dict[str, str]
    held: Held
    watched: Watched
    done: Done
    whole: int | None = None

    def save(self, path: Path) -> None:
        """Write the file so that it is there whole, or else the one before it is. Raises OSError."""
        values = {
            "format": _FORMAT,
            "run": self.run,
            "size": self.held.size,
            "text": base64.b64encode(self.held.text).decode("ascii"),
            "watched": self.watched._asdict(),
            "done": self.done._asdict(),
            "whole": self.whole,
        }
        new = path.with_name(f"{path.name}.new")
        try:
            with new.open("w", encoding="utf-8") as file:
                json.dump({**values, "sha256": _digest(values)}, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> "RestartPoint | None":
        """Read the file; None where there is none. Raises InputError for one that is broken or cannot be read."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise _broken(path) from error
        try:
            values = json.loads(text)
            if values.pop("sha256") != _digest(values):
                raise _broken(path)
            if values["format"] != _FORMAT:
                raise InputError(f"{path}: restart point of another version of sbert-vcf; delete it to start over")
            return _point(values)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _broken(path) from error

    def differences(self, run: Mapping[str, str]) -> list[str]:
        """Say in which settings another run differs."""
        names = dict.fromkeys([*self.run, *run])
        return [
            f"{name} was {self.run.get(name, 'none')}, is {run.get(name, 'none')}"
            for name in names
            if self.run.get(name) != run.get(name)
        ]


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _broken(path: Path) -> InputError:
    return InputError(f"{path}: broken restart point; delete it to start over")


def _point(values: dict[str, Any]) -> RestartPoint:
    watched, done = values["watched"], values["done"]
    return RestartPoint(
        {str(name): str(value) for name, value in values["run"].items()},
        Held(int(values["size"]), base64.b64decode(values["text"], validate=True)),
        Watched(
            list(map(str, watched["contigs"])),
            (str(watched["last"][0]), int(watched["last"][1])),
            bool(watched["sorted"]),
            int(watched["longest"]),
        ),
        Done(
            int(done["records"]),
            str(done["last"]),
            str(done["sha256"]),
            {str(status): int(count) for status, count in done["tally"].items()},
            int(done["ref_seen"]),
            int(done["ref_mismatches"]),
        ),
        None if values["whole"] is None else int(values["whole"]),
    )

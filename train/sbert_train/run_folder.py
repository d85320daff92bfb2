"""The folder of a pretraining run: its config, its metrics, and the last and best checkpoint, each replaced whole.

RUN/config.yaml     every field            RUN/last/   model, optimizer and all else that --resume needs
RUN/corpus.json     which corpus           RUN/best/   model with the lowest validation loss
RUN/metrics.jsonl   see sbert_train.metrics
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from sbert_model.errors import InputError
from sbert_train.config import Config, differences, load_config, write_config
from sbert_train.corpus import MANIFEST, Corpus

PROGRESS = "progress.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a checkpoint stands: optimizer steps, seconds and tokens so far, all of it in earlier parts."""

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The names in the folder of a run."""

    path: Path

    @property
    def last(self) -> Path:
        """The checkpoint to go on from: a model folder, and the state of the training."""
        return self.path / "last"

    @property
    def best(self) -> Path:
        """The model with the lowest validation loss."""
        return self.path / "best"

    @property
    def metrics(self) -> Path:
        """One line of JSON for each log step and evaluation."""
        return self.path / "metrics.jsonl"

    @property
    def scratch(self) -> Path:
        """Where checkpoints are written before they get their name."""
        return self.path / ".new"

    def begin(self, config: Config, corpus: Corpus) -> None:
        """Note what the run is; raises InputError where there is one already."""
        self._settle()
        if self.last.exists():
            raise InputError(f"{self.path}: holds a run already; go on with --resume, or choose another folder")
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: is a file; choose a folder for the run")
        self.path.mkdir(parents=True, exist_ok=True)
        self.metrics.unlink(missing_ok=True)
        write_config(config, self.path / "config.yaml")
        (self.path / "corpus.json").write_text(json.dumps(_identity(corpus), indent=2) + "\n")

    def reopen(self, config: Config, corpus: Corpus) -> None:
        """Make ready to go on; raises InputError with nothing to go on from, for another config or corpus."""
        self.check_resumable()
        self._settle()
        stored = load_config(str(self.path / "config.yaml"), {})
        if changed := differences(config, stored):
            raise InputError(f"{self.path}: a resumed run keeps its config: {'; '.join(changed)}")
        before = json.loads((self.path / "corpus.json").read_text())
        if (now := _identity(corpus))["sha256"] != before["sha256"]:
            raise InputError(f"{self.path}: was trained on the corpus {before['folder']}, which {now['folder']} is not")
        write_config(config, self.path / "config.yaml")
        _drop_after(self.metrics, self.progress().step)

    def check_resumable(self) -> None:
        """Raise InputError where there is no checkpoint to go on from."""
        if not self.last.exists() and not _displaced(self.last).exists():
            raise InputError(f"{self.path}: no checkpoint to resume from; start without --resume")

    def progress(self) -> Progress:
        """Return where the last checkpoint stands."""
        path = self.last / PROGRESS
        try:
            return Progress(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{path}: cannot be read ({error}); start anew with --init-from {self.last}") from error

    def _settle(self) -> None:
        """Complete, or forget, what a killed run was about to put in place."""
        for target in (self.last, self.best):
            settle(target)
        shutil.rmtree(self.scratch, ignore_errors=True)


def put_in_place(new: Path, target: Path) -> None:
    """Rename the folder `new` to `target`; what had that name is there until then, and is removed afterwards."""
    old = _displaced(target)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def settle(target: Path) -> None:
    """Undo a `put_in_place` that was broken off, where there is one: `target` is there again, or else it never was."""
    if not target.exists() and _displaced(target).exists():
        _displaced(target).rename(target)
    shutil.rmtree(_displaced(target), ignore_errors=True)


def _displaced(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _identity(corpus: Corpus) -> dict[str, str]:
    manifest = (corpus.folder / MANIFEST).read_bytes()
    return {"folder": str(corpus.folder), "sha256": hashlib.sha256(manifest).hexdigest()}


def _drop_after(path: Path, step: int) -> None:
    """Drop the lines that the interrupted run wrote after the checkpoint: they come again."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    kept = []
    for line in lines:
        try:
            if json.loads(line)["step"] > step:
                break
        except (ValueError, KeyError):
            break  # the line that it was writing when it was killed
        kept.append(line)
    new = path.with_name(path.name + ".new")
    new.write_text("".join(kept))
    new.rename(path)

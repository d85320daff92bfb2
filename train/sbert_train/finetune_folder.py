"""The folder of a fine-tuning, and what a run is that may go on in it.

RUN/folds          the models of the best epoch so far     RUN/last       the state after the last epoch
RUN/epochs.jsonl   a line for each epoch                   RUN/run.json   which run it is
`last` and `run.json` are there until the run is complete.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sbert_model.errors import InputError, OutputError
from sbert_train.examples import Examples
from sbert_train.run_folder import settle

FOLDS = "folds"
EPOCHS = "epochs.jsonl"
LAST = "last"
RUN = "run.json"


def open_folder(out: Path, identity: Mapping[str, object], resume: bool) -> None:
    """Make the folder of a run, or with `resume` make ready to go on in it.

    identity: what the run is: options and digests, JSON values by name. Raises OutputError where something is there
    already, or with `resume` InputError where no run is, or another one.
    """
    (_reopen if resume else _begin)(out, json.loads(json.dumps(identity)))


def close_folder(out: Path) -> None:
    """Remove what only an unfinished run needs."""
    (out / RUN).unlink()
    shutil.rmtree(out / LAST)


def data_digest(examples: Examples, fold_of: npt.NDArray[np.int64]) -> str:
    """Return the SHA-256 of sequences, labels and folds (N,)."""
    digest = hashlib.sha256()
    for array in (examples.ids, examples.labels, fold_of):
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
    return digest.hexdigest()


def _begin(out: Path, identity: dict[str, object]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not any(out.iterdir()):
            (out / RUN).write_text(json.dumps(identity, indent=1) + "\n")
            return
    except OSError as error:
        raise OutputError(f"{out}: cannot be the folder of a run: {error.strerror}") from error
    unfinished = "go on with --resume, or " if (out / RUN).exists() else ""
    raise OutputError(f"{out}: holds files already; {unfinished}choose another folder")


def _reopen(out: Path, identity: dict[str, object]) -> None:
    try:
        before = json.loads((out / RUN).read_text())
    except FileNotFoundError:
        raise InputError(f"{out}: holds no unfinished run; start without --resume") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{out / RUN}: cannot be read ({error}); start anew in another folder") from error
    changed = [
        f"{name} is {value}, was {before.get(name)}" for name, value in identity.items() if value != before.get(name)
    ]
    if changed:
        raise InputError(f"{out}: a resumed run stays what it was: {'; '.join(changed)}")
    for name in (FOLDS, LAST):
        settle(out / name)
    shutil.rmtree(out / ".new", ignore_errors=True)

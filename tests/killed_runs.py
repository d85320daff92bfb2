"""Runs of the command line that kill themselves, each at a moment that is counted and not timed.

Run: python -m tests.killed_runs MOMENTS ARGUMENTS...

Starts `sbert-vcf ARGUMENTS` once for every number in MOMENTS (comma-separated) and once more, one after the other,
until one ends of itself. A moment is a record about to be written, or a system call on the output's files about to be
made or just made; the run gets SIGKILL at the moment with its number. The clock that decides when restart points are
due goes on by a second whenever it is read. How the runs ended, and what they said, is printed as JSON, a line each.
"""

import itertools
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import sbert_vcf.annotate
import sbert_vcf.cli_annotate  # noqa: F401
from sbert_vcf import cli, vcf_output

_CALLS = ((os, "fsync"), (Path, "replace"), (Path, "unlink"))


def main() -> None:
    """Start the runs."""
    moments = [int(text) for text in sys.argv[1].split(",") if text]
    for moment in [*moments, sys.maxsize]:
        with tempfile.TemporaryFile() as said:
            child = os.fork()
            if child == 0:
                os.dup2(said.fileno(), 2)
                _run(moment)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            said.seek(0)
            print(json.dumps({"ended": status, "said": said.read().decode()}), flush=True)
        if status != -signal.SIGKILL:
            break


def _run(moment: int) -> NoReturn:
    passed = itertools.count(1)

    def tick() -> None:
        if next(passed) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(call: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            tick()
            result = call(*arguments, **options)
            if after:
                tick()
            return result

        return counting

    vcf_output.Writer.write = counted(vcf_output.Writer.write, after=False)  # type: ignore[method-assign]
    for owner, name in _CALLS:
        setattr(owner, name, counted(getattr(owner, name), after=True))
    mock.patch("sbert_vcf.resumable.monotonic", itertools.count().__next__).start()
    sys.argv = ["sbert-vcf", *sys.argv[2:]]
    try:
        cli.main()
    except SystemExit as stopped:
        code = stopped.code
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main()

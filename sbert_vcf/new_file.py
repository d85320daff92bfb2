"""Text and other files that appear under their final name only when they are complete."""

import contextlib
import gzip
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from sbert_model.errors import OutputError
from sbert_vcf.vcf_output import STDOUT, is_stream, reported


def check_new(output: str, overwrite: bool) -> None:
    """Raise OutputError where the file cannot be made: no such folder, a folder itself, or there already."""
    path = Path(output)
    if is_stream(output):
        return
    if not path.parent.is_dir():
        raise OutputError(f"{path}: its folder does not exist; create it first")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; use --overwrite to replace it")


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on a clean exit the file gets that name, on any other it is removed.

    Raises OutputError for what the system refuses.
    """
    final = path.resolve()  # a link to the file stays a link
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        with reported(str(path)):
            yield temporary
            temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_text(output: str) -> Iterator[TextIO]:
    """Open a text for writing as `new_file` does, compressed where its name ends with .gz; '-' is standard output."""
    if output == STDOUT:
        yield sys.stdout
        sys.stdout.flush()
        return
    if is_stream(output):
        with reported(output), Path(output).open("w", encoding="utf-8") as stream:
            yield stream
        return
    with new_file(Path(output)) as path, path.open("wb") as raw:
        if not output.endswith(".gz"):
            with io.TextIOWrapper(raw, encoding="utf-8") as text:
                yield text
            return
        # Without name and time, so that equal runs give equal bytes.
        packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0)
        with packed, io.TextIOWrapper(packed, encoding="utf-8") as text:
            yield text

"""The record path: bytes of a VCF through `annotate`, with a constant in place of the model."""

import contextlib
import io
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pysam
import torch

from sbert_model.checkpoint import load_masked_lm
from sbert_model.errors import SbertError
from sbert_model.predict import Predictor
from sbert_vcf import fields, pair_scores
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.annotator import Annotator
from sbert_vcf.genes import Genes
from sbert_vcf.options import ScoringOptions
from sbert_vcf.reference import Reference
from sbert_vcf.variant import Status
from tests.world import build_world

_STATUSES = {status.value for status in Status} - {"NO_ALT"}


class Harness:
    """Annotates inputs against a small world; `folder` is where files come and go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._world = build_world(folder)
        model = load_masked_lm(self._world.model)
        self._genes = Genes.open(self._world.genes, cache=folder / "cache")
        self._reference = Reference(self._world.fasta)
        self._parts = self._reference, Predictor(model.network, torch.device("cpu")), model

    def check(self, data: bytes) -> None:
        """Annotate `data`; whether with genes and as what is told from its checksum. Raises what is no SbertError."""
        kind = zlib.crc32(data)
        source, output = self._folder / "in.vcf", self._folder / "out.vcf"
        source.write_bytes(data)
        output.unlink(missing_ok=True)
        options = AnnotateOptions(str(source), str(output), "b" if kind % 8 == 0 else "v", overwrite=True)
        try:
            with self._constant_scores(self._genes if kind % 2 else None):
                annotate(options, ScoringOptions(threads=1))
        except SbertError as error:
            message = str(error)
        else:
            message = ""
        assert "\n" not in message, "a message of several lines"
        assert bool(message) != output.exists(), "a failed run left its output behind"
        if not message:
            _check_output(data, output, options.letter)
        left = {path.name for path in self._folder.iterdir() if ".tmp" in path.name}
        assert not left, f"left behind: {left}"

    @contextlib.contextmanager
    def _constant_scores(self, genes: Genes | None) -> Iterator[None]:
        def open_annotator(options: ScoringOptions, **given: Any) -> Annotator:
            field, notices = given.get("field"), given.get("notices")
            return Annotator(*self._parts, strand="auto", field=field, genes=genes, notices=notices, delta=True)

        def start(scores: list[Any], predictor: Predictor) -> Callable[[], dict[Any, float]]:
            return lambda: dict.fromkeys(scores, -1.5)

        with (
            mock.patch.object(Annotator, "open", open_annotator),
            mock.patch.object(Annotator, "__exit__", return_value=None),  # the reference is opened once
            mock.patch.object(pair_scores, "start", start),
        ):
            yield


@contextlib.contextmanager
def open_harness() -> Iterator[Harness]:
    """Make the world in a folder that goes with it."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:  # noqa: PTH112
        yield Harness(Path(folder))


def _check_output(data: bytes, output: Path, letter: str | None) -> None:
    if letter == "b":
        _check_bcf(output)
    elif not data.startswith((b"\x1f\x8b", b"BCF")):
        _check_lines(data, output.read_bytes())


def _check_lines(data: bytes, written: bytes) -> None:
    """Every record is there, in its order, unchanged but for our fields."""
    before, after = _records(data), _records(written)
    assert len(before) == len(after), f"{len(before)} records became {len(after)}"
    for old, new in zip(before, after, strict=True):
        was, now = old.split(b"\t"), new.split(b"\t")
        assert was[:7] + was[8:] == now[:7] + now[8:], f"{old!r} became {new!r}"
        theirs = [part for part in was[7].split(b";") if _key(part) not in fields.OUR_IDS]
        kept = [part for part in now[7].split(b";") if _key(part) not in fields.OUR_IDS]
        assert [part for part in theirs if part not in (b"", b".")] == [
            part for part in kept if part not in (b"", b".")
        ]
        _check_values(was[4], {_key(part): part for part in now[7].split(b";") if _key(part) in fields.OUR_IDS})


def _check_values(alt: bytes, ours: dict[str, bytes]) -> None:
    """One value per ALT in each field, and whole entries in the packed one."""
    if alt == b".":
        assert not ours, f"fields without an ALT: {ours}"
        return
    alts = alt.count(b",") + 1
    packed = ours.pop(fields.PACKED_ID, None)
    assert {"SBERT_KL", "SBERT_STATUS"} <= ours.keys(), f"fields are missing: {ours}"
    values = {name: part.split(b"=", 1)[1].decode().split(",") for name, part in ours.items()}
    assert all(len(of_alts) == alts for of_alts in values.values()), f"{alts} ALTs, but {ours}"
    assert _STATUSES.issuperset(values["SBERT_STATUS"]), f"statuses {values['SBERT_STATUS']}"
    scored = [number for number, status in enumerate(values["SBERT_STATUS"], 1) if status == "OK"]
    entries = [entry.split(b"|") for entry in packed.split(b"=", 1)[1].split(b",")] if packed else []
    assert all(len(entry) == len(fields.PACKED_COLUMNS) for entry in entries), f"a broken entry in {packed!r}"
    assert {int(entry[1]) for entry in entries} == set(scored), f"{packed!r} with {values['SBERT_STATUS']}"


def _records(text: bytes) -> list[bytes]:
    """The lines behind the #CHROM line, without empty ones."""
    lines = [line.rstrip(b"\r\n") for line in io.BytesIO(text)]
    header = next(number for number, line in enumerate(lines) if line and not line.startswith(b"##"))
    return [line for line in lines[header + 1 :] if line]


def _key(part: bytes) -> str:
    return part.split(b"=", 1)[0].decode("utf-8", "surrogateescape")


def _check_bcf(path: Path) -> None:
    """Htslib reads every record, and our fields with their types."""
    with pysam.VariantFile(str(path)) as bcf:
        for record in bcf:
            if record.alts and "SBERT_KL" in record.info:
                assert len(record.info["SBERT_KL"]) == len(record.alts)

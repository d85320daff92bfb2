"""Build a corpus folder: species by species and shard by shard, in several processes, in bounded memory."""

import hashlib
import importlib.metadata
import json
import logging
import multiprocessing
import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sbert_model.errors import InputError, OutputError, SbertError
from sbert_model.tokenizer import NUCLEOTIDES, N
from sbert_train.corpus import (
    CONTIGS,
    INDEX,
    INDEX_ROW,
    MANIFEST,
    REGION_BITS,
    REGION_SHIFT,
    REGIONS,
    REPEAT_BIT,
    TOKEN_BITS,
    VERSION,
)
from sbert_train.primary_transcripts import MIN_LENGTH, describe_absent
from sbert_train.shards import Plan, Shard, plan_species, write_shard
from sbert_train.species_table import Genome

LOGGER = logging.getLogger(__name__)

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HoldOut:
    """What goes to the validation split: whole contigs, or pieces drawn at random from all (the paper drew 50,000).

    contigs: regular expressions for whole names, as in the FASTA, for all species at once: the same genes of another
    species are no independent test.
    """

    contigs: tuple[str, ...] = ()
    random_pieces: int = 0
    seed: int = 0


def build_corpus(
    genomes: Sequence[Genome], out: Path, hold_out: HoldOut, *, processes: int = 1, overwrite: bool = False
) -> None:
    """Write the pre-mRNA of every gene as a corpus folder; the same bytes whatever the number of processes.

    Raises InputError for files that do not fit and for a pattern that matches no contig, OutputError for a folder that
    is in the way or cannot be written.
    """
    patterns = [contig_pattern(pattern) for pattern in hold_out.contigs]
    with _new_folder(out, overwrite) as folder, _workers(processes) as run:
        spans = folder / "spans"
        spans.mkdir()
        plans = list(run(plan_species, genomes, [spans / str(number) for number in range(len(genomes))]))
        for plan in plans:
            _warn_of_absent(plan)
        _check_patterns(patterns, plans)
        files = [(file, plan.genome.fasta) for plan in plans for file in plan.spans]
        names = [f"tokens-{number:05d}.bin" for number in range(len(files))]
        shards = run(write_shard, *zip(*files, strict=True), [folder / name for name in names])
        _finish(folder, plans, _by_species(plans, shards), names, hold_out)
        shutil.rmtree(spans)


def contig_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression for whole contig names; raises InputError for one that is none."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InputError(f"contig pattern {pattern!r} is no regular expression: {error}") from error


def _warn_of_absent(plan: Plan) -> None:
    if plan.absent:
        LOGGER.warning(
            "%s: %s not in %s and left out",
            plan.genome.annotation,
            describe_absent(plan.absent, len(plan.absent) + len(plan.contigs)),
            plan.genome.fasta.name,
        )


def _check_patterns(patterns: Sequence[re.Pattern[str]], plans: Sequence[Plan]) -> None:
    for pattern in patterns:
        if not any(pattern.fullmatch(contig) for plan in plans for contig in plan.contigs):
            raise InputError(
                f"hold-out pattern {pattern.pattern!r} matches no contig that has genes; check the contig names"
            )


def _by_species(plans: Sequence[Plan], shards: Iterator[Shard]) -> Iterator[list[Shard]]:
    """Yield the shards of each species once they are written, and say what is in them."""
    for plan in plans:
        found = list(islice(shards, len(plan.spans)))
        pieces, size = sum(shard.rows.size for shard in found), sum(shard.size for shard in found)
        short = [length for shard in found for length in shard.dropped]
        LOGGER.info(
            "%s: %s genes, %s transcripts, %s nt in %s pieces%s",
            plan.genome.species,
            f"{plan.genes:,}",
            f"{plan.transcripts:,}",
            f"{size:,}",
            f"{pieces:,}",
            f"; dropped {len(short):,} under {MIN_LENGTH} nt ({sum(short):,} nt in all)" if short else "",
        )
        yield found


def _finish(
    folder: Path,
    plans: Sequence[Plan],
    shards: Iterator[list[Shard]],
    names: Sequence[str],
    hold_out: HoldOut,
) -> None:
    """Write index, contigs and manifest beside the shards."""
    rows: list[npt.NDArray[np.void]] = []
    files: list[Entry] = []
    contigs: list[str] = []
    species = []
    for number, (plan, found) in enumerate(zip(plans, shards, strict=True)):
        for shard in found:
            shard.rows["species"], shard.rows["shard"] = number, len(files)
            shard.rows["contig"] += len(contigs)
            rows.append(shard.rows)
            files.append({"name": names[len(files)], "size": shard.size, "sha256": shard.sha256})
        contigs += plan.contigs
        species.append(_species_entry(plan, found))
    index = np.concatenate(rows) if rows else np.zeros(0, dtype=INDEX_ROW)
    if not index.size:
        raise InputError(f"no pre-mRNA of {MIN_LENGTH} nt or more in any species; check the annotations")
    index["validation"] = _held_out(index, contigs, hold_out)
    for number, entry in enumerate(species):
        own = index[index["species"] == number]
        for split, chosen in (("training", own[~own["validation"]]), ("validation", own[own["validation"]])):
            entry[split] = {"pieces": chosen.size, "nt": int((chosen["end"] - chosen["start"]).sum())}
    for split in ("training", "validation"):
        sizes = [entry[split] for entry in species]
        nt, pieces = sum(size["nt"] for size in sizes), sum(size["pieces"] for size in sizes)
        LOGGER.info("%s: %s nt in %s pieces", split, f"{nt:,}", f"{pieces:,}")
    np.save(folder / INDEX, index)
    (folder / CONTIGS).write_text("".join(f"{name}\n" for name in contigs), encoding="utf-8")
    manifest = {
        "version": VERSION,
        "package": importlib.metadata.version("sbert-vcf"),
        "hold_out": asdict(hold_out),
        "species": species,
        "shards": files,
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (INDEX, CONTIGS)},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _held_out(index: npt.NDArray[np.void], contigs: Sequence[str], hold_out: HoldOut) -> npt.NDArray[np.bool_]:
    """Which pieces are for validation (P,)."""
    if hold_out.random_pieces:
        if hold_out.random_pieces >= index.size:
            raise InputError(
                f"--hold-out-random {hold_out.random_pieces:,}: the corpus has {index.size:,} pieces; hold out fewer"
            )
        chosen = np.zeros(index.size, dtype=np.bool_)
        rng = np.random.default_rng(hold_out.seed)
        chosen[rng.choice(index.size, hold_out.random_pieces, replace=False)] = True
        return chosen
    patterns = [contig_pattern(pattern) for pattern in hold_out.contigs]
    held = np.array([any(pattern.fullmatch(name) for pattern in patterns) for name in contigs], dtype=np.bool_)
    chosen = np.take(held, index["contig"])
    if chosen.all():
        raise InputError(f"--hold-out {' '.join(hold_out.contigs)}: leaves nothing to train on; hold out less")
    return chosen


def _species_entry(plan: Plan, shards: Sequence[Shard]) -> Entry:
    codes = np.stack([shard.codes for shard in shards]).sum(axis=0)  # (256,)
    code = np.arange(256)
    token, region = code & TOKEN_BITS, code >> REGION_SHIFT & REGION_BITS
    short = [length for shard in shards for length in shard.dropped]
    genome = plan.genome
    return {
        "name": genome.species,
        "weight": genome.weight,
        "fasta": {
            "name": genome.fasta.name,
            "size": genome.fasta.stat().st_size,
            "index_sha256": plan.fasta_index_sha256,
        },
        "annotation": {"name": genome.annotation.name, "sha256": plan.annotation_sha256},
        "contigs": len(plan.contigs),
        "absent_contigs": len(plan.absent),
        "genes": plan.genes,
        "transcripts": plan.transcripts,
        "pieces": sum(shard.rows.size for shard in shards),
        "nt": int(codes.sum()),
        "acgt": int(codes[np.isin(token, NUCLEOTIDES)].sum()),
        "n": int(codes[token == N].sum()),
        "repeat": int(codes[code >= REPEAT_BIT].sum()),
        "regions": {name: int(codes[region == number].sum()) for number, name in enumerate(REGIONS)},
        "dropped": {"pieces": len(short), "nt": sum(short)},
    }


@contextmanager
def _workers(processes: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Give a `map` that spreads its calls over processes and keeps their order."""
    if processes == 1:
        yield map
        return
    # Spawned, not forked: forked copies of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker)
    try:
        yield pool.map
    except BrokenProcessPool as error:
        raise SbertError(
            "a process of the build was killed, likely for want of memory; try fewer --processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end when that was killed rather than wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _new_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder beside `out` that becomes it in the end, or is removed when something fails."""
    _check_free(out, overwrite)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise OutputError(f"{out}: cannot write there: {error.strerror}") from error
    try:
        folder.chmod(0o755)
        yield folder
        _check_free(out, overwrite)
        if out.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
            out.rename(old / out.name)
            folder.rename(out)
            shutil.rmtree(old)
        else:
            folder.rename(out)
    except OSError as error:
        raise OutputError(f"{error.filename or out}: cannot write the corpus: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_free(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not overwrite:
        raise OutputError(f"{out}: is there already; add --overwrite to replace it")
    if not (out / MANIFEST).is_file():
        raise OutputError(f"{out}: is no corpus folder, so it is not replaced; give another name")

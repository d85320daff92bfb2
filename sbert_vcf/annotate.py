"""Annotate a VCF: records through the annotator to the output, in order, in constant memory.

One thread reads records and plans what to ask of them, this one lets the model read, a third formats and writes.
"""

import contextlib
import gc
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from sbert_model.contigs import spellings
from sbert_model.device import use_cpu_threads
from sbert_model.errors import OutputError
from sbert_vcf import fields
from sbert_vcf.annotator import Annotator, Plans
from sbert_vcf.consequence import find_field
from sbert_vcf.header import Header
from sbert_vcf.line_source import STDIN, indexed_records
from sbert_vcf.new_file import check_new
from sbert_vcf.notices import LOGGER, Notices
from sbert_vcf.options import ScoringOptions
from sbert_vcf.pipeline import made_ahead, taken_behind
from sbert_vcf.progress import BuildCheck, Progress
from sbert_vcf.provenance import COMMAND, RUN, provenance, run_facts
from sbert_vcf.reference import Reference
from sbert_vcf.restart import RestartPoint
from sbert_vcf.results import AlleleResult
from sbert_vcf.resumable import Files, open_resumable
from sbert_vcf.strand import Site
from sbert_vcf.variant import Status
from sbert_vcf.vcf_input import Record, VcfInput
from sbert_vcf.vcf_output import STDOUT, Writer, format_of, is_stream, open_output

RESTART_EVERY = 30.0
"""Seconds between restart points."""
_RECORDS_AT_ONCE = 1000
_ALLOCATIONS_PER_COLLECTION = 200_000
_GROUPS_WAITING = 2  # between two stages: enough that none waits for another's odd slow group


@dataclass(frozen=True, slots=True)
class AnnotateOptions:
    """Where records come from and go to; output '-' is standard output, letter a format of bcftools' -O.

    resume: go on where a run that was cut off had come to, and write restart points every `restart_every` seconds.
    """

    input: str
    output: str = STDOUT
    letter: str | None = None
    index: bool = True
    region: str | None = None
    overwrite: bool = False
    force: bool = False
    progress: bool = False
    resume: bool = False
    restart_every: float = RESTART_EVERY


def annotate(options: AnnotateOptions, scoring: ScoringOptions) -> Counter[Status]:
    """Annotate `options.input` into `options.output`; returns how many alleles had each status (NO_ALT: records).

    Raises SbertError for what the user can mend; no output then appears under its final name. A resumable run that
    ends early, for whatever reason, leaves what it has done, and counts it when it goes on.
    """
    _check_output(options)
    notices = Notices()
    threads = use_cpu_threads(scoring.threads)
    letter = format_of(options.output, options.letter)
    with _seldom_collected(), VcfInput(options.input, notices, options.region) as vcf:
        field = find_field(vcf.header.info, scoring.csq_field)
        with (
            Annotator.open(scoring, field=field, header_reference=vcf.header.reference, notices=notices) as annotator,
            _open_output(
                options, letter, _output_header(vcf, annotator, letter, notices), annotator, notices
            ) as writer,
            _progress_bar(options) as bar,
        ):
            LOGGER.debug(
                "window: %d nt; %d alleles at a time; %d CPU threads; strands: %s",
                *(annotator.window, annotator.batch_size, threads, annotator.strands.description),
            )
            build = BuildCheck(vcf.name, str(annotator.reference.path), options.force)
            progress = Progress(build, digesting=options.resume)
            if writer.point is not None:
                _go_on(writer.point, vcf, progress, bar)

            def write(scored: _Scored) -> None:
                found = scored.results()
                with writer.group(progress):
                    for record, results in zip(scored.records, found, strict=True):
                        progress.add(record, results)
                        ours = fields.info_text(results, annotator.optional_fields) if results else ""
                        writer.write(record.line(ours, fields.OUR_IDS), record.contig, record.start)
                        if options.progress:
                            tally = progress.tally
                            bar.set_postfix_str(f"{tally[Status.OK] / tally.total():.0%} scored", refresh=False)
                            bar.update()

            planned = _planned(vcf, annotator, field.id if field else None)
            with made_ahead(planned, _GROUPS_WAITING) as groups, taken_behind(write, _GROUPS_WAITING) as write_behind:
                for records, sites, plans in groups:
                    write_behind(_Scored(records, annotator.start(sites, plans)))
            build.finish()
            annotator.log_windows()
    return progress.tally


def _open_output(
    options: AnnotateOptions, letter: str, header: Header, annotator: Annotator, notices: Notices
) -> contextlib.AbstractContextManager[Writer]:
    if not options.resume:
        return open_output(options.output, letter, header, index=options.index, notices=notices)
    kept = "".join(f"{line}\n" for line in header.lines if not line.startswith((RUN, COMMAND)))
    run = {
        **run_facts(annotator),
        "Fields": " ".join(sorted(annotator.optional_fields)) or "none",
        "Format": letter,
        "Region": options.region or "all",
        "HeaderSHA256": hashlib.sha256(kept.encode("utf-8", "surrogateescape")).hexdigest(),
    }
    return open_resumable(
        options.output, letter, header, run=run, every=options.restart_every, index=options.index, notices=notices
    )


def _go_on(point: RestartPoint, vcf: VcfInput, progress: Progress, bar: "tqdm[NoReturn]") -> None:
    progress.skip(iter(vcf), point.done, vcf.name)
    LOGGER.info("goes on behind record %d, %s", progress.records, point.done.last)
    bar.initial = bar.n = progress.records


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """Let Python seldom look for cyclic garbage: records leave none, and every look goes over all that is loaded."""
    before = gc.get_threshold()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextlib.contextmanager
def _progress_bar(options: AnnotateOptions) -> Iterator["tqdm[NoReturn]"]:
    """Show records done, their rate and, where an index tells how many there are, the time left; notices go above."""
    if not options.progress:
        yield tqdm(disable=True)
        return
    whole_file = options.region is None and options.input != STDIN
    total = indexed_records(options.input) if whole_file else None
    with logging_redirect_tqdm([LOGGER]), tqdm(total=total, unit=" variants", file=sys.stderr) as bar:
        yield bar


class _Planned(NamedTuple):
    """Records that go together, and what is wanted of them."""

    records: list[Record]
    sites: list[Site]
    plans: Plans


class _Scored(NamedTuple):
    """Records that go together, and the function that waits for their results."""

    records: list[Record]
    results: Callable[[], list[tuple[AlleleResult, ...]]]


def _planned(records: Iterable[Record], annotator: Annotator, consequence_id: str | None) -> Iterator[_Planned]:
    """Plan records by groups that fill the model's batches."""
    for group in _groups(records, annotator.batch_size):
        sites = [
            Site(
                record.contig,
                record.start,
                record.ref,
                record.alts,
                record.info(consequence_id) if consequence_id else "",
            )
            for record in group
        ]
        yield _Planned(group, sites, annotator.plan(sites))


def _groups(records: Iterable[Record], alleles: int) -> Iterator[list[Record]]:
    """Gather records until they hold `alleles` ALTs or are 1,000 (a gVCF has mostly none)."""
    group: list[Record] = []
    pending = 0
    for record in records:
        group.append(record)
        pending += len(record.alts)
        if pending >= alleles or len(group) == _RECORDS_AT_ONCE:
            yield group
            group, pending = [], 0
    yield group


def _check_output(options: AnnotateOptions) -> None:
    source, output = Path(options.input), Path(options.output)
    if not is_stream(options.output) and output.is_file() and source.exists() and output.samefile(source):
        raise OutputError(f"{output}: is the input itself; choose another name")
    if options.resume:
        for name, standard in ((options.input, "standard input"), (options.output, "standard output")):
            if is_stream(name):
                name = standard if name == STDOUT else name
                raise OutputError(f"{name}: is no file; --resume needs files as input and output")
        Files.of(options.output, format_of(options.output, options.letter)).complete()
    check_new(options.output, options.overwrite)


def _output_header(vcf: VcfInput, annotator: Annotator, letter: str, notices: Notices) -> Header:
    """Return the input's header with our lines before #CHROM, those of an earlier run taken out."""
    present = sorted(fields.OUR_IDS & set(vcf.header.ids("INFO")))
    if present:
        notices.warn("present", f"INFO {', '.join(present)} in the input: replaced")
    kept = vcf.header.without_info(fields.OUR_IDS).lines
    header = Header([line for line in kept if not line.startswith((RUN, COMMAND))])
    if letter in "ub" and not header.ids("contig"):
        header = header.with_lines(_contig_lines(vcf, annotator.reference, notices))
    return header.with_lines([*fields.header_lines(annotator.optional_fields), *provenance(annotator)])


def _contig_lines(vcf: VcfInput, reference: Reference, notices: Notices) -> list[str]:
    """Return ##contig lines, which BCF cannot do without: the FASTA's contigs, spelled as the first record's is.

    None where the FASTA lacks that contig or knows it by an alias only: how to name the others is then unknown.
    """
    first = vcf.first_contig()
    if first is None:
        return []
    lengths = reference.contigs
    if first not in lengths:
        lengths = {
            name: length
            for contig, length in lengths.items()
            for name in spellings(contig)
            if name.startswith("chr") == first.startswith("chr")
        }
    if first not in lengths:
        return []
    notices.warn("contigs", f"{vcf.name}: has no ##contig lines, which BCF needs: those of {reference.path} are added")
    return [f"##contig=<ID={name},length={length}>" for name, length in lengths.items()]

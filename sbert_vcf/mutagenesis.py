"""In silico mutagenesis as a run: targets in, a table of every substitution and a figure out."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from sbert_model.device import use_cpu_threads
from sbert_model.errors import InputError
from sbert_vcf.annotator import Annotator
from sbert_vcf.mutagenesis_figure import HeatMaps, need_matplotlib
from sbert_vcf.mutagenesis_rows import HEADER, Mutagenesis, line
from sbert_vcf.mutagenesis_targets import Stretch, Target, locate
from sbert_vcf.new_file import check_new, new_file, new_text
from sbert_vcf.notices import LOGGER, Notices
from sbert_vcf.options import ScoringOptions
from sbert_vcf.provenance import provenance
from sbert_vcf.variant import Status


@dataclass(frozen=True, slots=True)
class MutagenesisOptions:
    """Where the results go; output '-' is standard output, plot ends with .png or .svg.

    upstream, downstream: nt before the first exon base, and from it on, that are mutated of a transcript's acceptor.
    """

    output: str
    plot: str | None = None
    upstream: int = 60
    downstream: int = 10
    overwrite: bool = False
    progress: bool = False


def mutagenesis(targets: Sequence[Target], options: MutagenesisOptions, scoring: ScoringOptions) -> Counter[Status]:
    """Score every substitution of the targets; returns how many rows had each status.

    Raises SbertError for what the user can mend; neither output then appears under its final name.
    """
    for output in filter(None, (options.output, options.plot)):
        check_new(output, options.overwrite)
    if options.plot is not None:
        need_matplotlib()
    use_cpu_threads(scoring.threads)
    with Annotator.open(scoring, notices=Notices()) as annotator:
        stretches = [
            locate(target, annotator.reference, annotator.genes, options.upstream, options.downstream)
            for target in targets
        ]
        _check_strands(stretches, scoring.strand)
        maps = HeatMaps() if options.plot else None
        with contextlib.ExitStack() as files:
            figure = files.enter_context(new_file(Path(options.plot))) if options.plot else None
            table = files.enter_context(new_text(options.output))
            table.writelines(f"{text}\n" for text in (*provenance(annotator), HEADER))
            with _progress_bar(stretches, options.progress) as bar:
                tally = _write(Mutagenesis(annotator), stretches, table, maps, bar)
            if maps is not None and figure is not None and options.plot is not None:
                maps.save(figure, Path(options.plot).suffix[1:])
        annotator.log_windows()
    return tally


def _write(
    scored: Mutagenesis,
    stretches: Sequence[Stretch],
    table: TextIO,
    maps: HeatMaps | None,
    bar: "tqdm[NoReturn]",
) -> Counter[Status]:
    tally: Counter[Status] = Counter()
    for stretch in stretches:
        done = stretch.start
        for row in scored.rows(stretch):
            table.write(line(row))
            tally[row.status] += 1
            if maps is not None:
                maps.add(row)
            bar.update(row.variant.start - done)
            done = row.variant.start
        bar.update()
    return tally


def _check_strands(stretches: Sequence[Stretch], strand: str) -> None:
    for stretch in stretches:
        if stretch.transcript is not None and strand in ("+", "-") and strand != stretch.transcript.strand:
            raise InputError(
                f"{stretch.name}: {stretch.transcript.transcript_id} lies on the {stretch.transcript.strand} strand, "
                f"--strand is {strand}"
            )


@contextlib.contextmanager
def _progress_bar(stretches: Sequence[Stretch], shown: bool) -> Iterator["tqdm[NoReturn]"]:
    if not shown:
        yield tqdm(disable=True)
        return
    with logging_redirect_tqdm([LOGGER]), tqdm(total=sum(map(len, stretches)), unit=" bases", file=sys.stderr) as bar:
        yield bar

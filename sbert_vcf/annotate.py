"""Annotate a VCF: records through the annotator to the output, in order, in constant memory."""

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from sbert_model.device import use_cpu_threads
from sbert_model.errors import InputError, OutputError
from sbert_vcf import __version__, fields
from sbert_vcf.annotator import Annotator
from sbert_vcf.consequence import find_field
from sbert_vcf.notices import LOGGER, Notices
from sbert_vcf.options import ScoringOptions
from sbert_vcf.results import AlleleResult
from sbert_vcf.strand import Site
from sbert_vcf.variant import Status
from sbert_vcf.vcf_input import Header, Record, VcfInput
from sbert_vcf.vcf_output import STDOUT, format_of, open_output

_RECORDS_AT_ONCE = 1000
_CHECKED_FOR_BUILD = 1000
# What tells nothing about whether REF fits the FASTA.
_REF_NOT_SEEN = {Status.CONTIG_MISSING, Status.STAR, Status.SYMBOLIC, Status.BREAKEND, Status.NON_ACGT}


@dataclass(frozen=True, slots=True)
class AnnotateOptions:
    """Where records come from and go to; output '-' is standard output, letter a format of bcftools' -O."""

    input: str
    output: str = STDOUT
    letter: str | None = None
    index: bool = True
    region: str | None = None
    overwrite: bool = False
    force: bool = False
    progress: bool = False


def annotate(options: AnnotateOptions, scoring: ScoringOptions) -> Counter[Status]:
    """Annotate `options.input` into `options.output`; returns how many alleles had each status (NO_ALT: records).

    Raises SbertError for what the user can mend; no output then appears under its final name.
    """
    _check_output(options)
    notices = Notices()
    threads = use_cpu_threads(scoring.threads)
    tally: Counter[Status] = Counter()
    with VcfInput(options.input, notices, options.region) as vcf:
        field = find_field(vcf.header.info, scoring.csq_field)
        with (
            Annotator.open(scoring, field=field, header_reference=vcf.header.reference, notices=notices) as annotator,
            open_output(
                options.output,
                format_of(options.output, options.letter),
                _output_header(vcf.header, annotator, notices),
                threads=threads,
                index=options.index,
                notices=notices,
            ) as writer,
            tqdm(total=vcf.total, unit=" variants", disable=not options.progress, file=sys.stderr) as bar,
        ):
            build = _BuildCheck(vcf.name, str(annotator.reference.path), options.force)
            for record, results in _scored(vcf, annotator, field.id if field else ""):
                tally.update([result.status for result in results] or [Status.NO_ALT])
                build.see(results)
                ours = fields.info_text(results, annotator.delta) if results else ""
                writer.write(record.line(ours, fields.OUR_IDS), record.contig, record.start)
                bar.update()
                if bar.n % _RECORDS_AT_ONCE == 0:
                    bar.set_postfix_str(f"{tally[Status.OK] / tally.total():.0%} scored", refresh=False)
            build.finish()
    return tally


def _scored(
    records: Iterable[Record], annotator: Annotator, consequence_id: str
) -> Iterator[tuple[Record, tuple[AlleleResult, ...]]]:
    """Score records by groups that fill the model's batches; they come back in their order."""
    for group in _groups(records, annotator.batch_size):
        sites = [
            Site(record.contig, record.start, record.ref, record.alts, record.info(consequence_id)) for record in group
        ]
        yield from zip(group, annotator.score_sites(sites), strict=True)


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


class _BuildCheck:
    """Notices when REF disagrees with the FASTA so often that the VCF must come from another genome build."""

    def __init__(self, vcf: str, fasta: str, force: bool) -> None:
        self._text = f"{vcf}: REF disagrees with {fasta} in"
        self._force = force
        self._seen = 0
        self._mismatches = 0

    def see(self, results: Iterable[AlleleResult]) -> None:
        """Count a record; raises InputError when over half of the first 1,000 disagree, unless forced."""
        statuses = {result.status for result in results} - _REF_NOT_SEEN
        if not statuses:
            return
        self._seen += 1
        self._mismatches += Status.REF_MISMATCH in statuses
        if self._seen == _CHECKED_FOR_BUILD and self._looks_wrong and not self._force:
            raise InputError(
                f"{self._text} {self._mismatches} of the first {self._seen} records: the genome build looks wrong; "
                "give the FASTA that the VCF was made with, or --force to go on"
            )

    def finish(self) -> None:
        """Warn at the end of the input."""
        if self._looks_wrong:
            LOGGER.warning(
                "%s %d of %d records: the genome build looks wrong", self._text, self._mismatches, self._seen
            )

    @property
    def _looks_wrong(self) -> bool:
        return self._mismatches * 2 > self._seen


def _check_output(options: AnnotateOptions) -> None:
    if options.output == STDOUT:
        return
    output = Path(options.output)
    if not output.parent.is_dir():
        raise OutputError(f"{output}: its folder does not exist; create it first")
    if output.is_dir():
        raise OutputError(f"{output}: is a folder; name a file")
    if output.exists():
        if Path(options.input).exists() and output.samefile(options.input):
            raise OutputError(f"{output}: is the input itself; choose another name")
        if not options.overwrite:
            raise OutputError(f"{output}: exists already; use --overwrite to replace it")


def _output_header(header: Header, annotator: Annotator, notices: Notices) -> Header:
    """Return the input's header with our lines before #CHROM, those of an earlier run taken out."""
    present = sorted(fields.OUR_IDS & header.ids("INFO"))
    if present:
        notices.warn("present", f"INFO {', '.join(present)} in the input: replaced")
    kept = [line for line in header.lines[:-1] if not line.startswith((_PROVENANCE, _COMMAND))]
    kept = [line for line in kept if not line.startswith(tuple(f"##INFO=<ID={name}," for name in fields.OUR_IDS))]
    ours = [*fields.header_lines(annotator.delta), _provenance(annotator), f"{_COMMAND}{shlex.join(sys.argv)}"]
    return Header([*kept, *ours, header.lines[-1]])


_PROVENANCE = "##sbert_vcf=<"
_COMMAND = "##sbert_vcf_command="


def _provenance(annotator: Annotator) -> str:
    model = annotator.model
    facts = {
        "Version": __version__,
        "Model": model.name,
        "ModelSHA256": model.sha256,
        "Window": annotator.window,
        "Precision": str(annotator.predictor.dtype).removeprefix("torch."),
        "Device": str(annotator.predictor.device),
        "Strand": annotator.strands.description,
        "Reference": annotator.reference.path.name,
        "ReferenceIndexSHA256": annotator.reference.index_digest(),
    }
    return _PROVENANCE + "ID=run," + ",".join(f'{key}="{_quoted(str(value))}"' for key, value in facts.items()) + ">"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

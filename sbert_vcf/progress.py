"""How far a run is: records, alleles by status, and what REF says of the genome build."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from sbert_model.errors import InputError
from sbert_vcf.notices import LOGGER
from sbert_vcf.results import AlleleResult
from sbert_vcf.variant import Status
from sbert_vcf.vcf_input import Record

_CHECKED_FOR_BUILD = 1000
# What tells nothing about whether REF fits the FASTA.
_REF_NOT_SEEN = {
    Status.CONTIG_MISSING,
    Status.CONTIG_END,
    Status.STAR,
    Status.SYMBOLIC,
    Status.BREAKEND,
    Status.NON_ACGT,
}


class BuildCheck:
    """Notices when REF disagrees with the FASTA so often that the VCF must come from another genome build."""

    def __init__(self, vcf: str, fasta: str, force: bool) -> None:
        self._text = f"{vcf}: REF disagrees with {fasta} in"
        self._force = force
        self.seen = 0
        self.mismatches = 0

    def see(self, results: Iterable[AlleleResult]) -> None:
        """Count a record; raises InputError when over half of the first 1,000 disagree, unless forced."""
        statuses = {result.status for result in results} - _REF_NOT_SEEN
        if not statuses:
            return
        self.seen += 1
        self.mismatches += Status.REF_MISMATCH in statuses
        if self.seen == _CHECKED_FOR_BUILD and self._looks_wrong and not self._force:
            raise InputError(
                f"{self._text} {self.mismatches} of the first {self.seen} records: the genome build looks wrong; "
                "give the FASTA that the VCF was made with, or --force to go on"
            )

    def finish(self) -> None:
        """Warn at the end of the input."""
        if self._looks_wrong:
            LOGGER.warning("%s %d of %d records: the genome build looks wrong", self._text, self.mismatches, self.seen)

    @property
    def _looks_wrong(self) -> bool:
        return self.mismatches * 2 > self.seen


class Done(NamedTuple):
    """What a restart point keeps of a run's progress; sha256 is that of the input's lines so far, last its place."""

    records: int
    last: str
    sha256: str
    tally: dict[str, int]
    ref_seen: int
    ref_mismatches: int


class Progress:
    """Counts what is written; `digesting`: also digests the input's lines, which `done` and `skip` need."""

    def __init__(self, build: BuildCheck, *, digesting: bool) -> None:
        self.build = build
        self.records = 0
        self.tally: Counter[Status] = Counter()
        self._last = ""
        self._digest = hashlib.sha256() if digesting else None

    def add(self, record: Record, results: Sequence[AlleleResult]) -> None:
        """Count a record; raises InputError when the genome build looks wrong."""
        for result in results:
            self.tally[result.status] += 1
        if not results:
            self.tally[Status.NO_ALT] += 1
        self.build.see(results)
        self._pass(record)

    def _pass(self, record: Record) -> None:
        self.records += 1
        if self._digest is not None:
            self._last = f"{record.contig}:{record.start + 1}"
            line = "\t".join(record.columns)
            self._digest.update(f"{line}\n".encode("utf-8", "surrogateescape"))

    def done(self) -> Done:
        """Return what is to be kept."""
        assert self._digest is not None
        tally = {status.value: count for status, count in self.tally.items()}
        sha256 = self._digest.copy().hexdigest()
        return Done(self.records, self._last, sha256, tally, self.build.seen, self.build.mismatches)

    def skip(self, records: Iterator[Record], done: Done, name: str) -> None:
        """Pass over the input's records that are done. Raises InputError where they are not those that were read."""
        assert self._digest is not None
        for record in islice(records, done.records):
            self._pass(record)
        if self._digest.hexdigest() != done.sha256:
            raise InputError(
                f"{name}: its first {done.records} records are not those that the run to be continued has read, of "
                f"which the last was {done.last}: give the input of that run"
            )
        self.tally = Counter({Status(status): count for status, count in done.tally.items()})
        self.build.seen, self.build.mismatches = done.ref_seen, done.ref_mismatches

"""CSQ, ANN and BCSQ: lines of a header, then a line `ref alt value`, to the genes of each ALT."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sbert_model.annotation import Transcript
from sbert_model.errors import SbertError
from sbert_vcf import fields
from sbert_vcf.acceptors import acceptor_of_hgvs
from sbert_vcf.consequence import find_field
from sbert_vcf.genes import Genes
from sbert_vcf.genes_columns import GeneColumns
from sbert_vcf.header import Header
from sbert_vcf.notices import Notices
from sbert_vcf.results import AlleleResult, GeneScore
from sbert_vcf.strand import Placement, Site, StrandSource
from sbert_vcf.variant import Status, trim, unscorable

_START = 999


class Harness:
    """Looks up what an INFO value says, with genes and without."""

    def __init__(self) -> None:
        exons = ((900, 1100), (1200, 1300))
        transcript = Transcript("chr1", 900, 1300, "-", "ENST1.2", "ENSG1", "ABC", exons)
        self._genes = Genes(Path("toy.gtf"), GeneColumns.from_transcripts([transcript]))

    def check(self, data: bytes) -> None:
        """Place every ALT of the record in `data`. Raises what is no SbertError, and for what cannot be written."""
        *lines, record = data.decode("utf-8", "surrogateescape").split("\n")
        ref, alt, value = [*record.split(" ", 2), "", ""][:3]
        alts = tuple(alt.split(","))
        with contextlib.suppress(SbertError):
            header = Header([*lines, "#CHROM"])
            for info_id in (None, *(declaration.id for declaration in header.info[:2])):
                field = find_field(header.info, info_id)
                for genes in (None, self._genes):
                    source = StrandSource("auto", field, genes, Notices())
                    site = Site("chr1", _START, ref, alts, value)
                    for index, letters in enumerate(alts):
                        if unscorable(ref, letters) is None:
                            _check_alt(source, site, index)


def _check_alt(source: StrandSource, site: Site, index: int) -> None:
    allele = trim("chr1", site.start, site.ref, site.alts[index])
    placements = source.placements(site, index, allele)
    assert all(place.strand in ("+", "-") for place in placements)
    assert len(set(placements)) == len(placements), "one placement twice"
    assert source.placements(site, index, allele) == placements
    for place in placements:
        for text in place.hgvsc:
            acceptor_of_hgvs(text, place.strand, allele, _bases)
    _check_written(placements, site.alts[index])


def _check_written(placements: list[Placement], alt: str) -> None:
    """Nothing that the field holds ends an entry, a field or the line of ours early."""
    scores = tuple(GeneScore(place, -1.5) for place in placements)
    text = fields.info_text([AlleleResult(alt, 1, Status.OK, scores)], ())
    parts = dict(part.split("=", 1) for part in text.split(";"))
    assert not set(text) & set(" \t\r\n"), f"white space in {text!r}"
    entries = parts[fields.PACKED_ID].split(",") if placements else []
    assert len(entries) == len(placements)
    assert all(entry.count("|") == len(fields.PACKED_COLUMNS) - 1 for entry in entries), f"a broken entry in {text!r}"


def _bases(contig: str, start: int, end: int) -> str:
    return "ACGT"[start % 4 :][: end - start].ljust(end - start, "A")


@contextlib.contextmanager
def open_harness() -> Iterator[Harness]:
    """Make the genes."""
    yield Harness()

"""From an allele to the genes and strands on which it is scored."""

from functools import lru_cache
from typing import NamedTuple

from sbert_model.errors import InputError
from sbert_vcf.consequence import ConsequenceField
from sbert_vcf.consequence_entries import Entry
from sbert_vcf.genes import Gene, Genes
from sbert_vcf.notices import Notices
from sbert_vcf.variant import Allele


class Placement(NamedTuple):
    """One gene (or bare strand '+', '-') on which an allele is scored, and where that is known from.

    source: a consequence field's ID, `GTF`, both of them (`ANN+GTF`), `both` or `option`.
    hgvsc: the distinct HGVS descriptions that a consequence field gives for this gene's transcripts.
    """

    strand: str
    source: str
    consequence: str = ""
    symbol: str = ""
    gene: str = ""
    feature: str = ""
    hgvsc: tuple[str, ...] = ()


class Site(NamedTuple):
    """What strand sources see of a record: its alleles and its consequence field's value ('' or '.': it has none)."""

    contig: str
    start: int
    ref: str
    alts: tuple[str, ...]
    consequences: str = ""


class StrandSource:
    """Finds the placements of an allele by the mode that --strand names (DESIGN: CSQ, then GTF, then both strands)."""

    def __init__(self, mode: str, field: ConsequenceField | None, genes: Genes | None, notices: Notices) -> None:
        """Check that what `mode` needs is there. Raises InputError otherwise."""
        if mode == "genes" and genes is None:
            raise InputError("--strand genes needs a gene annotation: name one with --genes")
        if mode == "csq" and field is None:
            raise InputError(
                "--strand csq needs a consequence field (CSQ, ANN, BCSQ) in the header: run VEP, or --csq-field"
            )
        if mode == "csq" and field is not None and not field.has_strand and genes is None:
            raise InputError(f"--strand csq: INFO {field.id} has no STRAND; run VEP with STRAND, or add --genes")
        self.mode = mode
        self.field_id = field.id if field is not None else None
        self._field = field if mode in ("auto", "csq") else None
        self._genes = genes
        self._notices = notices
        if self._field is not None and not self._field.has_strand:
            instead = "strands come from --genes by name" if genes is not None else "it tells no strand without --genes"
            notices.warn("csq-strand", f"INFO {self._field.id} has no STRAND subfield: {instead}")
            self._field = self._field if genes is not None else None
        if self._field is not None and self._field.declared_otherwise:
            again = f"INFO {self._field.id} is declared more than once, with different subfields"
            notices.warn("csq-declared", f"{again}: the first declaration counts, and the first value of a record")

    @property
    def description(self) -> str:
        """Return the sources in use, in their order, for the output header."""
        if self.mode in ("both", "+", "-"):
            return self.mode
        sources = [self._field.id] if self._field is not None else []
        if self._genes is not None:
            sources.append(self._genes.path.name)
        return "+".join(sources) or "both"

    @property
    def has_hgvsc(self) -> bool:
        """Whether a consequence field is in use that has HGVS descriptions of coding or non-coding transcripts."""
        return self._field is not None and self._field.has_hgvsc

    def placements(self, site: Site, index: int, allele: Allele) -> list[Placement]:
        """Return the placements of ALT `index` of `site`; an empty list when it lies outside every gene."""
        if self.mode in ("+", "-"):
            return [Placement(self.mode, "option")]
        if self.mode == "both":
            return _both()
        entries = self._entries(site)
        if self._field is not None and entries:
            found = self._from_consequences(self._field, entries, site, index, allele.contig)
            if found or self.mode == "csq" or self._genes is None:
                return found
        if self._genes is not None and self.mode != "csq":
            self._check_contig(self._genes, allele.contig)
            return [_of_gene(gene) for gene in self._genes.overlapping(allele.contig, allele.start, allele.end)]
        return self._without_source(site)

    def _entries(self, site: Site) -> list[Entry]:
        """Return the entries of a record; none where it lacks the field, or has a value that names no consequence."""
        if self._field is None or site.consequences in ("", "."):
            return []
        entries = self._field.entries(site.consequences)
        if any(entry.consequence for entry in entries):
            return entries
        self._notices.warn(
            "csq-malformed",
            f"values of INFO {self._field.id} without a Consequence (first: {site.contig}:{site.start + 1}: "
            f"{site.consequences[:40]!r}) count as missing",
        )
        return []

    def _without_source(self, site: Site) -> list[Placement]:
        if self._field is None:
            self._notices.warn("both", "no strand source (CSQ or --genes): every allele is scored on both strands")
            return _both()
        records = f"records without INFO {self._field.id} (first: {site.contig}:{site.start + 1})"
        if self.mode == "csq" or self._field.leaves_out_strands:
            self._notices.warn("no-csq", f"{records} get NO_GENE")
            return []
        self._notices.warn("no-csq", f"{records} are scored on both strands; --genes would tell")
        return _both()

    def _from_consequences(
        self, field: ConsequenceField, entries: list[Entry], site: Site, index: int, contig: str
    ) -> list[Placement]:
        """Return one placement per gene and strand, of its preferred transcript or else the first.

        A gene is a SYMBOL (without one: a Gene, a Feature), so that the Ensembl and the RefSeq gene of a merged cache,
        which share nothing else, are one.
        """
        chosen: dict[tuple[str, str], Entry] = {}
        hgvsc: dict[tuple[str, str], dict[str, None]] = {}
        strandless: dict[str, Entry] = {}
        for entry in self._of_alt(field, entries, site, index):
            if not entry.in_transcript:
                continue
            strand = entry.strand or self._strand_by_name(entry, contig)
            if not strand:
                strandless.setdefault(entry.gene_name, entry)
                continue
            key = (entry.gene_name, strand)
            if key not in chosen or (entry.preferred and not chosen[key].preferred):
                chosen[key] = entry
            hgvsc.setdefault(key, {}).update({entry.hgvsc: None} if entry.hgvsc else {})
        placements = [_of_entry(entry, key[1], field.id, tuple(hgvsc[key])) for key, entry in chosen.items()]
        told = {name for name, _ in chosen}
        untold = [entry for name, entry in strandless.items() if name not in told]
        return placements + self._on_both_strands(field, untold, site)

    def _of_alt(self, field: ConsequenceField, entries: list[Entry], site: Site, index: int) -> list[Entry]:
        """Return the entries about an ALT, and say once where that is not sure or where there are none."""
        own = field.of_alt(entries, site.start, site.ref, site.alts, index)
        if len(site.alts) > 1:
            where = f"{site.contig}:{site.start + 1}"
            if not own and self._genes is None:
                self._notices.warn(
                    "csq-no-entry",
                    f"ALTs without an entry in INFO {field.id} (first: {where} {site.alts[index]}) get NO_GENE: "
                    "--genes would tell, or VEP --pick_allele in place of --pick",
                )
            elif not self._notices.said("csq-shared") and field.share_entries(entries, site.ref, site.alts):
                self._notices.warn(
                    "csq-shared",
                    f"INFO {field.id} does not tell the ALTs of some records apart (first: {where}): they share its "
                    "entries; VEP --allele_number would tell, or bcftools norm -m- before it was made",
                )
        return own

    def _on_both_strands(self, field: ConsequenceField, entries: list[Entry], site: Site) -> list[Placement]:
        """Return placements on both strands for genes whose strand nothing tells, where the field leaves it open.

        It does where it has no strand by its nature, and where it names no gene (VEP --most_severe).
        """
        if self._genes is not None:
            return []
        entries = [entry for entry in entries if field.leaves_out_strands or not entry.gene_name]
        if not entries:
            return []
        genes = f"genes whose strand INFO {field.id} does not tell (first: {site.contig}:{site.start + 1})"
        if self.mode == "csq":
            self._notices.warn("csq-strandless", f"{genes} get NO_GENE")
            return []
        self._notices.warn("csq-strandless", f"{genes} are scored on both strands; --genes would tell")
        return [
            place._replace(consequence=entry.consequence, symbol=entry.symbol, gene=entry.gene, feature=entry.feature)
            for entry in entries
            for place in _both()
        ]

    def _strand_by_name(self, entry: Entry, contig: str) -> str:
        """Return the strand of the entry's transcript, gene or symbol in the annotation; '' where it tells none."""
        if self._genes is None:
            return ""
        for name in (entry.feature, entry.gene, entry.symbol):
            strands = self._genes.strands_by_name(contig, name) if name else set()
            if len(strands) == 1:
                return strands.pop()
        return ""

    def _check_contig(self, genes: Genes, contig: str) -> None:
        if not genes.has_contig(contig):
            self._notices.warn(
                "genes-contig",
                f"{genes.path}: no genes on contig {contig} (nor perhaps on others): its alleles get NO_GENE",
            )


def _both() -> list[Placement]:
    return [Placement("+", "both"), Placement("-", "both")]


def _of_entry(entry: Entry, strand: str, field_id: str, hgvsc: tuple[str, ...]) -> Placement:
    source = field_id if entry.strand else f"{field_id}+GTF"
    return Placement(strand, source, entry.consequence, entry.symbol, entry.gene, entry.feature, hgvsc)


@lru_cache(maxsize=256)
def _of_gene(gene: Gene) -> Placement:
    return Placement(gene.strand, "GTF", "", gene.gene_name, gene.gene_id, gene.transcript_id)

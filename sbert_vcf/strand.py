"""From an allele to the genes and strands on which it is scored."""

from typing import NamedTuple

from sbert_model.errors import InputError
from sbert_vcf.consequence import ConsequenceField, Entry, entries_of_alt
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
                "--strand csq needs a consequence field (CSQ or ANN) in the header: run VEP, or --csq-field"
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
        annotated = site.consequences not in ("", ".")
        if self._field is not None and annotated:
            found = self._from_consequences(self._field, site, index, allele.contig)
            if found or self.mode == "csq" or self._genes is None:
                return found
        if self._genes is not None and self.mode != "csq":
            self._check_contig(self._genes, allele.contig)
            return [_of_gene(gene) for gene in self._genes.overlapping(allele.contig, allele.start, allele.end)]
        return self._without_source(site)

    def _without_source(self, site: Site) -> list[Placement]:
        if self._field is None:
            self._notices.warn("both", "no strand source (CSQ or --genes): every allele is scored on both strands")
            return _both()
        records = f"records without INFO {self._field.id} (first: {site.contig}:{site.start + 1})"
        if self.mode == "csq":
            self._notices.warn("no-csq", f"{records} get NO_GENE")
            return []
        self._notices.warn("no-csq", f"{records} are scored on both strands; --genes would tell")
        return _both()

    def _from_consequences(self, field: ConsequenceField, site: Site, index: int, contig: str) -> list[Placement]:
        """Return one placement per gene and strand, of its preferred transcript or else the first.

        A gene is a SYMBOL (without one: a Gene, a Feature), so that the Ensembl and the RefSeq gene of a merged cache,
        which share nothing else, are one.
        """
        chosen: dict[tuple[str, str], Entry] = {}
        hgvsc: dict[tuple[str, str], dict[str, None]] = {}
        for entry in entries_of_alt(field.entries(site.consequences), site.ref, site.alts, index):
            if not entry.in_transcript:
                continue
            strand = entry.strand or self._strand_by_name(entry, contig)
            key = (entry.symbol or entry.gene or entry.feature, strand)
            if not strand:
                continue
            if key not in chosen or (entry.preferred and not chosen[key].preferred):
                chosen[key] = entry
            hgvsc.setdefault(key, {}).update({entry.hgvsc: None} if entry.hgvsc else {})
        return [_of_entry(entry, key[1], field.id, tuple(hgvsc[key])) for key, entry in chosen.items()]

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


def _of_gene(gene: Gene) -> Placement:
    return Placement(gene.strand, "GTF", "", gene.gene_name, gene.gene_id, gene.transcript_id)

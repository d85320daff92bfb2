"""Transcripts and their exons, read from GTF, GFF3 (Ensembl, GENCODE, RefSeq and their like) or UCSC genePred."""

import itertools
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from sbert_model.errors import InputError
from sbert_model.gene_pred import LAST_POSITION, GenePred, is_gene_pred, read_gene_pred
from sbert_model.text_lines import open_lines

GENE_FEATURES = frozenset({b"gene", b"ncRNA_gene", b"pseudogene", b"transposable_element_gene"})
# The CDS of GTF stops before the stop codon, that of GFF3 and genePred holds it: both are read as coding.
CDS_FEATURES = frozenset({b"CDS", b"stop_codon"})
GTF_FEATURES = frozenset({b"gene", b"transcript", b"exon"}) | CDS_FEATURES
# Each GFF3 source has its own names for transcripts (mRNA, lnc_RNA, V_gene_segment, …), so what is none is listed.
GFF3_IGNORED = frozenset(
    b"CDS five_prime_UTR three_prime_UTR start_codon stop_codon stop_codon_redefined_as_selenocysteine UTR intron "
    b"region chromosome scaffold supercontig contig biological_region sequence_feature match cDNA_match protein_match "
    b"enhancer silencer promoter origin_of_replication repeat_region CpG_island centromere D_loop".split()
)
GTF_KEYS = re.compile(rb'\b(gene_id|transcript_id|gene_name|gene) +"?([^";]*)"?')
GFF3_IGNORED_BUT_CDS = GFF3_IGNORED - CDS_FEATURES
GTF_TRANSCRIPT = re.compile(rb'\btranscript_id +"?([^";]*)"?')
GFF3_KEYS = re.compile(rb"(?:^|;) *(ID|Parent|Name|gene_id|gene_name|transcript_id|gene)=([^;]*)")
GFF3_PARENT = re.compile(rb"(?:^|;) *Parent=([^;]*)")
ID_PREFIXES = ("gene:", "transcript:", "gene-", "rna-")


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcript, or a gene of which the file gives no transcript (then transcript_id is empty).

    start, end: 0-based half-open. strand: "+" or "-".
    exons: by genomic start, merged where they touch or overlap; empty when the file names none.
    cds: the same for the coding parts, stop codon included; empty when there are none or they were not asked for.
    """

    contig: str
    start: int
    end: int
    strand: str
    transcript_id: str
    gene_id: str
    gene_name: str
    exons: tuple[tuple[int, int], ...]
    cds: tuple[tuple[int, int], ...] = ()


class _Line(NamedTuple):
    contig: bytes
    feature: bytes
    start: int
    end: int
    strand: bytes
    attributes: bytes


@dataclass(slots=True)
class _Feature:
    """A gene or a transcript while the file is read; `gene` is the key of its gene."""

    contig: bytes
    start: int
    end: int
    strand: bytes
    gene: bytes
    transcript_id: bytes
    gene_id: bytes
    gene_name: bytes
    is_gene: bool
    exons: list[tuple[int, int]] = field(default_factory=list)
    cds: list[tuple[int, int]] = field(default_factory=list)


def read_transcripts(path: Path, *, with_cds: bool = False) -> list[Transcript]:
    """Read the transcripts of a GTF, GFF3 or genePred file (plain, gzip or bgzip), in the order of their first line.

    The format is told from the first line. with_cds: read the coding parts too, which takes half as long again.

    Features without a strand are left out. Raises InputError for a file that is missing, broken or names no gene.
    """
    try:
        with open_lines(path) as lines:
            transcripts = _read(path, lines, with_cds)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot read the gene annotation: {error}") from error
    if not transcripts:
        raise InputError(f"{path}: no gene, transcript or exon with a strand in it; give a GTF, GFF3 or genePred file")
    return transcripts


def _read(path: Path, lines: Iterator[bytes], with_cds: bool) -> list[Transcript]:
    numbered = enumerate(lines, 1)
    # What stands before the first line that counts is not kept: there may be any amount of it.
    first = next(((number, line) for number, line in numbered if not line.startswith(b"#") and line.strip()), None)
    if first is None:
        return []
    rows = itertools.chain([first], numbered)
    if is_gene_pred(first[1]):
        return [_gene_pred_transcript(row, with_cds) for row in read_gene_pred(path, rows)]
    features = _lines(path, rows, GFF3_IGNORED_BUT_CDS if with_cds else GFF3_IGNORED)
    first_feature = next(features, None)
    if first_feature is None:
        return []
    gff3 = re.match(rb" *[^ =\"]+=", first_feature.attributes) is not None
    features = itertools.chain([first_feature], features)
    return _finish(_read_gff3(features) if gff3 else _read_gtf(features))


def _gene_pred_transcript(row: GenePred, with_cds: bool) -> Transcript:
    cds = [(max(start, row.cds_start), min(end, row.cds_end)) for start, end in row.exons] if with_cds else []
    return Transcript(
        contig=row.contig,
        start=row.start,
        end=row.end,
        strand=row.strand,
        transcript_id=row.name,
        gene_id=row.gene,
        gene_name=row.gene,
        exons=_merge(row.exons),
        cds=_merge([part for part in cds if part[0] < part[1]]),
    )


def _lines(path: Path, numbered: Iterable[tuple[int, bytes]], ignored: frozenset[bytes]) -> Iterator[_Line]:
    """Yield the lines that may matter; the others are dropped at their third column, which most of a file is."""
    for number, line in numbered:
        head = line.split(b"\t", 3)
        if len(head) < 4:
            if line.startswith((b"##FASTA", b">")):
                return
            if line.startswith(b"#") or not line.strip():
                continue
            raise InputError(
                f"{path}:{number}: expected nine tab-separated columns of GTF or GFF3, found {line[:60]!r}"
            )
        feature = head[2]
        if feature in ignored or line.startswith(b"#"):
            continue
        try:
            first, last, _, strand, _, attributes = head[3].rstrip(b"\r\n").split(b"\t", 5)
            start, end = int(first) - 1, int(last)
        except ValueError:
            start = end = -1
        if not 0 <= start < end <= LAST_POSITION:
            raise InputError(
                f"{path}:{number}: expected nine columns, 1 <= start <= end the fourth and fifth, found {line[:60]!r}"
            )
        yield _Line(head[0], feature, start, end, strand, attributes)


def _read_gtf(lines: Iterable[_Line]) -> dict[bytes, _Feature]:
    """Collect GTF features; lines may come in any order, and what has exon lines only is spanned by them."""
    features: dict[bytes, _Feature] = {}
    for line in lines:
        if line.feature not in GTF_FEATURES or b"_id" not in line.attributes:
            continue
        match = GTF_TRANSCRIPT.search(line.attributes) if line.feature != b"gene" else None
        known = features.get(_key(line, b"t", match.group(1))) if match else None
        if known is None:
            known = _gtf_feature(line, features)
        if line.feature == b"exon":
            known.exons.append((line.start, line.end))
        elif line.feature in CDS_FEATURES:
            known.cds.append((line.start, line.end))
        if line.feature != b"gene":
            known.start, known.end = min(known.start, line.start), max(known.end, line.end)
    return features


def _gtf_feature(line: _Line, features: dict[bytes, _Feature]) -> _Feature:
    """Return the feature that a gene or transcript line, or the first exon line of a transcript, stands for."""
    attributes = dict(GTF_KEYS.findall(line.attributes))
    gene_id, transcript_id = attributes.get(b"gene_id", b""), attributes.get(b"transcript_id", b"")
    is_gene = line.feature == b"gene" or not transcript_id
    gene = _key(line, b"g", gene_id)
    name = (
        attributes.get(b"gene_name")
        or attributes.get(b"gene")
        or (features[gene].gene_name if gene in features else gene_id)
    )
    key = gene if is_gene else _key(line, b"t", transcript_id)
    if key not in features:
        features[key] = _Feature(
            line.contig,
            line.start,
            line.end,
            line.strand,
            gene,
            b"" if is_gene else transcript_id,
            gene_id,
            name,
            is_gene,
        )
    return features[key]


def _key(line: _Line, kind: bytes, name: bytes) -> bytes:
    # Some files use one id for copies of a gene on several contigs (PAR, alternate loci).
    return b"\t".join((kind, line.contig, line.strand, name))


def _read_gff3(lines: Iterable[_Line]) -> dict[bytes, _Feature]:
    """Collect GFF3 features by their ID; exons and CDS may come before their parents and may have several."""
    features: dict[bytes, _Feature] = {}
    exons: list[tuple[bytes, tuple[int, int]]] = []
    cds: list[tuple[bytes, tuple[int, int]]] = []
    parents: dict[bytes, bytes] = {}
    for line in lines:
        if line.feature == b"exon" or line.feature in CDS_FEATURES:
            match = GFF3_PARENT.search(line.attributes)
            parts = exons if line.feature == b"exon" else cds
            for parent in match.group(1).split(b",") if match else ():
                parts.append((unquote_to_bytes(parent), (line.start, line.end)))
            continue
        attributes = {key: unquote_to_bytes(value) for key, value in GFF3_KEYS.findall(line.attributes)}
        name = attributes.get(b"ID")
        if name is None:
            continue
        parents[name] = attributes.get(b"Parent", b"").split(b",")[0]
        is_gene = line.feature in GENE_FEATURES or (not parents[name] and b"gene" in line.feature)
        label = (
            attributes.get(b"gene_name")
            or attributes.get(b"gene")
            or (attributes.get(b"Name", b"") if is_gene else b"")
        )
        transcript_id = b"" if is_gene else attributes.get(b"transcript_id") or name
        features[name] = _Feature(
            line.contig,
            line.start,
            line.end,
            line.strand,
            name,
            transcript_id,
            attributes.get(b"gene_id", b""),
            label,
            is_gene,
        )
    for parent, exon in exons:
        if parent in features:
            features[parent].exons.append(exon)
    for parent, part in cds:
        if parent in features:
            features[parent].cds.append(part)
    kept = {
        name: feature
        for name, feature in features.items()
        if feature.is_gene or feature.exons or parents[name] in features
    }
    for name, feature in kept.items():
        _name_gff3_gene(name, feature, features, parents)
    return kept


def _name_gff3_gene(
    name: bytes, feature: _Feature, features: dict[bytes, _Feature], parents: dict[bytes, bytes]
) -> None:
    """Follow the parents up to the gene, and take its identifier and its name."""
    gene, passed = name, {name}
    while parents[gene] in features and parents[gene] not in passed:
        gene = parents[gene]
        passed.add(gene)
    top = features[gene]
    feature.gene = gene
    feature.gene_id = feature.gene_id or top.gene_id or gene
    feature.gene_name = feature.gene_name or top.gene_name


def _finish(features: dict[bytes, _Feature]) -> list[Transcript]:
    """Leave out the genes whose transcripts are there, and turn bytes into text."""
    with_transcripts = {feature.gene for feature in features.values() if not feature.is_gene}
    transcripts = []
    for key, feature in features.items():
        if feature.strand not in (b"+", b"-") or (feature.is_gene and key in with_transcripts):
            continue
        gene_id = _text(feature.gene_id)
        transcripts.append(
            Transcript(
                contig=feature.contig.decode(errors="replace"),
                start=feature.start,
                end=feature.end,
                strand=feature.strand.decode(),
                transcript_id=_text(feature.transcript_id),
                gene_id=gene_id,
                gene_name=_text(feature.gene_name) or gene_id,
                exons=_merge(feature.exons),
                cds=_merge(feature.cds),
            )
        )
    return transcripts


def _text(identifier: bytes) -> str:
    text = identifier.decode(errors="replace")
    return next((text.removeprefix(prefix) for prefix in ID_PREFIXES if text.startswith(prefix)), text)


def _merge(exons: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(exons):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)

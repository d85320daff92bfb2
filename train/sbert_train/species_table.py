"""The table of species that a corpus is built from."""

import math
from dataclasses import dataclass
from pathlib import Path

from sbert_model.errors import InputError

COLUMNS = ("species", "FASTA", "annotation", "weight")


@dataclass(frozen=True, slots=True)
class Genome:
    """One species: its name, its sequence (FASTA) and its genes (GTF, GFF3 or UCSC genePred).

    weight: how often its nucleotides are drawn in training, relative to those of the other species.
    """

    species: str
    fasta: Path
    annotation: Path
    weight: float = 1.0


def read_species_table(path: Path) -> list[Genome]:
    """Read a tab-separated table: species, FASTA, annotation and, if given, weight; paths relative to the table.

    `#` starts a comment line; a first line that says species is a header. Raises InputError for a line that does not
    fit, a species named twice and a file that is not there.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot read the species table: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no species table: expected text, {_columns()}") from error
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if rows and rows[0][1].split("\t")[0].strip().lower() == COLUMNS[0]:
        del rows[0]
    if not rows:
        raise InputError(f"{path}: names no species; expected {_columns()}")
    genomes: dict[str, Genome] = {}
    for number, line in rows:
        genome = _genome(f"{path}:{number}", path.parent, line)
        if genome.species in genomes:
            raise InputError(f"{path}:{number}: species {genome.species} is there twice; give each its own name")
        genomes[genome.species] = genome
    return list(genomes.values())


def _columns() -> str:
    return f"tab-separated {', '.join(COLUMNS[:-1])} and, if wanted, {COLUMNS[-1]}"


def _genome(place: str, folder: Path, line: str) -> Genome:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) not in (3, 4) or not all(columns[:3]):
        raise InputError(f"{place}: expected {_columns()}, found {line[:80]!r}")
    species, fasta, annotation = columns[0], folder / columns[1], folder / columns[2]
    for what, file in (("FASTA", fasta), ("annotation", annotation)):
        if not file.is_file():
            raise InputError(f"{place}: no {what} {file}; paths are relative to the table")
    return Genome(species, fasta, annotation, _weight(place, columns[3]) if len(columns) == 4 else 1.0)


def _weight(place: str, text: str) -> float:
    try:
        weight = float(text or 1)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InputError(f"{place}: weight {text!r}; expected a number above 0")
    return weight

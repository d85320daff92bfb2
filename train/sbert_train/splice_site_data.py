"""Sequences around true and false splice sites, as they are published: a table, or Spliceator's files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sbert_model.errors import InputError
from sbert_model.tokenizer import Ids
from sbert_train.text_tables import cut, read_lines, read_sequence

SITES = ("donor", "acceptor")
LENGTH = 400
"""Nucleotides around a site that a model reads (Chen et al. 2024)."""

_SPLICEATOR_HEADER = "ID_uniprot"
_LABELS = ("0", "1")


@dataclass(frozen=True, slots=True)
class SpliceSites:
    """Sequences with the site in their middle, all of one length: ids (N, L) uint8, labels (N,) 1 for true sites."""

    name: str
    ids: Ids
    labels: npt.NDArray[np.int64]

    def some(self, count: int, seed: int) -> "SpliceSites":
        """Return `count` of the sequences, chosen by chance; raises InputError for more than there are."""
        if count > len(self.labels):
            raise InputError(f"{self.name}: --sequences {count}, but there are {len(self.labels)}")
        rows = np.sort(np.random.default_rng(seed).permutation(len(self.labels))[:count])
        return SpliceSites(self.name, self.ids[rows], self.labels[rows])


def read_splice_sites(source: str, site: str, split: str, length: int = LENGTH) -> SpliceSites:
    """Read FILE, a table with a header, or POSITIVES,NEGATIVES, two files as Spliceator has them.

    Of a table with a column `site` or `split` only the rows of the wanted site or split count. Sequences are cut to
    `length` nt around their middle, shorter ones get N at both ends. Raises InputError for a line that does not fit
    and when nothing is left.
    """
    if "," in source and not Path(source).is_file():
        files = source.split(",")
        if len(files) != 2:
            raise InputError(f"{source}: expected one table, or two files of Spliceator: POSITIVES,NEGATIVES")
        rows = [(text, label) for label, file in zip((1, 0), files, strict=True) for text in _spliceator(Path(file))]
    else:
        rows = _table(Path(source), {"site": site, "split": split})
    if not rows:
        raise InputError(f"{source}: has no sequences of site {site}, split {split}")
    ids = np.stack([cut(row, (len(row) - length) // 2, (len(row) - length) // 2 + length) for row, _ in rows])
    labels = np.array([label for _, label in rows])
    if len(set(labels.tolist())) < 2:
        raise InputError(f"{source}: all {len(labels)} sequences of site {site} have the label {labels[0]}")
    return SpliceSites(Path(source.split(",")[0]).name, ids, labels)


def _table(path: Path, wanted: dict[str, str]) -> list[tuple[Ids, int]]:
    lines = read_lines(path)
    header = lines[0][1].split("\t")
    if not {"sequence", "label"} <= set(header):
        raise InputError(
            f"{lines[0][0]}: expected a header with the columns sequence and label, tab-separated; two files of "
            "Spliceator are given as POSITIVES,NEGATIVES"
        )
    rows = []
    for place, line in lines[1:]:
        cells = line.split("\t")
        if len(cells) != len(header):
            raise InputError(f"{place}: {len(cells)} columns, the header has {len(header)}")
        row = dict(zip(header, cells, strict=True))
        if any(row.get(column, value) != value for column, value in wanted.items()):
            continue
        if row["label"] not in _LABELS:
            raise InputError(f"{place}: label {row['label'][:40]!r}; expected {' or '.join(_LABELS)}")
        rows.append((read_sequence(place, row["sequence"]), int(row["label"])))
    return rows


def _spliceator(path: Path) -> list[Ids]:
    """Read lines of `;`-separated fields, the longest of which is the sequence."""
    found = []
    for place, line in read_lines(path):
        fields = line.split(";")
        if fields[0].startswith(_SPLICEATOR_HEADER):
            continue
        if len(fields) < 2:
            raise InputError(f"{place}: expected fields with `;` between them, one a sequence; found {line[:60]!r}")
        found.append(read_sequence(place, max(fields, key=len).strip()))
    return found

import gzip
from pathlib import Path

import pytest

from sbert_model.annotation import Transcript, read_transcripts
from sbert_model.errors import InputError

PLAIN = "NM_1\tchr1\t+\t100\t500\t150\t420\t2\t100,400,\t200,500,\n"
BINNED = f"585\t{PLAIN}"
EXTENDED = f"{PLAIN.rstrip()}\t0\tABC1\tcmpl\tcmpl\t0,1,\n"
REF_FLAT = f"ABC1\t{PLAIN}"
KNOWN_GENE = f"{PLAIN.rstrip()}\tP12345\tuc001\n"
NONCODING = "585\tNR_2\tchr2\t-\t900\t999\t999\t999\t1\t900,\t999,\t0\tDEF2\tunk\tunk\t-1,\n"

ABC1 = Transcript("chr1", 100, 500, "+", "NM_1", "ABC1", "ABC1", ((100, 200), (400, 500)), ((150, 200), (400, 420)))
NM_1 = Transcript("chr1", 100, 500, "+", "NM_1", "NM_1", "NM_1", ABC1.exons, ABC1.cds)
DEF2 = Transcript("chr2", 899 + 1, 999, "-", "NR_2", "DEF2", "DEF2", ((900, 999),))


def _write(folder: Path, text: str) -> Path:
    path = folder / "genes.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PLAIN, [NM_1]),
        (BINNED, [NM_1]),
        (EXTENDED, [ABC1]),
        (f"585\t{EXTENDED}{NONCODING}", [ABC1, DEF2]),
        (REF_FLAT, [ABC1]),
        (KNOWN_GENE, [NM_1]),
        (f"#bin\tname\tchrom\n\n{BINNED}", [NM_1]),
        (BINNED.replace("\n", "\r\n"), [NM_1]),
        (BINNED * 2, [NM_1, NM_1]),  # one transcript may be aligned to several places
    ],
)
def test_the_formats_of_ucsc(tmp_path: Path, text: str, expected: list[Transcript]) -> None:
    path = _write(tmp_path, text)
    assert read_transcripts(path, with_cds=True) == expected
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(text.encode()))
    assert read_transcripts(packed, with_cds=True) == expected


def test_cds_only_when_asked_for(tmp_path: Path) -> None:
    assert [transcript.cds for transcript in read_transcripts(_write(tmp_path, PLAIN))] == [()]


def test_exons_that_touch_are_merged(tmp_path: Path) -> None:
    text = "NM_1\tchr1\t+\t100\t500\t100\t500\t3\t100,200,400,\t200,300,500,\n"
    (transcript,) = read_transcripts(_write(tmp_path, text), with_cds=True)
    assert transcript.exons == transcript.cds == ((100, 300), (400, 500))


@pytest.mark.parametrize(
    "line",
    [
        "NM_1\tchr1\t+\t100\t500\t150\t420\t2\t100,400,\t200,\n",
        "NM_1\tchr1\t+\t100\t500\t150\t420\t3\t100,400,\t200,500,\n",
        "NM_1\tchr1\t+\t100\tend\t150\t420\t2\t100,400,\t200,500,\n",
        "NM_1\tchr1\t+\t100\t500\t150\t420\t2\t100,400,\t200,501,\n",
        "NM_1\tchr1\t+\t100\t500\t150\t420\t2\t100,400,\t200,400,\n",
        "NM_1\tchr1\t+\t500\t100\t150\t420\t0\t\t\n",
        "NM_1\tchr1\t.\t100\t500\t150\t420\t2\t100,400,\t200,500,\n",
        "NM_1\tchr1\t+\t100\t500\n",
        "1\tx\tgene\t1\t90\t.\t+\t.\tID=g\n",
        "NM_1 chr1 +\n",
    ],
)
def test_broken_lines_are_named(tmp_path: Path, line: str) -> None:
    path = _write(tmp_path, f"# a comment\n{BINNED}{line}")
    with pytest.raises(InputError, match=r"genes\.txt:3: expected the columns of UCSC genePred .*found ") as raised:
        read_transcripts(path)
    assert "\n" not in str(raised.value)

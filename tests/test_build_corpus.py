import gzip
import itertools
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from sbert_model.annotation import read_transcripts
from sbert_model.errors import InputError, OutputError, SbertError
from sbert_model.tokenizer import decode
from sbert_train.build_corpus import HoldOut, _workers, build_corpus
from sbert_train.corpus import REGIONS, Corpus, Piece, open_corpus
from sbert_train.species_table import Genome
from tests.tiny_corpus import write_tiny_genome

NUMBERS = random.Random(7)
CHR1 = "".join(NUMBERS.choices("ACGT", k=1000))
CHR2 = "".join(NUMBERS.choices("ACGT", k=500))
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")

Gene = tuple[str, int, int, str]  # contig, start (0-based), end, strand


def _write_genome(folder: Path, contigs: dict[str, str], genes: list[Gene]) -> Genome:
    """One transcript a gene."""
    folder.mkdir(exist_ok=True)
    (folder / "genome.fa").write_text("".join(f">{name}\n{sequence}\n" for name, sequence in contigs.items()))
    lines = [
        f'{contig}\tx\ttranscript\t{start + 1}\t{end}\t.\t{strand}\t.\tgene_id "G{n}"; transcript_id "T{n}";\n'
        for n, (contig, start, end, strand) in enumerate(genes)
    ]
    (folder / "genes.gtf").write_text("".join(lines))
    return Genome(folder.name, folder / "genome.fa", folder / "genes.gtf")


def _build(folder: Path, *genomes: Genome, hold_out: HoldOut = HoldOut(), processes: int = 1) -> Corpus:  # noqa: B008
    build_corpus(genomes, folder, hold_out, processes=processes, overwrite=True)
    return open_corpus(folder)


def _place(piece: Piece) -> tuple[str, int, int, str]:
    return piece.contig, piece.start, piece.end, piece.strand


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _sense(sequence: str, strand: str) -> str:
    return sequence if strand == "+" else sequence.translate(COMPLEMENT)[::-1]


def test_pieces_are_sense_strand(tmp_path: Path) -> None:
    genome = _write_genome(tmp_path / "s", {"chr1": CHR1}, [("chr1", 150, 400, "-"), ("chr1", 100, 300, "+")])
    plus, minus = _build(tmp_path / "corpus", genome).training
    assert [_place(plus), _place(minus)] == [("chr1", 100, 300, "+"), ("chr1", 150, 400, "-")]
    assert decode(plus.ids) == CHR1[100:300]
    assert decode(minus.ids) == CHR1[150:400].translate(COMPLEMENT)[::-1]
    assert plus.species == "s"
    assert plus.coding is None
    assert not plus.regions.any()  # no exons are named


@pytest.mark.parametrize("strand", ["+", "-"])
def test_lower_case_is_a_repeat_and_other_letters_are_n(tmp_path: Path, strand: str) -> None:
    sequence = CHR1[:20] + CHR1[20:50].lower() + "RYn-*u" + CHR1[56:200]
    genome = _write_genome(tmp_path / "s", {"c": sequence}, [("c", 10, 200, strand)])
    (piece,) = _build(tmp_path / "corpus", genome).training
    assert decode(piece.ids) == _sense(CHR1[10:50] + "NNNNNT" + CHR1[56:200], strand)
    repeats = "".join("r" if repeat else "." for repeat in piece.repeats)
    expected = "." * 10 + "r" * 30 + "..r..r" + "." * 144
    assert repeats == (expected if strand == "+" else expected[::-1])


@pytest.mark.parametrize("strand", ["+", "-"])
def test_regions_follow_the_bases(tmp_path: Path, strand: str) -> None:
    genome = _write_genome(tmp_path / "s", {"c": CHR1}, [])
    lines = [("transcript", 101, 300), ("exon", 101, 160), ("exon", 201, 300), ("CDS", 151, 160), ("CDS", 201, 220)]
    text = 'c\tx\t{}\t{}\t{}\t.\t{}\t.\tgene_id "G"; transcript_id "T";\n'
    genome.annotation.write_text("".join(text.format(*line, strand) for line in lines))
    (piece,) = _build(tmp_path / "corpus", genome).training
    assert piece.coding is True
    before, after = ("utr5", "utr3") if strand == "+" else ("utr3", "utr5")
    expected = [before] * 50 + ["cds"] * 10 + ["intron"] * 40 + ["cds"] * 20 + [after] * 80
    assert [REGIONS[region] for region in piece.regions] == (expected if strand == "+" else expected[::-1])


def test_gaps_are_cut_out_and_short_pieces_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # 70 known, gap of 11, 63 known (too short), gap of 20, 100 known with a run of 10 N that stays, N at the end.
    sequence = CHR1[:70] + "N" * 11 + CHR1[:63] + "N" * 20 + CHR1[:50] + "N" * 10 + CHR1[50:90] + "N" * 5
    genes = [("c", 0, len(sequence), "+"), ("c", 0, len(sequence), "-")]
    genome = _write_genome(tmp_path / "s", {"c": sequence}, genes)
    with caplog.at_level(logging.INFO):
        corpus = _build(tmp_path / "corpus", genome)
    pieces = list(corpus.training)
    assert [_place(piece)[1:] for piece in pieces] == [(0, 70, "+"), (164, 264, "+"), (0, 70, "-"), (164, 264, "-")]
    for piece in pieces:
        assert decode(piece.ids) == _sense(sequence[piece.start : piece.end], piece.strand)
    entry = corpus.manifest["species"][0]
    assert entry["dropped"] == {"pieces": 2, "nt": 126}
    assert (entry["pieces"], entry["nt"], entry["acgt"], entry["n"]) == (4, 340, 320, 20)
    assert "s: 2 genes, 2 transcripts, 340 nt in 4 pieces; dropped 2 under 64 nt (126 nt in all)" in caplog.messages


def test_the_manifest_says_what_the_pieces_hold(tmp_path: Path) -> None:
    genomes = [write_tiny_genome(tmp_path / name, seed=seed) for seed, name in enumerate(("alpha", "beta"))]
    corpus = _build(tmp_path / "corpus", *genomes, hold_out=HoldOut(("chr3",)))
    for entry in corpus.manifest["species"]:
        splits = {
            "training": [piece for piece in corpus.training if piece.species == entry["name"]],
            "validation": [piece for piece in corpus.validation if piece.species == entry["name"]],
        }
        for name, pieces in splits.items():
            assert entry[name] == {"pieces": len(pieces), "nt": sum(map(len, pieces))}
        pieces = [*splits["training"], *splits["validation"]]
        letters = Counter("".join(decode(piece.ids) for piece in pieces))
        assert entry["nt"] == letters.total()
        assert entry["n"] == letters["N"]
        assert entry["acgt"] == letters.total() - letters["N"]
        assert entry["repeat"] == sum(int(piece.repeats.sum()) for piece in pieces)
        regions = Counter(REGIONS[region] for piece in pieces for region in piece.regions)
        assert entry["regions"] == {name: regions[name] for name in REGIONS}
        assert (entry["genes"], entry["transcripts"], entry["contigs"]) == (12, 12, 3)
    assert [shard["size"] for shard in corpus.manifest["shards"]] == [
        entry["nt"] for entry in corpus.manifest["species"]
    ]


def test_hold_out_takes_whole_names_in_every_species(tmp_path: Path) -> None:
    one = _write_genome(tmp_path / "one", {"chr1": CHR1, "chr11": CHR2}, [("chr1", 0, 99, "+"), ("chr11", 0, 99, "+")])
    two = _write_genome(tmp_path / "two", {"chr1": CHR2}, [("chr1", 10, 90, "-")])
    corpus = _build(tmp_path / "corpus", one, two, hold_out=HoldOut(("chr1",)))
    assert [(piece.species, piece.contig) for piece in corpus.training] == [("one", "chr11")]
    assert [(piece.species, piece.contig) for piece in corpus.validation] == [("one", "chr1"), ("two", "chr1")]
    assert len(_build(tmp_path / "corpus", one, two).validation) == 0


def test_random_hold_out_is_drawn_from_the_seed(tmp_path: Path) -> None:
    genome = write_tiny_genome(tmp_path / "s", genes=30)
    everything = {_place(piece) for piece in _build(tmp_path / "corpus", genome).training}
    drawn = []
    for seed in (0, 0, 1):
        corpus = _build(tmp_path / "corpus", genome, hold_out=HoldOut(random_pieces=7, seed=seed))
        drawn.append({_place(piece) for piece in corpus.validation})
        assert len(corpus.validation) == 7
        assert {_place(piece) for piece in corpus.training} == everything - drawn[-1]
        assert corpus.manifest["hold_out"] == {"contigs": [], "random_pieces": 7, "seed": seed}
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_order_of_the_annotation_does_not_matter(tmp_path: Path) -> None:
    genome = write_tiny_genome(tmp_path / "s")
    _build(tmp_path / "sorted", genome)
    lines = genome.annotation.read_text().splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    genome.annotation.write_text("".join(lines))
    _build(tmp_path / "shuffled", genome)
    one, two = _content(tmp_path / "sorted"), _content(tmp_path / "shuffled")
    assert one.pop("manifest.json") != two.pop("manifest.json")  # the annotation's digest
    assert one == two


def test_a_gene_table_of_ucsc_gives_the_same_corpus_as_a_gtf(tmp_path: Path) -> None:
    genome = write_tiny_genome(tmp_path / "s")
    _build(tmp_path / "gtf", genome)
    lines = []
    for number, found in enumerate(read_transcripts(genome.annotation, with_cds=True)):
        starts, ends = (",".join(map(str, places)) + "," for places in zip(*found.exons, strict=True))
        cds = (found.cds[0][0], found.cds[-1][1]) if found.cds else (found.end, found.end)
        columns = [number, found.transcript_id, found.contig, found.strand, found.start, found.end, *cds]
        columns += [len(found.exons), starts, ends, 0, found.gene_id, "cmpl", "cmpl", "0,0,0,"]
        lines.append("\t".join(map(str, columns)) + "\n")
    table = tmp_path / "refGene.txt.gz"
    table.write_bytes(gzip.compress("".join(lines).encode()))
    _build(tmp_path / "refGene", Genome("s", genome.fasta, table))
    one, two = _content(tmp_path / "gtf"), _content(tmp_path / "refGene")
    assert one.pop("manifest.json") != two.pop("manifest.json")  # the annotation's name and digest
    assert one == two


def test_the_bytes_do_not_depend_on_the_processes(tmp_path: Path) -> None:
    genomes = [write_tiny_genome(tmp_path / name, seed=seed) for seed, name in enumerate("abc")]
    for processes in (1, 3):
        _build(tmp_path / str(processes), *genomes, hold_out=HoldOut(random_pieces=5), processes=processes)
    assert _content(tmp_path / "1") == _content(tmp_path / "3")


def test_contigs_may_be_spelled_differently_and_a_few_may_be_absent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    genes = [("1", 0, 99, "+"), ("2", 0, 99, "+"), ("scaffold", 0, 99, "+")]
    genome = _write_genome(tmp_path / "s", {"chr1": CHR1, "chr2": CHR2}, genes)
    corpus = _build(tmp_path / "corpus", genome)
    assert [piece.contig for piece in corpus.training] == ["chr1", "chr2"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"{genome.annotation}: 1 of 3 contigs with genes (scaffold) are not in genome.fa and left out"]
    assert corpus.manifest["species"][0]["absent_contigs"] == 1


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ([("chr1", 0, 99, "+"), ("x", 0, 99, "+"), ("y", 0, 99, "+")], r"2 of 3 contigs with genes \(x, y\) are not"),
        ([("chr1", 0, 1001, "+")], "gene G0 of chr1 ends at 1,001, beyond the end of chr1 in .* \\(1,000\\)"),
        ([], "no gene, transcript or exon"),
        ([("chr1", 0, 63, "+")], "no pre-mRNA of 64 nt or more in any species"),
    ],
)
def test_annotations_that_do_not_fit(tmp_path: Path, genes: list[Gene], message: str) -> None:
    genome = _write_genome(tmp_path / "s", {"chr1": CHR1}, genes)
    with pytest.raises(InputError, match=message) as raised:
        build_corpus([genome], tmp_path / "corpus", HoldOut())
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize(
    ("hold_out", "message"),
    [
        (HoldOut(("chr9",)), "'chr9' matches no contig that has genes"),
        (HoldOut(("chr(",)), "'chr\\(' is no regular expression"),
        (HoldOut((".*",)), "leaves nothing to train on"),
        (HoldOut(random_pieces=12), "--hold-out-random 12: the corpus has 12 pieces"),
    ],
)
def test_hold_outs_that_cannot_be(tmp_path: Path, hold_out: HoldOut, message: str) -> None:
    genome = write_tiny_genome(tmp_path / "s")
    with pytest.raises(InputError, match=message):
        build_corpus([genome], tmp_path / "corpus", hold_out)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_errors_cross_from_other_processes(tmp_path: Path) -> None:
    genome = _write_genome(tmp_path / "s", {"chr1": CHR1}, [("chr1", 0, 1001, "+")])
    with pytest.raises(InputError, match=r"^.*genes\.gtf: gene G0 of chr1 ends at 1,001"):
        build_corpus([genome], tmp_path / "corpus", HoldOut(), processes=2)


def test_what_is_there_is_replaced_only_when_told_and_only_a_corpus(tmp_path: Path) -> None:
    genome = write_tiny_genome(tmp_path / "s")
    out = tmp_path / "corpus"
    build_corpus([genome], out, HoldOut())
    before = _content(out)
    with pytest.raises(OutputError, match="add --overwrite"):
        build_corpus([genome], out, HoldOut())
    with pytest.raises(InputError, match="matches no contig"):
        build_corpus([genome], out, HoldOut(("chr9",)), overwrite=True)
    assert _content(out) == before
    build_corpus([genome], out, HoldOut(("chr1",)), overwrite=True)
    assert _content(out) != before
    with pytest.raises(OutputError, match="is no corpus folder, so it is not replaced"):
        build_corpus([genome], tmp_path / "s", HoldOut(), overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "s"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    genome = write_tiny_genome(tmp_path / "s")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write there"):
        build_corpus([genome], tmp_path / "file" / "corpus", HoldOut())


def test_a_killed_build_leaves_nothing_under_its_name(tmp_path: Path) -> None:
    genome = write_tiny_genome(tmp_path / "s")
    script = """
        import os, signal, sys
        from pathlib import Path
        from sbert_train import build_corpus as module
        from sbert_train.species_table import Genome

        def write_and_die(*arguments):
            write(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        write, module.write_shard = module.write_shard, write_and_die
        folder = Path(sys.argv[1])
        genome = Genome("s", folder / "s" / "genome.fa", folder / "s" / "genes.gtf")
        module.build_corpus([genome], folder / "corpus", module.HoldOut())
    """
    done = _run_script(script, tmp_path, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "corpus").exists()
    build_corpus([genome], tmp_path / "corpus", HoldOut())
    assert len(open_corpus(tmp_path / "corpus").training) == 12


def test_a_killed_worker_is_said_in_one_line() -> None:
    with pytest.raises(SbertError, match="a process of the build was killed"), _workers(2) as run:
        list(run(os._exit, [1]))


def test_workers_end_with_their_parent() -> None:
    script = """
        import os
        from sbert_train.build_corpus import _workers

        with _workers(2) as run:
            print("worked", *run(abs, [-7]), flush=True)
            os.kill(os.getpid(), 9)
    """
    # The workers hold the pipe open, so this comes back only once they are gone.
    done = _run_script(script, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "worked 7\n")


def _run_script(script: str, *arguments: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{root / 'model'}{os.pathsep}{root / 'train'}"}
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=timeout, check=False)


# The same corpus by other means.


def _independent_pieces(genome: Genome, contigs: dict[str, str]) -> Counter[str]:
    """The sequences of all pieces, from the text of the files alone: each base marked, then cut at what is unmarked."""
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for line in genome.annotation.read_text().splitlines():
        columns = line.split("\t")
        if columns[2] == "transcript":
            spans.setdefault((columns[0], columns[6]), []).append((int(columns[3]) - 1, int(columns[4])))
    pieces: Counter[str] = Counter()
    for (contig, strand), found in spans.items():
        # A bond between a base and the next one: transcripts that only touch share none.
        bonds = {place for start, end in found for place in range(start, end - 1)}
        bases = sorted({place for start, end in found for place in range(start, end)})
        breaks = [number for number, place in enumerate(bases) if place - 1 not in bonds]
        for first, last in itertools.pairwise([*breaks, len(bases)]):
            sequence = contigs[contig][bases[first] : bases[last - 1] + 1].upper()
            stretches = (part.strip("N") for part in re.split("N{11,}", sequence))
            pieces.update(_sense(part, strand) for part in stretches if len(part) >= 64)
    return pieces


def test_pieces_equal_those_of_an_independent_count(tmp_path: Path) -> None:
    numbers = random.Random(3)
    contigs = {}
    for name in ("chr1", "chr2", "chr3"):
        parts = []
        for _ in range(30):
            parts.append("".join(numbers.choices("ACGTacgtN", (9, 9, 9, 9, 3, 3, 3, 3, 1), k=numbers.randrange(200))))
            parts.append("N" * numbers.choice((0, 9, 10, 11, 12, 40)))
        contigs[name] = "".join(parts)
    genes = []
    for _ in range(60):
        contig = numbers.choice(list(contigs))
        start = numbers.randrange(len(contigs[contig]) - 20)
        end = min(len(contigs[contig]), start + numbers.randrange(10, 400))
        genes.append((contig, start, end, numbers.choice("+-")))
        if end + 90 < len(contigs[contig]):
            genes.append((contig, end, end + 90, genes[-1][3]))  # touches the one before
    genome = _write_genome(tmp_path / "s", contigs, genes)
    expected = _independent_pieces(genome, contigs)
    corpus = _build(tmp_path / "corpus", genome)
    assert Counter(decode(piece.ids) for piece in corpus.training) == expected
    entry = corpus.manifest["species"][0]
    assert entry["pieces"] == expected.total() > 30
    assert entry["nt"] == sum(len(sequence) * count for sequence, count in expected.items())


@pytest.mark.real_data
@pytest.mark.skipif(shutil.which("bedtools") is None, reason="bedtools is not installed")
def test_real_mouse_pieces_equal_bedtools(data: Path, tmp_path: Path) -> None:
    folder = data / "genomes" / "mouse"
    genome = Genome("mouse", folder / "genome.fa.gz", folder / "genes.gtf.gz")
    corpus = _build(tmp_path / "corpus", genome)
    fasta, bed = tmp_path / "genome.fa", tmp_path / "transcripts.bed"
    command = f"""
        set -e -o pipefail
        gunzip -c {genome.fasta} > {fasta}
        gunzip -c {genome.annotation} | awk -F '\\t' '$3 == "transcript" {{
            OFS = "\\t"; print $1, $4 - 1, $5, ".", 0, $7 }}' | sort -k1,1 -k2,2n > {bed}
        bedtools merge -s -d -1 -c 4,5,6 -o distinct -i {bed} | bedtools getfasta -s -tab -fi {fasta} -bed -
    """
    lines = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout.splitlines()
    merged = [line.split("\t")[1].upper() for line in lines]
    expected: Counter[str] = Counter()
    for sequence in merged:
        stretches = (part.strip("N") for part in re.split("N{11,}", sequence))
        expected.update(part for part in stretches if len(part) >= 64)
    assert Counter(decode(piece.ids) for piece in corpus.training) == expected
    entry = corpus.manifest["species"][0]
    assert entry["pieces"] == expected.total() == 97
    assert entry["nt"] == sum(len(sequence) * count for sequence, count in expected.items()) == 2_138_843


@pytest.mark.real_data
def test_the_real_corpus(data: Path, tmp_path: Path) -> None:
    genomes = [
        Genome(folder.name, folder / "genome.fa.gz", folder / "genes.gtf.gz")
        for folder in sorted((data / "genomes").iterdir())
        if folder.is_dir()
    ]
    assert len(genomes) == 27
    hold_out = HoldOut((r"hg16\.chr5\.131332631", ".*ENm002.*"))
    corpus = _build(tmp_path / "corpus", *genomes, hold_out=hold_out)
    assert (corpus.training.lengths.sum(), len(corpus.training)) == (26_119_876, 1_316)
    assert (corpus.validation.lengths.sum(), len(corpus.validation)) == (4_389_600, 392)

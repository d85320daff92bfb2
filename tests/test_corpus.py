from pathlib import Path

import numpy as np
import pysam
import pytest

from sbert_model.annotation import Transcript
from sbert_model.errors import InputError
from sbert_model.tokenizer import decode
from sbert_train.corpus import Genome, Piece, gene_spans, genome_pieces, load_corpus, split_at_gaps

RNG = np.random.default_rng(7)
CHR1 = "".join(RNG.choice(list("ACGT"), 1000))
CHR2 = "".join(RNG.choice(list("ACGT"), 500))
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def _write_genome(folder: Path, contigs: dict[str, str], genes: list[tuple[str, int, int, str]]) -> Genome:
    """genes: contig, start (0-based), end, strand; one transcript each."""
    folder.mkdir(exist_ok=True)
    fasta = folder / "genome.fa"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in contigs.items()))
    pysam.faidx(str(fasta))
    gtf = folder / "genes.gtf"
    gtf.write_text(
        "".join(
            f'{contig}\tx\ttranscript\t{start + 1}\t{end}\t.\t{strand}\t.\tgene_id "G{n}"; transcript_id "T{n}";\n'
            for n, (contig, start, end, strand) in enumerate(genes)
        )
    )
    return Genome(folder.name, fasta, gtf)


def _places(pieces: list[Piece]) -> list[tuple[str, int, int, str]]:
    return [(piece.contig, piece.start, piece.end, piece.strand) for piece in pieces]


def test_pieces_are_sense_strand(tmp_path: Path) -> None:
    genome = _write_genome(tmp_path / "s", {"chr1": CHR1}, [("chr1", 100, 300, "+"), ("chr1", 150, 400, "-")])
    plus, minus = genome_pieces(genome)
    assert _places([plus, minus]) == [("chr1", 100, 300, "+"), ("chr1", 150, 400, "-")]
    assert decode(plus.ids) == CHR1[100:300]
    assert decode(minus.ids) == CHR1[150:400].translate(COMPLEMENT)[::-1]
    assert plus.ids.dtype == np.uint8
    assert plus.species == "s"


def test_overlapping_transcripts_of_one_strand_are_merged(tmp_path: Path) -> None:
    genes = [("chr1", 500, 700, "+"), ("chr1", 100, 300, "+"), ("chr1", 250, 400, "+"), ("chr1", 120, 200, "+")]
    pieces = list(genome_pieces(_write_genome(tmp_path / "s", {"chr1": CHR1}, genes)))
    assert _places(pieces) == [("chr1", 100, 400, "+"), ("chr1", 500, 700, "+")]


def test_neighbours_that_only_touch_stay_apart() -> None:
    def transcript(start: int, end: int) -> Transcript:
        return Transcript("c", start, end, "+", "t", "g", "g", ())

    assert gene_spans([transcript(0, 10), transcript(10, 20)]) == {("c", "+"): [(0, 10), (10, 20)]}


def test_gaps_are_cut_out_and_short_pieces_dropped(tmp_path: Path) -> None:
    # 70 known, gap of 11, 63 known (too short), gap of 20, 100 known with a run of 10 N that stays, N at the end.
    sequence = CHR1[:70] + "N" * 11 + CHR1[:63] + "N" * 20 + CHR1[:50] + "N" * 10 + CHR1[50:90] + "N" * 5
    genes = [("c", 0, len(sequence), "+"), ("c", 0, len(sequence), "-")]
    plus = list(genome_pieces(_write_genome(tmp_path / "s", {"c": sequence}, genes)))
    assert _places(plus) == [("c", 0, 70, "+"), ("c", 164, 264, "+"), ("c", 0, 70, "-"), ("c", 164, 264, "-")]
    assert decode(plus[1].ids) == CHR1[:50] + "N" * 10 + CHR1[50:90]
    assert decode(plus[3].ids) == (CHR1[:50] + "N" * 10 + CHR1[50:90]).translate(COMPLEMENT)[::-1]


def test_nothing_but_n_has_no_pieces() -> None:
    assert split_at_gaps(np.full(100, 5, dtype=np.uint8)) == []


def test_hold_out_takes_whole_names_in_every_species(tmp_path: Path) -> None:
    one = _write_genome(tmp_path / "one", {"chr1": CHR1, "chr11": CHR2}, [("chr1", 0, 99, "+"), ("chr11", 0, 99, "+")])
    two = _write_genome(tmp_path / "two", {"chr1": CHR2}, [("chr1", 10, 90, "-")])
    corpus = load_corpus([one, two], ["chr1"])
    assert [(piece.species, piece.contig) for piece in corpus.training] == [("one", "chr11")]
    assert [(piece.species, piece.contig) for piece in corpus.validation] == [("one", "chr1"), ("two", "chr1")]
    assert load_corpus([one, two]).validation == []


def test_contigs_may_be_spelled_differently_and_a_few_may_be_absent(tmp_path: Path) -> None:
    genes = [("1", 0, 99, "+"), ("2", 0, 99, "+"), ("scaffold", 0, 99, "+")]
    pieces = list(genome_pieces(_write_genome(tmp_path / "s", {"chr1": CHR1, "chr2": CHR2}, genes)))
    assert [piece.contig for piece in pieces] == ["chr1", "chr2"]


def test_another_assembly_is_refused(tmp_path: Path) -> None:
    genes = [("chr1", 0, 99, "+"), ("scaffold_a", 0, 99, "+"), ("scaffold_b", 0, 99, "+")]
    with pytest.raises(InputError, match=r"2 of 3 contigs with genes are not in .*scaffold_a, scaffold_b"):
        list(genome_pieces(_write_genome(tmp_path / "s", {"chr1": CHR1}, genes)))
    with pytest.raises(InputError, match="a gene of chr1 ends at 1,001, beyond the end"):
        list(genome_pieces(_write_genome(tmp_path / "t", {"chr1": CHR1}, [("chr1", 0, 1001, "+")])))


def test_mistakes_in_the_hold_out_and_the_fasta(tmp_path: Path) -> None:
    genome = _write_genome(tmp_path / "s", {"chr1": CHR1}, [("chr1", 0, 99, "+")])
    with pytest.raises(InputError, match="'chr9' matches no contig"):
        load_corpus([genome], ["chr9"])
    with pytest.raises(InputError, match="no regular expression"):
        load_corpus([genome], ["chr("])
    with pytest.raises(InputError, match=r"absent\.fa: cannot open"):
        load_corpus([Genome("s", tmp_path / "absent.fa", genome.annotation)])


@pytest.mark.real_data
def test_real_human_pieces(data: Path) -> None:
    folder = data / "genomes" / "human"
    genome = Genome("human", folder / "genome.fa.gz", folder / "genes.gtf.gz")
    corpus = load_corpus([genome], [r"hg16\.chr5\.131332631"])
    assert sum(piece.ids.size for piece in corpus.training) == 7_706_333
    assert sum(piece.ids.size for piece in corpus.validation) == 431_395

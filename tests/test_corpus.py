import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from sbert_model.errors import InputError
from sbert_model.tokenizer import decode
from sbert_train.corpus import CONTIGS, INDEX, MANIFEST, REGIONS, VERSION, open_corpus
from tests.tiny_corpus import write_tiny_corpus


@pytest.fixture(scope="module")
def corpus_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = write_tiny_corpus(tmp_path_factory.mktemp("tiny"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path, corpus_files: dict[str, bytes]) -> Path:
    """A corpus that a test may break."""
    for name, content in corpus_files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_splits_species_and_lengths(folder: Path) -> None:
    corpus = open_corpus(folder)
    assert corpus.species == ("alpha", "beta")
    assert corpus.weights == (1.0, 1.0)
    assert (len(corpus.training), len(corpus.validation)) == (16, 8)
    assert {piece.contig for piece in corpus.training} == {"chr1", "chr2"}
    assert {piece.contig for piece in corpus.validation} == {"chr3"}
    for pieces in (corpus.training, corpus.validation):
        assert pieces.lengths.tolist() == [len(piece) for piece in pieces] == [piece.ids.size for piece in pieces]
        assert [corpus.species[number] for number in pieces.species_numbers] == [piece.species for piece in pieces]


def test_a_byte_holds_token_region_and_repeat(folder: Path) -> None:
    piece = open_corpus(folder).training[0]
    assert piece.codes.dtype == piece.ids.dtype == piece.regions.dtype == np.uint8
    np.testing.assert_array_equal(piece.codes, piece.ids + 16 * piece.regions + 128 * piece.repeats)
    assert piece.repeats.dtype == np.bool_
    assert set(decode(piece.ids)) == set("ACGTN")
    assert piece.repeats.sum() == 30
    assert piece.regions.max() < len(REGIONS)


def test_codes_are_read_only_and_ids_are_not(folder: Path) -> None:
    piece = open_corpus(folder).training[0]
    piece.ids[0] = 4
    with pytest.raises(ValueError, match="read-only"):
        piece.codes[0] = 4


def test_pieces_are_a_sequence(folder: Path) -> None:
    pieces = open_corpus(folder).training
    assert pieces[-1].start == pieces[len(pieces) - 1].start
    assert [piece.start for piece in pieces[2:5]] == [pieces[number].start for number in (2, 3, 4)]
    assert len(pieces[:0]) == 0
    with pytest.raises(IndexError):
        pieces[len(pieces)]


def test_a_copy_for_another_process_takes_no_tokens_along(folder: Path) -> None:
    pieces = open_corpus(folder).training
    before = len(pickle.dumps(pieces))
    expected = pieces[3].codes.copy()
    copied = pickle.dumps(pieces)
    assert len(copied) == before
    np.testing.assert_array_equal(pickle.loads(copied)[3].codes, expected)  # noqa: S301


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json: cannot read it .*made by sbert-vcf train corpus"):
        open_corpus(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "broken"),
        ("[]", "corpus of version None"),
        (json.dumps({"version": VERSION}), "broken .*shards"),
        (
            json.dumps({"version": VERSION + 1}),
            f"corpus of version {VERSION + 1}, this program reads version {VERSION}",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used(folder: Path, text: str, message: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        open_corpus(folder)
    assert "build the corpus again" in str(raised.value)


def test_a_shard_that_is_cut_short_or_missing(folder: Path) -> None:
    shard = folder / "tokens-00001.bin"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(InputError, match=rf"tokens-00001\.bin: {len(content) - 1:,} bytes, the manifest says"):
        open_corpus(folder)
    shard.unlink()
    with pytest.raises(InputError, match=r"tokens-00001\.bin: cannot read it"):
        open_corpus(folder)


@pytest.mark.parametrize("name", [INDEX, CONTIGS])
def test_an_index_of_another_corpus(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="not the file that the manifest describes"):
        open_corpus(folder)
    path.unlink()
    with pytest.raises(InputError, match="cannot read it"):
        open_corpus(folder)

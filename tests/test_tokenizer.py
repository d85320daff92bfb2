"""The tokenizer gives SpliceBERT's own ids for every byte a sequence can hold."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_model import tokenizer
from sbert_model.tokenizer import CLS, MASK, PAD, SEP, UNK, VOCAB, A, C, G, N, T


def test_ids_are_positions_in_the_vocabulary() -> None:
    ids = [PAD, UNK, CLS, SEP, MASK, N, A, C, G, T]
    assert ids == list(range(10))
    assert [VOCAB[i] for i in ids] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "N", "A", "C", "G", "T"]
    assert tokenizer.NUCLEOTIDES == (6, 7, 8, 9)


def test_encode_knows_nucleotides_of_either_case_and_u() -> None:
    ids = tokenizer.encode("NACGTUnacgtu")
    assert ids.dtype == np.uint8
    assert ids.tolist() == [5, 6, 7, 8, 9, 9, 5, 6, 7, 8, 9, 9]
    assert tokenizer.encode(b"ACGU").tolist() == tokenizer.encode("ACGU").tolist() == [6, 7, 8, 9]


@pytest.mark.parametrize("letter", "RYSWKMBDHVryswkmbdhv")
def test_ambiguity_letters_read_as_n(letter: str) -> None:
    assert tokenizer.encode(letter).tolist() == [N]


def test_every_other_byte_is_unknown() -> None:
    known = set(b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv")
    others = bytes(byte for byte in range(256) if byte not in known)
    assert len(others) == 256 - 32
    assert set(tokenizer.encode(others).tolist()) == {UNK}


def test_characters_outside_ascii_keep_their_place() -> None:
    assert tokenizer.encode("Aé中T").tolist() == [A, UNK, UNK, T]


def test_encode_result_can_be_changed() -> None:
    ids = tokenizer.encode(b"ACGT")
    ids[1] = MASK
    assert tokenizer.decode(ids) == "A[MASK]GT"


def test_empty_sequence() -> None:
    assert tokenizer.encode("").shape == (0,)
    assert tokenizer.decode(tokenizer.encode("")) == ""
    assert tokenizer.reverse_complement(tokenizer.encode("")).shape == (0,)


def test_reverse_complement() -> None:
    assert tokenizer.decode(tokenizer.reverse_complement(tokenizer.encode("AACGTN"))) == "NACGTT"
    specials = np.array([[CLS, A, MASK, C, SEP], [PAD, UNK, N, G, T]], dtype=np.uint8)
    assert tokenizer.reverse_complement(specials).tolist() == [[SEP, G, MASK, T, CLS], [A, C, N, UNK, PAD]]


@given(st.text("ACGTN", max_size=60))
def test_decode_inverts_encode_and_two_reversals_are_none(sequence: str) -> None:
    ids = tokenizer.encode(sequence)
    assert tokenizer.decode(ids) == sequence
    once = tokenizer.reverse_complement(ids)
    assert tokenizer.decode(once) == sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))
    np.testing.assert_array_equal(tokenizer.reverse_complement(once), ids)


def test_with_specials_frames_every_row() -> None:
    rows = np.stack([tokenizer.encode("ACG"), tokenizer.encode("TTN")])
    tokens = tokenizer.with_specials(rows)
    assert tokens.dtype == np.int64
    assert tokens.tolist() == [[CLS, A, C, G, SEP], [CLS, T, T, N, SEP]]


@pytest.mark.real_data
def test_published_vocabularies_are_this_one(data: Path) -> None:
    files = sorted((data / "splicebert_config").glob("*/vocab.txt"))
    assert len(files) == 3
    assert all(tuple(file.read_text().split()) == VOCAB for file in files)

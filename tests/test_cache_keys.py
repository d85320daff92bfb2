"""Keys of cached scores: the same for the same question, another for whatever changes the answer."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sbert_model.tokenizer import encode
from sbert_vcf.acceptors import Acceptor
from sbert_vcf.branchpoints import build_pair
from sbert_vcf.cache_keys import Scorer
from sbert_vcf.pair_scores import DeltaLogit, KLContext, SpliceSiteDivergence
from sbert_vcf.reference import Reference
from sbert_vcf.variant import Allele
from sbert_vcf.windows import AlignedBases, WindowPair, align_bases, build_windows
from tests.models import tiny_config

SIZE = 402
SCORER = Scorer("tiny", "ab" * 32, tiny_config(), "float32")
SEED = SCORER.seed()
# A run, for alleles whose windows are the same though their edges are not.
BASES = "".join(np.random.default_rng(3).choice(list("ACGT"), 1500))
BASES = BASES[:700] + "A" * 20 + BASES[720:]


@pytest.fixture
def reference(tmp_path: Path) -> Reference:
    (tmp_path / "a.fa").write_text(f">one\n{BASES}\n>two\n{'ACGT' * 40}{BASES}\n")
    return Reference(tmp_path / "a.fa")


def pair(reference: Reference, allele: Allele, strand: str = "+") -> WindowPair:
    return build_windows(allele, strand, reference, SIZE)


def test_a_key_does_not_know_the_place(reference: Reference) -> None:
    for strand in "+-":
        here = pair(reference, Allele("one", 500, 501, "G"), strand)
        there = pair(reference, Allele("two", 660, 661, "G"), strand)
        assert KLContext(here, strand).key(SEED) == KLContext(there, strand).key(SEED)


def test_whatever_changes_the_score_changes_the_key(reference: Reference) -> None:
    allele = Allele("one", 500, 501, "G")
    one = pair(reference, allele)
    moved = one._replace(
        reference_flanks=one.alternate_flanks,
        alternate_flanks=pair(reference, Allele("one", 500, 501, "GG")).alternate_flanks,
    )
    sites = [align_bases(allele, "+", SIZE, bases) for bases in (range(510, 512), range(511, 513), range(510, 511))]
    keys = [
        KLContext(one, "+").key(SEED),
        KLContext(one, "-").key(SEED),
        KLContext(pair(reference, allele, "-"), "-").key(SEED),
        KLContext(pair(reference, Allele("one", 500, 501, "C")), "+").key(SEED),
        KLContext(pair(reference, Allele("one", 501, 502, "G")), "+").key(SEED),
        KLContext(moved, "+").key(SEED),
        DeltaLogit(one, "+").key(SEED),
        *(SpliceSiteDivergence(one, "+", bases).key(SEED) for bases in sites),
        SpliceSiteDivergence(one, "+", AlignedBases(sites[0].reference, sites[1].alternate)).key(SEED),
    ]
    assert len(set(keys)) == len(keys)


def test_the_same_windows_with_other_edges_have_another_key(reference: Reference) -> None:
    """A deletion in a run, written at two places, shows the model two windows that differ in nothing but the edges."""
    left, right = (
        WindowPair(
            encode(BASES[500:902]), encode(BASES[500:902]), flanks.reference_flanks, flanks.alternate_flanks, 201
        )
        for flanks in (pair(reference, Allele("one", 705, 706, "")), pair(reference, Allele("one", 705, 707, "")))
    )
    assert KLContext(left, "+").key(SEED) != KLContext(right, "+").key(SEED)


def test_every_part_of_the_scorer_but_its_name_counts() -> None:
    others = [
        SCORER._replace(sha256="cd" * 32),
        SCORER._replace(precision="float16"),
        SCORER._replace(config=tiny_config(heads=2)),
    ]
    assert len({SEED, *(other.seed() for other in others)}) == 4
    assert SCORER._replace(name="another").seed() == SEED


def test_a_branchpoint_key_knows_alignment_and_no_place(reference: Reference) -> None:
    here = build_pair(Acceptor("one", 600, "+"), Allele("one", 570, 571, "G"), reference)
    there = build_pair(Acceptor("two", 760, "+"), Allele("two", 730, 731, "G"), reference)
    assert here.key(SEED) == there.key(SEED)
    other = build_pair(Acceptor("one", 600, "+"), Allele("one", 570, 571, "C"), reference)
    shifted = dataclasses.replace(here, in_alternate=[*here.in_alternate[1:], here.in_alternate[0]])
    assert len({one.key(SEED) for one in (here, other, shifted)}) == 3

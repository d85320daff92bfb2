"""The mirror property: a change scores as its reverse complement does on the other strand of a mirrored genome.

It holds for what DESIGN lays the same way from both sides, which three choices of it are not: the window begins 512 nt
before the allele in genomic direction, so that of its 1,024 nt the allele is the 513th on one strand and the 512th on
the other; one base more is seen on the left; and what can be shifted is shifted to the left. So the model here is blind
to positions, the contig lies in the window whole, and no allele can be shifted.
"""

import math
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.property_runs import PER_ALT, Bench, examples, per_alt, write_models
from tests.strategies import SEEDS, WINDOW, Change, Gene, random_bases, reverse_complement, write

HALF = WINDOW // 2
FLANK = 100
CLOSE = {"SBERT_KL": 0.05, "SBERT_SS": 1e-5, "SBERT_BP": 1e-5, "SBERT_DELTA": 1e-5}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@st.composite
def changed_contigs(draw: st.DrawFn) -> tuple[str, Change]:
    """A contig that lies in the window whole, and a change that cannot be written at another place."""
    one_base = st.just((1, 1))
    deleted, inserted = draw(st.one_of(one_base, st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(any)))
    start = draw(st.integers(FLANK, HALF - max(deleted, inserted)))
    end = start + deleted
    length = draw(st.integers(end + FLANK, min(start + HALF, end + HALF - inserted)))
    bases = random_bases(draw(SEEDS), length)
    alt = draw(st.text("ACGT", min_size=inserted, max_size=inserted))
    ref = bases[start:end]
    if ref and alt:
        assume(ref[0] != alt[0] and ref[-1] != alt[-1])
    else:
        moved = ref or alt
        assume(bases[start - 1] != moved[-1] and bases[end] != moved[0])
    return bases, Change(start, end, alt)


@examples(60)
@given(changed_contigs(), st.sampled_from("+-"), st.lists(st.integers(1, 30), min_size=4, max_size=4))
def test_mirrored_genome(models: Path, drawn: tuple[str, Change], strand: str, cuts: list[int]) -> None:
    bases, change = drawn
    length = len(bases)
    # An intron that holds the change, an acceptor 1 to 60 nt behind it, so that a region before it is often reached.
    first = (FLANK - 20 - cuts[0] - cuts[1], FLANK - 20 - cuts[1])
    second = (change.end + cuts[2] + cuts[3], change.end + cuts[2] + cuts[3] + 20)
    exons = (first, second)
    mirrored = tuple((length - end, length - start) for start, end in reversed(exons))
    back = Change(length - change.end, length - change.start, reverse_complement(change.bases))
    other = "-" if strand == "+" else "+"
    with Bench(models.with_name("blind"), {"chr1": bases}, [Gene("chr1", strand, exons)]) as bench:
        (line,) = bench.lines([write("chr1", bases, [change]).line()])
    opposite = reverse_complement(bases)
    with Bench(models.with_name("blind"), {"chr1": opposite}, [Gene("chr1", other, mirrored)]) as bench:
        (image,) = bench.lines([write("chr1", opposite, [back]).line()])
    (values,), (reflected,) = per_alt(line), per_alt(image)
    assert values[-1] == reflected[-1] == "OK"
    for field, value, reflection in zip(PER_ALT[:-1], values, reflected, strict=False):
        assert (value == ".") == (reflection == "."), field
        if value != ".":
            assert math.isclose(float(value), float(reflection), rel_tol=1e-3, abs_tol=CLOSE[field]), field

"""Properties of notations: a change scores alike however it is written, alone or with others, or by bcftools."""

from collections.abc import Iterator
from pathlib import Path

import pysam.bcftools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.odd_runs import content
from tests.property_runs import Bench, examples, per_alt, write_models
from tests.strategies import Change, Written, apply, changes, genes_of, places, sequences, write
from tests.world import records_of

FLOOR = "-1381.55"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


def shifts(bases: str, change: Change) -> Iterator[Change]:
    """Every place from which a change leads to the same sequence, found by trying a base at a time."""
    wanted = apply(bases, change).upper()
    size = change.end - change.start
    for start in range(len(bases) - size + 1):
        length = len(change.bases)
        moved = Change(start, start + size, wanted[start : start + length])
        if apply(bases, moved).upper() == wanted:
            yield moved


def real_changes(bases: str, place: int) -> st.SearchStrategy[Change]:
    """Changes but those that change nothing: these lie nowhere, and where they are written decides flanks and genes."""
    return changes(bases, place).filter(lambda change: apply(bases, change).upper() != bases.upper())


def trimmed(bases: str, change: Change) -> Change:
    """Without the letters that both alleles share at their ends."""
    start, end, alt = change.start, change.end, change.bases.upper()
    while start < end and alt and bases[end - 1].upper() == alt[-1]:
        end, alt = end - 1, alt[:-1]
    while start < end and alt and bases[start].upper() == alt[0]:
        start, alt = start + 1, alt[1:]
    return Change(start, end, alt)


def plain(record: Written) -> bool:
    return not set("".join((record.ref, *record.alts)).upper()) - set("ACGT")


@examples(60)
@given(st.data())
def test_notations_of_a_change_score_alike(model: Path, data: st.DataObject) -> None:
    """Shifted within a repeat, with more bases to the left and right, in either case: equal to the last digit."""
    bases = data.draw(sequences())
    change = trimmed(bases, data.draw(real_changes(bases, data.draw(places(bases)))))
    moved = list(shifts(bases, change))
    assert change in moved
    chosen = [moved[0], moved[-1], *data.draw(st.lists(st.sampled_from(moved), max_size=2))]
    padding = st.integers(0, 8)
    records = [write("chr1", bases, [one], data.draw(padding), data.draw(padding)) for one in (change, *chosen)]
    records += [
        records[0]._replace(ref=records[0].ref.lower()),
        records[0]._replace(alts=(records[0].alts[0].lower(),)),
    ]
    genes = data.draw(st.one_of(st.just([]), genes_of({"chr1": bases})))
    with Bench(model, {"chr1": bases}, genes) as bench:
        lines = bench.lines([record.line() for record in records])
    values = {per_alt(line)[0] for line, record in zip(lines, records, strict=True) if plain(record)}
    assert len(values) <= 1
    # REF may hold letters beside the change that are not known: NON_ACGT, whatever else is wrong.
    others = {per_alt(line)[0][-1] for line, record in zip(lines, records, strict=True) if not plain(record)}
    assert others <= {"NON_ACGT"}


@examples(40)
@given(st.data())
def test_alts_score_alike_alone_and_in_one_record(model: Path, data: st.DataObject) -> None:
    bases = data.draw(sequences(gaps=False))
    place = data.draw(places(bases))
    drawn = data.draw(st.lists(real_changes(bases, place), min_size=2, max_size=4))
    genes = data.draw(st.one_of(st.just([]), genes_of({"chr1": bases})))
    together = write("chr1", bases, drawn)
    alone = [write("chr1", bases, [change]) for change in drawn]
    with Bench(model, {"chr1": bases}, genes) as bench:
        joined, *split = bench.lines([record.line() for record in (together, *alone)])
    assert per_alt(joined) == [per_alt(line)[0] for line in split]


def normalized(bench: Bench, vcf: Path, *options: str) -> Path:
    out = vcf.with_name(f"norm-{vcf.name}")
    pysam.bcftools.norm("-f", str(bench.fasta), *options, "-o", str(out), str(vcf), catch_stdout=False)
    return out


def alleles(vcf: Path) -> list[tuple[str, ...]]:
    """Position, alleles and our values of records of one ALT, in one order."""
    columns = ((line.split("\t"), per_alt(line)) for line in records_of(content(vcf)))
    return sorted((pos, ref.upper(), alt.upper(), *values[0]) for (_, pos, _, ref, alt, *_), values in columns)


@examples(40)
@given(st.data())
def test_bcftools_norm_before_or_after(model: Path, data: st.DataObject) -> None:
    """Split and left-aligned, or joined again, by bcftools: the same alleles have the same values."""
    bases = data.draw(sequences(gaps=False))
    records: list[Written] = []
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(places(bases))
        drawn = data.draw(st.lists(real_changes(bases, place), min_size=1, max_size=3))
        # No symbolic ALT: bcftools shifts it on every pass. No *: it keeps the REF of the ALTs it was joined with.
        records.append(write("chr1", bases, drawn))
    records.sort(key=lambda record: record.start)
    genes = data.draw(st.one_of(st.just([]), genes_of({"chr1": bases})))
    with Bench(model, {"chr1": bases}, genes) as bench:
        source = bench.vcf([record.line() for record in records])
        split = normalized(bench, source, "-m-any")
        joined = normalized(bench, split, "-m+any")
        after = [
            alleles(normalized(bench, bench.annotate(vcf, f"out-{number}.vcf"), "-m-any"))
            for number, vcf in enumerate((source, split, joined))
        ]
    assert after[0] == after[1]
    assert set(after[0]) == set(after[2])  # what was there twice is joined once


@examples(30)
@given(st.data())
def test_no_change_is_the_floor(model: Path, data: st.DataObject) -> None:
    """An ALT that is REF, whole or but for its case, beside one that is not."""
    bases = data.draw(sequences(gaps=False))
    start = data.draw(places(bases))
    ref = bases[start : start + data.draw(st.integers(1, 6))]
    other = "C" if ref[0] in "Aa" else "A"
    record = Written("chr1", start, ref, (ref, other, ref.lower(), ref.upper()))
    with Bench(model, {"chr1": bases}) as bench:
        (line,) = bench.lines([record.line()], strand=data.draw(st.sampled_from(["+", "-", "both"])))
    same, changed, *others = per_alt(line)
    assert same == others[0] == others[1]
    assert same[-1] in ("OK", "CONTIG_END")
    if same[-1] == "OK":
        assert same[0] == FLOOR
        assert changed[-1] != "OK" or float(changed[0]) > float(FLOOR)


@examples(30)
@given(st.data())
def test_letters_of_the_reference(model: Path, data: st.DataObject) -> None:
    """Lower case reads as upper case, U as T, every other letter as N."""
    bases = data.draw(sequences())
    drawn = [data.draw(changes(bases, data.draw(places(bases)))) for _ in range(3)]
    tidy = "".join(letter if letter in "ACGT" else "N" for letter in bases.upper().replace("U", "T"))
    found = []
    for own in (bases, tidy, tidy.lower().replace("t", "u")):
        with Bench(model, {"chr1": own}) as bench:
            lines = bench.lines([write("chr1", tidy, [change]).line() for change in drawn])
            found.append([per_alt(line) for line in lines])
    assert found[0] == found[1] == found[2]

"""Properties of whole files: each record once, in order, unchanged, with a value or a reason per ALT, whatever it is.

The status of every allele is worked out here a second time, from DESIGN's words and a letter at a time.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.odd_runs import check_text, content
from tests.property_runs import PER_ALT, Bench, examples, per_alt, write_models
from tests.strategies import INFO, ROOM, Genome, Written, genes_of, vcfs
from tests.world import info_of

FLANK = 100


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


def status(genome: Genome, record: Written, alt: str) -> str:
    """Why an allele has no score, or OK."""
    if alt == "*":
        return "STAR"
    if "[" in alt or "]" in alt or (len(alt) > 1 and "." in (alt[0], alt[-1])):
        return "BREAKEND"
    if "<" in alt:
        return "SYMBOLIC"
    if not alt or set((record.ref + alt).upper()) - set("ACGT"):
        return "NON_ACGT"
    if record.contig not in genome:
        return "CONTIG_MISSING"
    bases = "".join(letter if letter in "ACGT" else "N" for letter in genome[record.contig].upper().replace("U", "T"))
    start, ref, alt = record.start, record.ref.upper(), alt.upper()
    if start < 0 or start + len(ref) > len(bases):
        return "CONTIG_END"
    if any(own not in (there, "N") for own, there in zip(bases[start:], ref, strict=False)):
        return "REF_MISMATCH"
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while ref and alt and ref[0] == alt[0]:
        start, ref, alt = start + 1, ref[1:], alt[1:]
    if max(len(ref), len(alt)) > ROOM:
        return "TOO_LONG"
    while bool(ref) != bool(alt) and start > 0 and bases[start - 1] == (ref or alt)[-1] != "N":
        start, ref, alt = (
            start - 1,
            (bases[start - 1] + ref)[:-1] if ref else "",
            (bases[start - 1] + alt)[:-1] if alt else "",
        )
    if start < FLANK or start + len(ref) + FLANK > len(bases):
        return "CONTIG_END"
    return "GAP" if "N" in bases[start - FLANK : start + len(ref) + FLANK] else "OK"


def lines_of(records: Sequence[Written]) -> list[str]:
    return [record.line(f"id{number}", INFO[number % len(INFO)]) for number, record in enumerate(records)]


@examples(80)
@given(vcfs())
def test_every_record_leaves_once_in_order_unchanged_with_a_score_or_the_reason(
    model: Path, vcf: tuple[Genome, list[Written]]
) -> None:
    genome, records = vcf
    with Bench(model, genome) as bench:
        source = bench.vcf(lines_of(records))
        out = bench.annotate(source)
        check_text(content(source), content(out))
        after = content(out).decode().splitlines()[-len(records) :]
    for line, record in zip(after, records, strict=True):
        if record.alts:
            assert info_of(line)["SBERT_STATUS"].split(",") == [status(genome, record, alt) for alt in record.alts]
            entries = info_of(line).get("SBERT", "").split(",")
            scored = [str(number) for number, alt in enumerate(record.alts, 1) if status(genome, record, alt) == "OK"]
            assert [entry.split("|")[1] for entry in entries if entry] == scored


@examples(40)
@given(vcfs(), st.data())
def test_every_field_has_one_value_per_alt(model: Path, vcf: tuple[Genome, list[Written]], data: st.DataObject) -> None:
    genome, records = vcf
    genes = data.draw(genes_of(genome))
    with Bench(model, genome, genes) as bench:
        after = bench.lines(lines_of(records))
    wanted = set(PER_ALT) if genes else {"SBERT_KL", "SBERT_STATUS"}
    for line, record in zip(after, records, strict=True):
        info = info_of(line)
        assert set(info) & set(PER_ALT) == (wanted if record.alts else set())
        assert len(per_alt(line)) == len(record.alts)
        for alt, values in zip(record.alts, per_alt(line), strict=True):
            expected = {status(genome, record, alt)}
            assert values[-1] in (expected | {"NO_GENE"} if genes and expected == {"OK"} else expected)
            assert (values[0] != ".") == (values[-1] == "OK")
            assert values[-1] == "OK" or set(values[:-1]) == {"."}
            assert all(abs(float(value)) < 1e6 for value in values[:-1] if value != ".")


@examples(30)
@given(vcfs(), st.data())
def test_records_do_not_depend_on_each_other(
    model: Path, vcf: tuple[Genome, list[Written]], data: st.DataObject
) -> None:
    """A file in parts, and a file in another order, give the same lines."""
    genome, records = vcf
    lines = lines_of(records)
    cut = data.draw(st.integers(0, len(lines)))
    order = data.draw(st.permutations(range(len(lines))))
    with Bench(model, genome, data.draw(genes_of(genome))) as bench:
        whole = bench.lines(lines)
        assert bench.lines(lines[:cut]) + bench.lines(lines[cut:]) == whole
        assert bench.lines([lines[number] for number in order]) == [whole[number] for number in order]

"""From alleles to scores: every status, strands and genes, what is read once, and answers known by hand."""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from sbert_model.checkpoint import Checkpoint, load_masked_lm
from sbert_model.device import default_batch_size
from sbert_model.errors import ModelError
from sbert_model.network import MaskedLM
from sbert_model.predict import FinishAt, Indices, Predictor
from sbert_model.scoring import KL_CONTEXT_FLOOR
from sbert_model.tokenizer import MASK, Ids, decode
from sbert_vcf import fields
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.annotator import Annotator
from sbert_vcf.consequence import ConsequenceField
from sbert_vcf.genes import Genes
from sbert_vcf.options import ScoringOptions
from sbert_vcf.reference import Reference
from sbert_vcf.results import AlleleResult
from sbert_vcf.strand import Site
from sbert_vcf.variant import Status, Variant
from tests.models import write_random_masked_lm

CPU = torch.device("cpu")
WINDOW = 302
LONGEST = 51  # nt of an allele beside 100 flank bases in the right half of the window
LENGTH = 1200
GAP = 900
LITERAL = "GATTACACAGGTAAGTCCTTACTTACCTGAACGTCATTG"  # at 500: a donor motif on each strand
DONOR = LITERAL.index("GGTAAGT") + 501
DONOR_MINUS = LITERAL.index("ACTTACC") + 500


def generated_sequence() -> str:
    letters = random.Random(5).choices("ACGT", k=LENGTH)
    letters[500 : 500 + len(LITERAL)] = LITERAL
    letters[GAP] = "N"
    return "".join(letters)


@pytest.fixture(scope="module")
def sequence() -> str:
    text = generated_sequence()
    assert text.count("GGTAAGT") == text.count("ACTTACC") == 1
    return text


@pytest.fixture(scope="module")
def fasta(sequence: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">chr1\n{sequence}\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_masked_lm(tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=2, max_nt=WINDOW)


@pytest.fixture(scope="module")
def model(folder: Path) -> Checkpoint[MaskedLM]:
    return load_masked_lm(folder)


@pytest.fixture
def reference(fasta: Path) -> Iterator[Reference]:
    with Reference(fasta) as opened:
        yield opened


@pytest.fixture
def predictor(model: Checkpoint[MaskedLM]) -> Predictor:
    return Predictor(model.network, CPU)


class MotifPredictor(Predictor):
    """At every base 0.7 A and 0.1 each of the others where the window holds GGTAAGT, else 0.25 each."""

    with_motif = np.log([0.7, 0.1, 0.1, 0.1])
    without = np.log([0.25] * 4)

    def start_at(self, windows: Sequence[Ids], positions: Sequence[Indices]) -> FinishAt:
        return lambda: np.concatenate(
            [
                np.tile(self.with_motif if "GGTAAGT" in decode(window) else self.without, (len(bases), 1))
                for window, bases in zip(windows, positions, strict=True)
            ]
        )


def genes_of(tmp_path: Path, *rows: tuple[str, int, int, str]) -> Genes:
    """An annotation of genes without introns: name, 1-based first and last base, strand."""
    path = tmp_path / "genes.gtf"
    path.write_text(
        "".join(
            f'chr1\tx\t{feature}\t{first}\t{last}\t.\t{strand}\t.\tgene_id "{name}"; transcript_id "{name}.t";\n'
            for name, first, last, strand in rows
            for feature in ("transcript", "exon")
        )
    )
    return Genes.open(path, cache=tmp_path / "cache")


def result_of(annotator: Annotator, site: Site) -> AlleleResult:
    ((result,),) = annotator.score_sites([site])
    return result


def at(start: int, ref: str, *alts: str) -> Site:
    """A site given with the 0-based start of REF."""
    return Site("chr1", start, ref, alts)


# Scores known by hand.


def test_a_lost_motif_is_seen_on_its_own_strand(reference: Reference, model: Checkpoint[MaskedLM]) -> None:
    predictor = MotifPredictor(model.network, CPU)
    lost = 100 * math.log(sum(0.25 * math.log(0.25 / p) for p in (0.7, 0.1, 0.1, 0.1)))
    plus, minus = at(DONOR, "G", "A"), at(DONOR_MINUS, "A", "C")
    for strand, expected in (("+", [lost, KL_CONTEXT_FLOOR]), ("-", [KL_CONTEXT_FLOOR, lost]), ("both", [lost, lost])):
        annotator = Annotator(reference, predictor, model, strand=strand)
        results = annotator.score_sites([plus, minus])
        assert [result.kl for (result,) in results] == pytest.approx(expected), strand


def test_both_strands_are_scored_apart_and_the_maximum_is_the_alleles(
    reference: Reference, model: Checkpoint[MaskedLM]
) -> None:
    annotator = Annotator(reference, MotifPredictor(model.network, CPU), model, strand="both")
    result = result_of(annotator, at(DONOR, "G", "A"))
    assert [(score.placement.strand, score.placement.source) for score in result.scores] == [
        ("+", "both"),
        ("-", "both"),
    ]
    assert result.scores[0].kl > result.scores[1].kl == pytest.approx(KL_CONTEXT_FLOOR)
    assert result.kl == result.scores[0].kl


def test_an_allele_that_makes_the_motif_scores_as_well(reference: Reference, model: Checkpoint[MaskedLM]) -> None:
    made = 100 * math.log(sum(p * math.log(p / 0.25) for p in (0.7, 0.1, 0.1, 0.1)))
    annotator = Annotator(reference, MotifPredictor(model.network, CPU), model, strand="+")
    base = reference.letters("chr1", 700, 701)
    assert result_of(annotator, at(700, base, base + "GGTAAGT")).kl == pytest.approx(made)


def test_ref_as_alt_has_the_floor(reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]) -> None:
    annotator = Annotator(reference, predictor, model, strand="both", delta=True)
    for ref in ("G", "GAT"):
        result = result_of(annotator, at(500, ref, ref))
        assert (result.status, result.delta) == (Status.OK, None)
        assert result.kl == pytest.approx(KL_CONTEXT_FLOOR, rel=0, abs=1e-9)
    assert round(KL_CONTEXT_FLOOR, 2) == -1381.55
    assert predictor.windows_run == 2


def test_a_model_without_context_gives_the_floor(reference: Reference, folder: Path) -> None:
    blind = load_masked_lm(folder)
    with torch.no_grad():
        blind.network.bert.embeddings.position_embeddings.weight.zero_()
        for name, parameter in blind.network.named_parameters():
            if name.endswith("attention.output.dense.weight"):
                parameter.zero_()
    annotator = Annotator(reference, Predictor(blind.network, CPU), blind, strand="both")
    sites = [at(DONOR, "G", "A"), at(500, "G", "GTTT"), at(502, "TTACAC", "T"), at(505, "CAC", "GG")]
    for (result,) in annotator.score_sites(sites):
        assert result.kl == pytest.approx(KL_CONTEXT_FLOOR, rel=0, abs=1e-9)


def test_one_change_has_one_score(reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]) -> None:
    # CACA in GATTACACAGG: the deletion of one CA in its three notations, and a substitution in three.
    annotator = Annotator(reference, predictor, model, strand="+", delta=True)
    for notations in (
        [at(504, "ACA", "A"), at(505, "CACA", "CA"), at(506, "ACAG", "AG")],
        [at(509, "G", "T"), at(508, "AG", "AT"), at(508, "AGG", "ATG")],
    ):
        results = [result for (result,) in annotator.score_sites(notations)]
        assert len({(result.allele, result.kl, result.delta) for result in results}) == 1
        assert results[0].status is Status.OK
    assert predictor.windows_run == 5  # two changes with their references, one of them also masked


# What is read once.


def test_one_reference_window_serves_all_alleles_with_one_start(
    reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    annotator = Annotator(reference, predictor, model, strand="+")
    # Substitutions of the G in AAGTCC, its deletion, an insertion before it, and one of the substitutions once more.
    sites = [at(514, "G", "A", "C", "T"), at(513, "AG", "A"), at(513, "A", "ACC"), at(514, "G", "C")]
    results = annotator.score_sites(sites)
    alleles = [result.allele for of_site in results for result in of_site]
    assert all(allele is not None and allele.start == 514 for allele in alleles)
    assert predictor.windows_run == 1 + 5
    assert len({result.kl for of_site in results for result in of_site}) == 5


def test_reads_are_shared_across_batches_and_strands_have_their_own(
    reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    annotator = Annotator(reference, predictor, model, strand="both", batch_size=1)
    variants = [Variant("chr1", 514, "G", alt) for alt in "ACTA"]
    assert len(list(annotator.score(variants))) == 4
    assert predictor.windows_run == 2 * (1 + 3)


def test_the_masked_window_is_shared_by_the_alts(
    reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    annotator = Annotator(reference, predictor, model, strand="+", delta=True)
    annotator.score_sites([at(514, "G", "A", "C", "T"), at(513, "AG", "A")])
    assert predictor.windows_run == 1 + 1 + 4


def test_genes_on_one_strand_share_the_score(
    reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM], tmp_path: Path
) -> None:
    genes = genes_of(tmp_path, ("A", 400, 700, "+"), ("B", 450, 800, "-"), ("C", 480, 600, "+"), ("D", 700, 800, "+"))
    annotator = Annotator(reference, predictor, model, genes=genes)
    result = result_of(annotator, at(514, "G", "A"))
    assert [(score.placement.symbol, score.placement.strand) for score in result.scores] == [
        ("A", "+"),
        ("B", "-"),
        ("C", "+"),
    ]
    a, b, c = (score.kl for score in result.scores)
    assert a == c != b
    assert result.kl == max(a, b)
    assert predictor.windows_run == 4


def test_the_consequence_field_tells_strand_and_gene(
    reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    field = ConsequenceField("CSQ", ["Allele", "Consequence", "SYMBOL", "STRAND"])
    annotator = Annotator(reference, predictor, model, field=field)
    entries = "A|intron_variant|GENE|-1,C|upstream_gene_variant|GENE|-1"
    first, second = annotator.score_sites([Site("chr1", 514, "G", ("A", "C"), entries)])[0]
    assert [(score.placement.symbol, score.placement.strand) for score in first.scores] == [("GENE", "-")]
    assert (second.status, second.number) == (Status.NO_GENE, 2)
    (minus,) = Annotator(reference, predictor, model, strand="-").score([Variant("chr1", 514, "G", "A")])
    assert first.kl == minus.kl


# Statuses.

FIRST, LAST = 100, LENGTH - 101  # the first and the last base with 100 on either side
STATUSES = [
    (at(514, "G", "A"), Status.OK),
    (at(514, "g", "a"), Status.OK),
    (Site("1", 514, "G", ("A",)), Status.OK),
    (at(650, "?", "A"), Status.NO_GENE),
    (at(514, "G", "<DEL>"), Status.SYMBOLIC),
    (at(514, "G", "<NON_REF>"), Status.SYMBOLIC),
    (at(514, "G", "*"), Status.STAR),
    (at(514, "G", "G[chr2:1["), Status.BREAKEND),
    (at(514, "G", "]chr2:1]G"), Status.BREAKEND),
    (at(514, "G", ".A"), Status.BREAKEND),
    (at(514, "C", "A"), Status.REF_MISMATCH),
    (at(513, "AGC", "A"), Status.REF_MISMATCH),
    (Site("chr9", 514, "G", ("A",)), Status.CONTIG_MISSING),
    (at(-1, "N", "A"), Status.NON_ACGT),
    (at(-1, "A", "C"), Status.CONTIG_END),
    (at(LENGTH - 1, "??", "A"), Status.CONTIG_END),
    (at(LENGTH, "A", "C"), Status.CONTIG_END),
    (at(FIRST - 1, "?", "A"), Status.CONTIG_END),
    (at(LAST + 1, "?", "A"), Status.CONTIG_END),
    (at(GAP, "A", "C"), Status.GAP),
    (at(GAP - 100, "?", "A"), Status.GAP),
    (at(GAP + 100, "?", "A"), Status.GAP),
    (at(514, "G", "G" + "ACCTGACTTA" * 6), Status.TOO_LONG),
    (at(514, "?" * 60, "?"), Status.TOO_LONG),
    (at(514, "G", "N"), Status.NON_ACGT),
    (at(514, "R", "G"), Status.NON_ACGT),
    (at(514, "G", "GU"), Status.NON_ACGT),
]


def filled_in(site: Site, sequence: str) -> Site:
    """Put the FASTA's bases for ? in REF; a ? in ALT is REF's first base; an ALT equal to REF becomes another base."""
    there = sequence[max(site.start, 0) : site.start + len(site.ref)].ljust(len(site.ref), "A")
    ref = there if "?" in site.ref else site.ref
    alts = tuple(ref[0] if alt == "?" else alt for alt in site.alts)
    return site._replace(ref=ref, alts=tuple("C" if alt == ref else alt for alt in alts))


def test_every_alt_has_a_score_or_the_reason_why_not(
    sequence: str, reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM], tmp_path: Path
) -> None:
    genes = genes_of(tmp_path, ("A", 500, 600, "+"))
    annotator = Annotator(reference, predictor, model, genes=genes)
    sites = [filled_in(site, sequence) for site, _ in STATUSES]
    results = annotator.score_sites(sites)
    assert [result.status for (result,) in results] == [status for _, status in STATUSES]
    for (result,), site in zip(results, sites, strict=True):
        scored = result.status is Status.OK
        assert (result.alt, result.number) == (site.alts[0], 1)
        assert (result.kl is not None) == (result.allele is not None) == bool(result.scores) == scored
    assert {result.status for (result,) in results} == set(Status) - {Status.NO_ALT}


def test_what_cannot_be_scored_is_not_read(
    sequence: str, reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    annotator = Annotator(reference, predictor, model, strand="+")
    sites = [filled_in(site, sequence) for site, status in STATUSES if status not in (Status.OK, Status.NO_GENE)]
    assert len(annotator.score_sites(sites)) == len(sites)
    assert predictor.windows_served == 0


def test_ref_beyond_the_contig_is_refused_though_the_change_lies_inside(
    sequence: str, reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    annotator = Annotator(reference, predictor, model, strand="+")
    head, tail = sequence[:150], sequence[-150:]
    other = {"A": "C", "C": "A", "G": "A", "T": "A"}
    sites = [
        at(-1, "A" + head, "A" + head[:-1] + other[head[-1]]),
        at(LENGTH - 150, tail + "A", other[tail[0]] + tail[1:] + "A"),
        at(0, head, head[:-1] + other[head[-1]]),
        at(LENGTH - 150, tail, other[tail[0]] + tail[1:]),
    ]
    statuses = [result.status for (result,) in annotator.score_sites(sites)]
    assert statuses == [Status.CONTIG_END, Status.CONTIG_END, Status.OK, Status.OK]


def test_flanks_may_reach_contig_ends_and_gaps(
    sequence: str, reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    annotator = Annotator(reference, predictor, model, strand="+")
    sites = [filled_in(at(start, "?", "A"), sequence) for start in (FIRST, LAST, GAP - 101, GAP + 101)]
    assert {result.status for (result,) in annotator.score_sites(sites)} == {Status.OK}


def test_the_longest_allele(
    sequence: str, reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    annotator = Annotator(reference, predictor, model, strand="+")
    before = sequence[519]
    statuses = {}
    for length in (LONGEST, LONGEST + 1):
        inserted = "".join(random.Random(1).choices("ACGT", k=length - 1)) + ("A" if before != "A" else "C")
        deletion = at(519, sequence[519 : 520 + length], before)
        (insertion,), (deleted,) = annotator.score_sites([at(519, before, before + inserted), deletion])
        statuses[length] = [insertion.status, deleted.status]
    assert statuses == {LONGEST: [Status.OK] * 2, LONGEST + 1: [Status.TOO_LONG] * 2}


def test_alts_of_one_record_have_their_own_status(
    reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    annotator = Annotator(reference, predictor, model, strand="+")
    ((*results,), nothing) = annotator.score_sites([at(514, "G", "A", "*", "<DEL>", "N", "GTT"), at(514, "G")])
    assert nothing == ()
    assert [(result.alt, result.number, result.status.value) for result in results] == [
        ("A", 1, "OK"),
        ("*", 2, "STAR"),
        ("<DEL>", 3, "SYMBOLIC"),
        ("N", 4, "NON_ACGT"),
        ("GTT", 5, "OK"),
    ]


# Order, laziness, delta, and the ways in.


def test_score_is_lazy_and_keeps_the_order(
    sequence: str, reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Variant]:
        start = 300
        while True:
            taken.append(start)
            yield Variant("chr1", start, sequence[start], "*" if start % 3 == 0 else "GC"[sequence[start] == "G"])
            start += 1

    annotator = Annotator(reference, predictor, model, strand="+", batch_size=4)
    results = annotator.score(endless())
    assert taken == []
    first = next(results)
    assert (len(taken), first.status) == (4, Status.STAR)
    found = [first, *(next(results) for _ in range(9))]
    assert len(taken) == 12
    for start, result in enumerate(found, 300):
        if start % 3 == 0:
            assert result.status is Status.STAR
        else:
            assert result.allele == ("chr1", start, start + 1, "GC"[sequence[start] == "G"])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
def test_batch_size_changes_nothing(
    sequence: str, reference: Reference, model: Checkpoint[MaskedLM], batch_size: int
) -> None:
    variants = [Variant("chr1", start, sequence[start], "GC"[sequence[start] == "G"]) for start in range(510, 517)]
    alone = Annotator(reference, Predictor(model.network, CPU, remember=0), model, strand="both", delta=True)
    expected = [next(alone.score([variant])) for variant in variants]
    together = Annotator(
        reference, Predictor(model.network, CPU), model, strand="both", delta=True, batch_size=batch_size
    )
    assert list(together.score(variants)) == expected


def test_delta_is_that_of_the_masked_base(
    reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    annotator = Annotator(reference, predictor, model, strand="both", delta=True)
    result = result_of(annotator, at(514, "G", "A"))
    window = reference.ids("chr1", 514 - 151, 514 + 151)
    window[151] = MASK
    p = np.exp(predictor.log_probs([window])[0][151])
    plus, minus = (score.delta or 0.0 for score in result.scores)
    assert plus == pytest.approx(p[0] - p[2])
    assert plus != minus
    assert result.delta == max(plus, minus, key=abs)


def test_only_substitutions_of_one_base_have_a_delta(
    reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    sites = [at(514, "G", "A"), at(513, "AG", "AA"), at(513, "AG", "CC"), at(513, "AG", "A"), at(513, "A", "ATT")]
    annotator = Annotator(reference, predictor, model, strand="+", delta=True)
    deltas = [result.delta for (result,) in annotator.score_sites(sites)]
    assert [delta is not None for delta in deltas] == [True, True, False, False, False]
    assert deltas[0] == deltas[1]
    without = Annotator(reference, predictor, model, strand="+")
    assert result_of(without, sites[0]).delta is None


def test_score_and_annotate_agree(sequence: str, fasta: Path, folder: Path, tmp_path: Path) -> None:
    sites = [filled_in(site, sequence) for site, _ in STATUSES if site.start >= 0]
    sites += [at(514, "G", "A", "C", "GTT", "*"), at(504, "ACA", "A"), at(514, "G")]
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    lines = [
        f"{site.contig}\t{site.start + 1}\t.\t{site.ref}\t{','.join(site.alts) or '.'}\t.\t.\t.\n" for site in sites
    ]
    vcf, out = tmp_path / "in.vcf", tmp_path / "out.vcf"
    vcf.write_text(header + "".join(lines))
    options = ScoringOptions(
        reference=str(fasta), model=str(folder), device="cpu", strand="both", delta=True, threads=1, batch_size=3
    )
    tally = annotate(AnnotateOptions(str(vcf), str(out)), options)
    written = [line.split("\t")[7] for line in out.read_text().splitlines() if not line.startswith("#")]
    with Annotator.open(options) as annotator:
        variants = [Variant(site.contig, site.start, site.ref, alt) for site in sites for alt in site.alts]
        scored = iter(list(annotator.score(variants)))
    for site, info in zip(sites, written, strict=True):
        if not site.alts:
            assert info == "."
            continue
        results = [next(scored) for _ in site.alts]
        values = dict(part.split("=", 1) for part in info.split(";"))
        assert values["SBERT_STATUS"].split(",") == [result.status.value for result in results]
        assert values["SBERT_KL"].split(",") == [fields.text(result.kl) or "." for result in results]
        assert values["SBERT_DELTA"].split(",") == [fields.text(result.delta) or "." for result in results]
    assert tally.total() == len(variants) + 1
    assert tally[Status.NO_ALT] == 1


# Models that do not do.


@pytest.mark.parametrize("length", [202, 201])
def test_a_model_that_reads_too_little(reference: Reference, tmp_path: Path, length: int) -> None:
    short = load_masked_lm(write_random_masked_lm(tmp_path / "short", hidden=8, heads=1, layers=1, max_nt=length))
    predictor = Predictor(short.network, CPU)
    if length == 201:
        with pytest.raises(ModelError, match="short: reads 201 nt; KL-context needs at least 202"):
            Annotator(reference, predictor, short)
        return
    annotator = Annotator(reference, predictor, short, strand="both")
    statuses = [result.status for result in annotator.score_sites([at(514, "G", "A", "GA", "GAC")])[0]]
    assert statuses == [Status.OK, Status.OK, Status.TOO_LONG]


def test_a_long_model_reads_1024_nt(fasta: Path, tmp_path: Path, reference: Reference) -> None:
    long = load_masked_lm(write_random_masked_lm(tmp_path / "long", hidden=8, heads=1, layers=1, max_nt=1100))
    annotator = Annotator(reference, Predictor(long.network, CPU), long, strand="+")
    assert annotator.window == 1024
    assert result_of(annotator, at(514, "G", "A")).status is Status.OK


def test_probabilities_that_are_not_finite_stop_the_run(reference: Reference, model: Checkpoint[MaskedLM]) -> None:
    class Overflowing(MotifPredictor):
        without = np.full(4, np.nan)

    annotator = Annotator(reference, Overflowing(model.network, CPU), model, strand="+")
    with pytest.raises(ModelError, match=r"tiny: no finite probabilities around chr1:511: .*--precision float32$"):
        annotator.score_sites([at(DONOR, "G", "A")])


def test_a_missing_model_is_told_before_the_genome_is_indexed(sequence: str, tmp_path: Path) -> None:
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{sequence}\n")
    with pytest.raises(ModelError, match="no such model folder"):
        Annotator.open(ScoringOptions(reference=str(path), model=str(tmp_path / "none"), device="cpu"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["genome.fa"]


def test_the_reference_is_closed_at_the_end(fasta: Path, folder: Path) -> None:
    options = ScoringOptions(reference=str(fasta), model=str(folder), device="cpu", strand="+")
    with Annotator.open(options) as annotator:
        assert result_of(annotator, at(514, "G", "A")).status is Status.OK
    with pytest.raises(ValueError, match="closed"):
        annotator.reference._fasta.fetch("chr1", 0, 1)


def test_batches_are_as_large_as_the_device_likes(
    reference: Reference, predictor: Predictor, model: Checkpoint[MaskedLM]
) -> None:
    assert Annotator(reference, predictor, model).batch_size == default_batch_size(CPU)
    assert Annotator(reference, predictor, model, batch_size=5).batch_size == 5

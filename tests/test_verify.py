"""sbert_vcf.verify: what annotate has made is confirmed, and whatever is changed in it or around it is named."""

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pysam.bcftools
import pytest
from click.testing import CliRunner

from sbert_model.errors import InputError, ModelError
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.cli import cli, main
from sbert_vcf.options import ScoringOptions
from sbert_vcf.verify import Tolerance, verify
from tests.models import write_random_masked_lm, write_random_token_classifier
from tests.world import World, bgzip, build_world, to_bcf, vcf_text

CSQ = (
    '##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Ensembl VEP. '
    'Format: Allele|Consequence|SYMBOL|Gene|Feature|STRAND">'
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = build_world(tmp_path_factory.mktemp("world"))
    lines = [
        f'chr1\tx\t{kind}\t{start}\t{end}\t.\t+\t.\tgene_id "G"; transcript_id "T"; gene_name "NAME, G";\n'
        for kind, start, end in (("transcript", 301, 2600), ("exon", 301, 800), ("exon", 1201, 2600))
    ]
    world.genes.write_text("".join(lines))
    write_random_token_classifier(world.folder / "bp", hidden=8, heads=1, layers=1)
    records = []
    for pos in range(620, 2400, 20):
        ref = world.base("chr1", pos)
        alts = [base for base in "ACGT" if base != ref]
        alt = [alts[0], f"{alts[1]},*", f"{ref}{alts[2]},{alts[0]}", "<DEL>", "."][pos // 20 % 5]
        strand = "1" if pos % 60 else "-1"
        entry = "|".join(["-" if alt == "." else alt.split(",")[0], "intron_variant", "S", "G1", "T1", strand])
        records.append(f"chr1\t{pos}\t.\t{ref}\t{alt}\t.\t.\tDP=3;CSQ={entry}")
    records.append("chr1\t2500\t.\tNNN\tA\t.\t.\tCSQ=-|intron_variant|S|G1|T1|1")
    (world.folder / "in.vcf").write_text(vcf_text(records, extra=[CSQ]))
    (world.folder / "bare.vcf").write_text(re.sub(r"CSQ=\S+", "TEXT=x", vcf_text(records)))
    return world


@pytest.fixture(scope="module")
def bare(world: World) -> ScoringOptions:
    """Where things are; what a check is given."""
    return ScoringOptions(reference=str(world.fasta), device="cpu", threads=1)


def scoring(world: World, **options: Any) -> ScoringOptions:
    return replace(world.scoring(strand="auto", batch_size=8), **options)


def annotated(world: World, folder: Path, name: str = "out.vcf", source: str = "bare.vcf", **options: Any) -> Path:
    out = folder / name
    annotate(AnnotateOptions(str(world.folder / source), str(out), overwrite=True), scoring(world, **options))
    return out


@pytest.fixture(scope="module")
def plain(world: World) -> Path:
    """Annotated on both strands."""
    return annotated(world, world.folder, "plain.vcf")


def kinds(world: World) -> dict[str, tuple[str, dict[str, Any], dict[str, Any]]]:
    """Input, what annotate is given, and what the check is given."""
    genes, bp = {"genes": str(world.genes)}, {"branchpoint_model": str(world.folder / "bp")}
    alias = world.folder / "alias.tsv"
    alias.write_text("chr1\tone\n")
    return {
        "both": ("bare.vcf", {}, {}),
        "csq": ("in.vcf", {}, {}),
        "genes": ("bare.vcf", genes, genes),
        "csq+genes": ("in.vcf", genes, genes),
        "no-csq": ("in.vcf", {**genes, "strand": "genes"}, genes),
        "strand": ("in.vcf", {"strand": "-"}, {}),
        "branchpoints": ("bare.vcf", {**genes, **bp, "bp_distance": 100}, genes),
        "delta": ("bare.vcf", {"delta": True, "strand": "+"}, {}),
        "alias": ("bare.vcf", {"alias": str(alias)}, {"alias": str(alias)}),
    }


def test_split_precision_is_checked_in_float32_without_a_gpu(plain: Path, bare: ScoringOptions, tmp_path: Path) -> None:
    text = plain.read_text()
    assert text.count('Precision="float32"') == 1
    out = tmp_path / "split.vcf"
    out.write_text(text.replace('Precision="float32"', 'Precision="split"'))
    found = verify(str(out), bare, 1000)
    assert (found.precision, found.settings, found.differences) == ("split", [], [])


@pytest.mark.parametrize(
    "kind", ["both", "csq", "genes", "csq+genes", "no-csq", "strand", "branchpoints", "delta", "alias"]
)
def test_what_annotate_has_made(world: World, bare: ScoringOptions, tmp_path: Path, kind: str) -> None:
    source, made_with, given = kinds(world)[kind]
    out = annotated(world, tmp_path, source=source, **made_with)
    found = verify(str(out), replace(bare, **given), 1000)
    assert (found.settings, found.differences) == ([], [])
    assert (found.records, found.sampled) == (72, 72)
    assert found.rows["SBERT_STATUS"].compared == found.alleles > 72
    assert found.rows["SBERT_KL"].compared > 40
    assert all(row.largest == 0 for row in found.rows.values())
    numbers = {"SBERT_KL", "SBERT KL"}
    if kind in ("genes", "csq+genes", "no-csq", "branchpoints"):
        numbers |= {"SBERT_SS", "SBERT KL_DONOR", "SBERT KL_ACCEPTOR"}
    if kind == "branchpoints":
        numbers |= {"SBERT_BP", "SBERT BP_LOSS", "SBERT BP_GAIN"}
    if kind == "delta":
        numbers.add("SBERT_DELTA")
    assert set(found.rows) == {*numbers, "SBERT_STATUS", "SBERT placement"}


@pytest.mark.parametrize("convert", [bgzip, to_bcf])
def test_other_formats(world: World, bare: ScoringOptions, plain: Path, convert: Callable[[Path], Path]) -> None:
    found = verify(str(convert(plain)), bare, 1000)
    assert (found.settings, found.differences, found.sampled) == ([], [], 72)


def test_bcf_as_annotate_writes_it(world: World, bare: ScoringOptions, tmp_path: Path) -> None:
    out = annotated(world, tmp_path, "out.bcf", "in.vcf", genes=str(world.genes))
    found = verify(str(out), replace(bare, genes=str(world.genes)), 1000)
    assert (found.settings, found.differences) == ([], [])
    assert all(row.largest == 0 for row in found.rows.values())


def test_sample(bare: ScoringOptions, plain: Path) -> None:
    """Each record has the same chance, and a seed draws the same ones."""
    drawn = []
    for seed in range(3):
        found = verify(str(plain), bare, 20, seed)
        assert (found.records, found.sampled) == (72, 20)
        assert verify(str(plain), bare, 20, seed) == found
        drawn.append(found.alleles)
    assert len(set(drawn)) > 1


def tampered(plain: Path, folder: Path, change: Callable[[str], str]) -> Path:
    out = folder / "tampered.vcf"
    text = change(plain.read_text())
    assert text != plain.read_text()
    out.write_text(text)
    return out


CHANGES: dict[str, tuple[Callable[[str], str], str]] = {
    "kl": (lambda text: re.sub(r"(chr1\t640\t.*SBERT_KL=)-[\d.]+", r"\1-1000.5", text), "SBERT_KL: written -1000.5, c"),
    "no-score": (lambda text: re.sub(r"(chr1\t640\t.*SBERT_KL=)-[\d.]+", r"\1.", text), "SBERT_KL: written ., comput"),
    "nan": (lambda text: re.sub(r"(chr1\t640\t.*SBERT_KL=)-[\d.]+", r"\1nan", text), "SBERT_KL: written nan, comput"),
    "status": (lambda text: re.sub(r"(chr1\t640\t.*STATUS=)OK", r"\1GAP", text), "SBERT_STATUS: written GAP, compu"),
    "strand": (lambda text: re.sub(r"(chr1\t640\t.*\|)-1\|both", r"\g<1>1|both", text), "SBERT placement: written "),
    "packed": (lambda text: re.sub(r"(chr1\t640\t.*\|-1\|both\|)-[\d.]+", r"\1-1", text), "SBERT KL: written -1, com"),
    "entry": (lambda text: re.sub(r"(chr1\t640\t.*),[^,]*\|-1\|both\|.*", r"\1", text), "SBERT placement: written no"),
    "field": (lambda text: re.sub(r"(chr1\t640\t.*);SBERT_STATUS=OK", r"\1", text), "SBERT_STATUS: written nothing, c"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_value_is_named(bare: ScoringOptions, plain: Path, tmp_path: Path, change: str) -> None:
    alter, words = CHANGES[change]
    found = verify(str(tampered(plain, tmp_path, alter)), bare, 1000)
    assert any(text.startswith("chr1:640 ") and words in text for text in found.differences), found.differences
    assert all(text.startswith("chr1:640 ") for text in found.differences)


def test_a_difference_within_the_tolerance(bare: ScoringOptions, plain: Path, tmp_path: Path) -> None:
    def shift(text: str) -> str:
        return re.sub(r"SBERT_KL=(-[\d.]+)", lambda match: f"SBERT_KL={float(match[1]) + 0.03:.6g}", text)

    found = verify(str(tampered(plain, tmp_path, shift)), bare, 1000)
    assert found.differences == []
    assert 0.02 < found.rows["SBERT_KL"].largest < 0.04


def test_tolerances() -> None:
    assert Tolerance(0.01, relative=True).difference(2.0, 1.0) == 0.5
    assert Tolerance(0.01, relative=True).difference(0.0, 1e-8) == pytest.approx(0.01)
    assert Tolerance(0.05).difference(-3.0, 1.0) == 4.0
    assert Tolerance(0.05).difference(float("nan"), 1.0) == float("inf")


def test_another_reference(world: World, bare: ScoringOptions, plain: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.fa"
    other.write_text(world.fasta.read_text().replace(">chrM", ">chrX"))
    with pytest.raises(
        InputError, match=r"cannot be verified: ReferenceIndexSHA256 is \w{64} in the header and \w{64} h"
    ):
        verify(str(plain), replace(bare, reference=str(other)))
    # Other bases under the same index: the scores tell.
    other.write_text(world.fasta.read_text().translate(str.maketrans("ACGT", "CATG")))
    Path(f"{other}.fai").unlink()
    shutil.copy(f"{world.fasta}.fai", f"{other}.fai")
    found = verify(str(plain), replace(bare, reference=str(other)), 1000)
    assert any("SBERT_STATUS: written OK, computed REF_MISMATCH" in text for text in found.differences)


def test_another_model(world: World, bare: ScoringOptions, plain: Path, tmp_path: Path) -> None:
    other = write_random_masked_lm(tmp_path / "other", hidden=16, layers=1, heads=2, max_nt=402, seed=1)
    with pytest.raises(InputError, match=r"cannot be verified: ModelSHA256 is \w{64} in the header and \w{64} here$"):
        verify(str(plain), replace(bare, model=str(other)))
    moved = shutil.copytree(world.model, tmp_path / "moved")
    assert verify(str(plain), replace(bare, model=str(moved)), 3).differences == []
    gone = tampered(plain, tmp_path, lambda text: text.replace(str(world.model), "/nonexistent/model"))
    with pytest.raises(ModelError, match=r"/nonexistent/model: no such .*; --model and --branchpoint-model tell where"):
        verify(str(gone), bare)


def test_another_branchpoint_model(world: World, bare: ScoringOptions, tmp_path: Path) -> None:
    genes, other = (
        str(world.genes),
        write_random_token_classifier(tmp_path / "other", hidden=8, heads=1, layers=1, seed=1),
    )
    out = annotated(world, tmp_path, genes=genes, branchpoint_model=str(world.folder / "bp"))
    with pytest.raises(InputError, match="BranchpointModelSHA256 is "):
        verify(str(out), replace(bare, genes=genes, branchpoint_model=str(other)))


def test_other_genes(world: World, bare: ScoringOptions, plain: Path, tmp_path: Path) -> None:
    out = annotated(world, tmp_path, genes=str(world.genes))
    with pytest.raises(InputError, match=r"out.vcf: was made with the genes of world\.gtf; give --genes"):
        verify(str(out), bare)
    other = tmp_path / "other.gtf"
    other.write_text(world.genes.read_text().replace("\t800\t", "\t801\t"))
    with pytest.raises(InputError, match="GenesSHA256 is "):
        verify(str(out), replace(bare, genes=str(other)))
    other.write_text("# a comment\n" + world.genes.read_text())
    assert verify(str(out), replace(bare, genes=str(other)), 5).differences == []
    with pytest.raises(
        InputError, match=r"GenesSHA256 is none in the header and \w{64} here; INFO SBERT_SS is declared"
    ):
        verify(str(plain), replace(bare, genes=str(world.genes)))


def test_a_line_that_tells_less(bare: ScoringOptions, plain: Path, world: World, tmp_path: Path) -> None:
    """As before StrandMode was written."""

    def shorten(text: str) -> str:
        return re.sub(r',(StrandMode|GenesSHA256|Genes|BranchpointDistance)="[^"]*"', "", text)

    assert verify(str(tampered(plain, tmp_path, shorten)), bare, 1000).differences == []
    out = annotated(world, tmp_path, genes=str(world.genes))
    old = tampered(out, tmp_path, shorten)
    with pytest.raises(InputError, match=r"was made with the genes of world\.gtf; give --genes"):
        verify(str(old), bare)
    assert verify(str(old), replace(bare, genes=str(world.genes)), 1000).differences == []


def without(pattern: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, "", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without(r"^##sbert_vcf=.*\n"), "has no ##sbert_vcf line: sbert-vcf has not annotated it, or its header"),
        (without(r',Strand="[^"]*"'), "its ##sbert_vcf line does not tell Strand$"),
        (
            lambda text: text.replace("#CHROM", '##sbert_vcf=<ID=run,Version="0">\n#CHROM'),
            "2 ##sbert_vcf lines: it was",
        ),
        (without(r"^##INFO=<ID=SBERT_STATUS.*\n"), "INFO SBERT_STATUS is declared in the header or computed here, not"),
        (lambda text: text.replace("Format: Allele|", "Format: Other|"), "INFO SBERT has other columns"),
    ],
)
def test_header(bare: ScoringOptions, plain: Path, tmp_path: Path, change: Callable[[str], str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        verify(str(tampered(plain, tmp_path, change)), bare)


def test_file_without_records(world: World, bare: ScoringOptions, plain: Path, tmp_path: Path) -> None:
    empty = tampered(plain, tmp_path, without(r"^chr1.*\n"))
    found = verify(str(empty), bare)
    assert (found.records, found.rows) == (0, {})


def test_part_of_a_file(bare: ScoringOptions, plain: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.vcf"
    part.write_text(str(pysam.bcftools.view("-i", "SBERT_KL>-1300", str(plain))))
    found = verify(str(part), bare, 1000)
    assert found.differences == []
    assert 0 < found.sampled < 72


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], world: World) -> Run:
    def go(*arguments: object) -> tuple[int, str, str]:
        options = ["-r", world.fasta, "--device", "cpu", "--threads", 1, "-q"]
        monkeypatch.setattr(sys, "argv", ["sbert-vcf", "verify", *map(str, [*arguments, *options])])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, *capfd.readouterr()

    return go


def test_command(run: Run, plain: Path, world: World, tmp_path: Path) -> None:
    code, out, err = run(plain, "--sample", 20, "--seed", 2)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"{plain}: {world.model} (sha256 ")
    assert lines[2].startswith("20 of 72 records with an ALT (seed 2), ")
    assert lines[4] == "field            compared  differ  largest difference  tolerance"
    assert re.fullmatch(r"SBERT_KL         \d+        0       0                   0\.05", lines[5])

    def spoil(text: str) -> str:
        return re.sub(r"SBERT_KL=-[\d.]+", "SBERT_KL=-1", text)

    code, out, err = run(tampered(plain, tmp_path, spoil), "--sample", 1000)
    assert code == 1
    assert out.count(" SBERT_KL: written -1, computed -") == 10
    said = re.fullmatch(r"sbert-vcf: error: .*tampered\.vcf: not verified: (\d+) of \d+ values differ\n", err)
    assert said is not None
    assert out.endswith(f"\nand {int(said[1]) - 10} more\n")


def test_another_version_is_named_with_the_scores(run: Run, plain: Path, tmp_path: Path) -> None:
    older = tampered(plain, tmp_path, lambda text: re.sub(r'Version="[^"]*"', 'Version="0.0.1"', text))
    code, out, err = run(older)
    assert code == 1
    assert "SBERT_KL " in out
    assert re.fullmatch(r"sbert-vcf: error: .*: not verified: Version is 0\.0\.1 in the header and \S+ here\n", err)


def test_help() -> None:
    done = CliRunner().invoke(cli, ["verify", "--help"])
    assert done.exit_code == 0
    assert done.output.startswith("Usage: ")


def test_command_on_something_else(run: Run, world: World) -> None:
    code, out, err = run(world.folder / "in.vcf")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "has no ##sbert_vcf line" in err

"""sbert_vcf.annotate: from one file to another, with nothing lost on the way; htslib's tools read what comes out."""

import gzip
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pysam
import pysam.bcftools
import pytest

from sbert_model.errors import InputError, OutputError
from sbert_vcf import fields
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.options import ScoringOptions
from sbert_vcf.variant import Status
from tests.world import CONTIG_LINES, World, as_stdin, bgzip, build_world, info_of, records_of, to_bcf, vcf_text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))


def records(world: World) -> list[str]:
    """Alleles of every status that needs no special FASTA, in order."""
    one = [world.snv("chr1", pos) for pos in range(400, 640, 40)]
    ref = world.base("chr1", 700)
    others = [base for base in "ACGT" if base != ref]
    two = world.snv("chr2", 700)
    return [
        world.snv("chr1", 50),
        *one,
        f"chr1\t700\trs7\t{ref}\t{others[0]},*,{others[1]}\t9.5\tPASS\tDP=3",
        f"chr1\t701\t.\t{world.base('chr1', 701)}\t<DEL>\t.\t.\tEND=709",
        f"chr1\t702\t.\t{world.base('chr1', 702)}\t.\t.\t.\tDP=7",
        f"chr1\t703\t.\t{world.base('chr1', 703)}\t{world.base('chr1', 703)}[chr2:5[\t.\t.\t.",
        f"chr1\t704\t.\t{others[0] if world.base('chr1', 704) == ref else ref}\t{'ACGT' * 2}\t.\t.\t.",
        f"chr1\t705\t.\t{world.base('chr1', 705)}\tR\t.\t.\t.",
        two,
    ]


@pytest.fixture
def vcf(world: World, tmp_path: Path) -> Path:
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text(records(world)))
    return path


Run = Callable[..., Path]


@pytest.fixture
def run(world: World, tmp_path: Path) -> Run:
    """Annotate a file and return the output."""

    def go(
        source: str | Path, output: str = "out.vcf", scoring: ScoringOptions | None = None, *, force: bool = False
    ) -> Path:
        out = tmp_path / output
        annotate(
            AnnotateOptions(input=str(source), output=str(out), overwrite=True, force=force), scoring or world.scoring()
        )
        return out

    return go


def body(path: Path) -> list[str]:
    data = path.read_bytes()
    return records_of(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)


def test_every_alt_leaves_with_a_score_or_a_reason(world: World, vcf: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.vcf"
    tally = annotate(AnnotateOptions(str(vcf), str(out)), world.scoring())
    lines = body(out)
    assert len(lines) == len(records(world))
    statuses = Counter(
        status for line in lines if line.split("\t")[4] != "." for status in info_of(line)["SBERT_STATUS"].split(",")
    )
    assert statuses["OK"] == 9
    assert statuses["CONTIG_END"] == statuses["STAR"] == statuses["SYMBOLIC"] == statuses["BREAKEND"] == 1
    assert {status.value: count for status, count in tally.items()} == {**statuses, "NO_ALT": 1}
    (no_alt,) = (line for line in lines if line.split("\t")[4] == ".")
    assert no_alt.split("\t")[7] == "DP=7"
    (three,) = (line for line in lines if "rs7" in line)
    info = info_of(three)
    values = info["SBERT_KL"].split(",")
    assert values[1] == "."
    assert -1382 < float(values[0]) < 0
    assert [entry.split("|")[1] for entry in info["SBERT"].split(",")] == ["1", "3"]


@pytest.mark.parametrize("size", [1, 2, 3, 64])
def test_same_scores_at_every_batch_size(world: World, vcf: Path, run: Run, size: int) -> None:
    assert body(run(vcf, scoring=world.scoring(strand="both", batch_size=size))) == body(
        run(vcf, "default.vcf", scoring=world.scoring(strand="both"))
    )


def test_same_scores_from_every_format(vcf: Path, run: Run) -> None:
    expected = body(run(vcf))
    sources = [bgzip(vcf), to_bcf(vcf), to_bcf(vcf, "u")]
    for source in sources:
        assert body(run(source)) == expected, source.name
    for source in [vcf, *sources]:
        with as_stdin(source.read_bytes()):
            assert body(run("-")) == expected, source.name


def test_same_scores_in_every_format(vcf: Path, run: Run) -> None:
    expected = body(run(vcf))
    for output in ("out.vcf.gz", "out.bcf"):
        assert records_of(str(pysam.bcftools.view("-H", str(run(vcf, output))))) == expected


def test_same_scores_for_names_without_chr(world: World, vcf: Path, run: Run, tmp_path: Path) -> None:
    bare = tmp_path / "bare.vcf"
    bare.write_text(vcf.read_text().replace("\nchr", "\n").replace("ID=chr", "ID="))
    expected = [line.removeprefix("chr") for line in body(run(vcf, scoring=world.scoring(genes=True, strand="auto")))]
    assert body(run(bare, scoring=world.scoring(genes=True, strand="auto"))) == expected
    assert "SYMBOL|" not in "".join(expected)
    assert "|NAME_G1|G1|" in expected[1]


def test_one_allele_in_four_notations(world: World, run: Run, tmp_path: Path) -> None:
    assert world.bases["chr1"][1500:1511] == "CATATATATAG"
    path = tmp_path / "notations.vcf"
    notations = [("1501", "CAT", "C"), ("1501", "CATAT", "CAT"), ("1505", "TAT", "T"), ("1507", "TATA", "TA")]
    path.write_text(vcf_text([f"chr1\t{pos}\t.\t{ref}\t{alt}\t.\t.\t." for pos, ref, alt in notations]))
    infos = [info_of(line) for line in body(run(path))]
    assert {info["SBERT_STATUS"] for info in infos} == {"OK"}
    assert len({info["SBERT_KL"] for info in infos}) == 1


def odd_vcf(world: World) -> bytes:
    """Text of every kind that other programs leave in INFO and in the columns of 60 samples."""
    numbers = random.Random(3)
    infos = [b".", b"", b"DP=3;", b";;DP=3", b"FLAG", b"TEXT=\xff\xc3\xa9\xe4\xb8\xad;FLAG;X==;=Y", b"DP=1;DP=2"]
    infos += [b"TEXT=a b,c|d&e%2C", b"NSBERT=1;SBERTX;TEXT=SBERT_KL", b"DP=0x1F;AF=1e-05,.,0.10"]
    lines = []
    for pos in range(310, 410, 2):
        columns = world.snv("chr1", pos).encode().split(b"\t")
        odd = bytes(numbers.choices([*range(33, 127), 0xE9, 0xFF], k=20)).replace(b"SBERT", b"")
        columns[2] = numbers.choice([b".", b"rs1;rs2", b"\xc3\xa9"])
        columns[5] = numbers.choice([b".", b"30", b"30.00", b"1e3"])
        columns[6] = numbers.choice([b".", b"PASS", b"q10;undeclared"])
        columns[7] = numbers.choice([*infos, odd])
        samples = [numbers.choice([b"0/1:3,4", b".", b"./.", b"1|0:.", odd]) for _ in range(60)]
        lines.append(b"\t".join([*columns, b"GT:AD:XX", *samples]))
    extra = ['##INFO=<ID=BAD,Number=1,Type=Text,Description="no such type">', "##odd", "##bcftools_x=y; Date=z"]
    header = vcf_text([], extra=extra, samples=[f"s{number}" for number in range(60)]).encode()
    return header.replace(b"##odd", b"##odd=\xff\xc3\xa9 <>") + b"".join(line + b"\n" for line in lines)


def without_ours(line: bytes) -> bytes:
    columns = line.split(b"\t")
    kept = [part for part in columns[7].split(b";") if part.split(b"=")[0].decode("latin-1") not in fields.OUR_IDS]
    columns[7] = b";".join(kept)
    return b"\t".join(columns)


@pytest.mark.parametrize("output", ["out.vcf", "out.vcf.gz"])
def test_everything_else_is_byte_identical(world: World, run: Run, tmp_path: Path, output: str) -> None:
    source = tmp_path / "odd.vcf"
    source.write_bytes(odd_vcf(world))
    before = source.read_bytes().splitlines()
    data = run(source, output).read_bytes()
    after = (gzip.decompress(data) if output.endswith("gz") else data).splitlines()
    header_before = [line for line in before if line.startswith(b"#")]
    header_after = [line for line in after if line.startswith(b"#")]
    added = [line for line in header_after if line not in header_before]
    assert header_after == [*header_before[:-1], *added, header_before[-1]]
    assert [line.split(b",")[0] for line in added[:3]] == [
        b"##INFO=<ID=SBERT_KL",
        b"##INFO=<ID=SBERT_STATUS",
        b"##INFO=<ID=SBERT",
    ]
    assert added[3].startswith(b"##sbert_vcf=<")
    assert added[4].startswith(b"##sbert_vcf_command=")
    assert len(added) == 5
    lines_after = after[len(header_after) :]
    for line, original in zip(lines_after, before[len(header_before) :], strict=True):
        assert b";SBERT_KL=-" in b";" + line.split(b"\t")[7]
        empty = original.split(b"\t")[7] in (b"", b".")
        assert without_ours(line) == (without_ours(original.replace(b"\t.\tGT:", b"\t\tGT:")) if empty else original)


def test_what_an_earlier_run_left_is_replaced(
    world: World, vcf: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(vcf, scoring=world.scoring(strand="-"))
    caplog.clear()
    second = run(first, "second.vcf")
    assert body(second) == body(run(vcf, "direct.vcf"))
    said = [record.getMessage() for record in caplog.records if "replaced" in record.getMessage()]
    assert said == ["INFO SBERT, SBERT_KL, SBERT_STATUS in the input: replaced"]
    header = [line for line in second.read_text().splitlines() if line.startswith("##")]
    assert len(header) == len(set(header)) == len([line for line in first.read_text().splitlines() if line[:2] == "##"])
    assert sum(line.startswith("##sbert_vcf=") for line in header) == 1


def test_a_field_of_our_name_by_someone_else_is_replaced(world: World, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.vcf"
    theirs = '##INFO=<Number=0,ID=SBERT_KL,Type=Flag,Description="Theirs">'
    path.write_text(vcf_text([world.snv("chr1", 400, "SBERT_KL;DP=3;SBERT_STATUS=?")], extra=[theirs]))
    out = run(path)
    assert theirs not in out.read_text()
    info = info_of(body(out)[0])
    assert list(info) == ["DP", "SBERT_KL", "SBERT_STATUS", "SBERT"]
    assert info["SBERT_STATUS"] == "OK"


@pytest.mark.parametrize("output", ["out.vcf.gz", "out.bcf"])
def test_htslib_filters_splits_and_queries(world: World, vcf: Path, run: Run, output: str) -> None:
    out = str(run(vcf, output))
    scores = {line.split("\t")[1]: info_of(line)["SBERT_KL"].split(",") for line in body(run(vcf))[:-6]}
    numbers = sorted(float(value) for values in scores.values() for value in values if value != ".")
    limit = numbers[len(numbers) // 2] + 1e-3
    kept = str(pysam.bcftools.view("-H", "-r", "chr1:1-700", "-i", f"SBERT_KL>{limit}", out))
    expected = [pos for pos, values in scores.items() if any(value != "." and float(value) > limit for value in values)]
    assert [line.split("\t")[1] for line in records_of(kept)] == expected
    assert 0 < len(expected) < len(scores)
    split = [line for line in records_of(str(pysam.bcftools.norm("-m-any", out))) if "rs7" in line]
    assert [info_of(line)["SBERT_KL"] for line in split] == scores["700"]
    assert [info_of(line)["SBERT_STATUS"] for line in split] == ["OK", "STAR", "OK"]
    asked = str(pysam.bcftools.query("-f", "%POS %SBERT_KL\n", "-r", "chr1:400-700", out)).splitlines()
    assert asked == [f"{pos} {','.join(values)}" for pos, values in scores.items() if int(pos) >= 400]


@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is not installed")
def test_split_vep_reads_the_packed_field(world: World, vcf: Path, run: Run) -> None:
    listed = subprocess.run(["bcftools", "plugin", "-l"], capture_output=True, text=True, check=True)
    if "split-vep" not in listed.stdout:
        pytest.skip("bcftools has no split-vep plugin here")
    out = run(vcf, "out.bcf", scoring=world.scoring(genes=True, strand="auto"))
    command = ["bcftools", "+split-vep", "-a", "SBERT", "-d", "-f", "%POS %ALLELE_NUM %SYMBOL %STRAND %KL\n", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [row.split() for row in done.stdout.split("\n")]
    assert ["700", "1", "NAME_G1", "1"] in [row[:4] for row in rows]
    assert ["700", "3", "NAME_G1", "1"] in [row[:4] for row in rows]
    assert rows[-2][:4] == ["700", "1", "NAME_G2", "-1"]
    assert float(rows[-2][4]) < 0


def test_region(world: World, vcf: Path, tmp_path: Path) -> None:
    expected = [line for line in records(world) if line.startswith(("chr1\t52", "chr1\t56"))]
    for source in (bgzip(vcf), bgzip(vcf, csi=True), to_bcf(vcf)):
        for region, count in (("chr1:500-599", len(expected)), ("1:500-599", len(expected)), ("chrM", 0)):
            out = tmp_path / "out.vcf"
            tally = annotate(AnnotateOptions(str(source), str(out), region=region, overwrite=True), world.scoring())
            assert tally[Status.OK] == count
            assert [line.split("\t")[:5] for line in body(out)] == [line.split("\t")[:5] for line in expected[:count]]


@pytest.mark.parametrize(
    ("name", "contigs"),
    [("chr1", ["chr1", "chr2", "chrM"]), ("1", ["1", "2", "M", "MT"])],
)
def test_bcf_gets_contig_lines_from_the_fasta(
    world: World, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, contigs: list[str]
) -> None:
    path = tmp_path / "x.vcf"
    path.write_text(vcf_text([world.snv("chr1", 400, name=name), world.snv("chr1", 500, name=name)], contigs=()))
    out = run(path, "x.bcf")
    with pysam.VariantFile(str(out)) as bcf:
        assert set(contigs) <= set(bcf.header.contigs) <= {*contigs, "chrMT"}
        assert bcf.header.contigs[name].length == len(world.bases["chr1"])
        assert [record.contig for record in bcf] == [name, name]
    assert "has no ##contig lines" in caplog.text
    assert "##contig" not in run(path).read_text()


def test_bcf_without_contig_lines_that_the_fasta_could_give(world: World, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.vcf"
    path.write_text(vcf_text([world.snv("chr1", 400, name="NC_000001.11")], contigs=()))
    with pytest.raises(InputError, match=r"NC_000001.11:400: contig NC_000001.11 is not declared"):
        run(path, "x.bcf")
    path.write_text(vcf_text([world.snv("chr1", 400), world.snv("chr2", 400)], contigs=CONTIG_LINES[:1]))
    with pytest.raises(InputError, match="chr2:400: contig chr2 is not declared"):
        run(path, "x.bcf")
    assert [file.name for file in tmp_path.iterdir()] == ["x.vcf"]
    path.write_text(vcf_text([], contigs=()))
    assert records_of(str(pysam.bcftools.view("-H", str(run(path, "x.bcf"))))) == []


def test_contig_that_the_fasta_lacks_is_a_status(world: World, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.vcf"
    path.write_text(vcf_text(["chrUn\t5\t.\tA\tC\t.\t.\t.", world.snv("chr1", 400)]))
    assert [info_of(line)["SBERT_STATUS"] for line in body(run(path))] == ["CONTIG_MISSING", "OK"]


def mismatches(world: World, count: int) -> list[str]:
    """Records whose REF is not the FASTA's."""
    lines = []
    for pos in range(400, 400 + count):
        ref = next(base for base in "ACGT" if base != world.base("chr1", pos))
        lines.append(f"chr1\t{pos}\t.\t{ref}\t{'CA'[ref == 'C']}\t.\t.\t.")
    return lines


def test_wrong_build_stops_after_1000_records(
    world: World, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.vcf"
    path.write_text(vcf_text(mismatches(world, 1100)))
    with pytest.raises(
        InputError, match=r"in 1000 of the first 1000 records: the genome build looks wrong; .* --force"
    ):
        run(path)
    assert [file.name for file in tmp_path.iterdir()] == ["x.vcf"]
    assert len(body(run(path, force=True))) == 1100
    assert "in 1100 of 1100 records: the genome build looks wrong" in caplog.text


def test_few_mismatches_only_warn(world: World, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.vcf"
    unseen = [f"chr1\t9\t.\tA\t{alt}\t.\t.\t." for alt in ("*", "<DEL>", "N[chr1:5[")]
    path.write_text(vcf_text([*mismatches(world, 2), world.snv("chr1", 600), *unseen]))
    assert len(body(run(path))) == 6
    assert "x.vcf: REF disagrees with" in caplog.text
    assert "in 2 of 3 records: the genome build looks wrong" in caplog.text
    caplog.clear()
    path.write_text(vcf_text([*mismatches(world, 2), world.snv("chr1", 600), world.snv("chr1", 601), *unseen]))
    run(path)
    assert "genome build" not in caplog.text


def test_output_is_never_the_input(world: World, vcf: Path, tmp_path: Path) -> None:
    (tmp_path / "soft.vcf").symlink_to(vcf)
    (tmp_path / "hard.vcf").hardlink_to(vcf)
    before = vcf.read_bytes()
    for name in ("in.vcf", "soft.vcf", "hard.vcf", "../" + tmp_path.name + "/in.vcf"):
        for overwrite in (False, True):
            with pytest.raises(OutputError, match="is the input itself"):
                annotate(AnnotateOptions(str(vcf), str(tmp_path / name), overwrite=overwrite), world.scoring())
    assert vcf.read_bytes() == before


def test_output_that_exists_or_cannot(world: World, vcf: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.vcf"
    out.write_text("old")
    for output, words in (
        (out, "exists already; use --overwrite"),
        (tmp_path / "no" / "out.vcf", "its folder does not exist"),
        (tmp_path, "is a folder; name a file"),
    ):
        with pytest.raises(OutputError, match=words):
            annotate(AnnotateOptions(str(vcf), str(output)), world.scoring())
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.vcf", "out.vcf"]


def test_consequence_field_that_is_not_there(world: World, vcf: Path, run: Run) -> None:
    with pytest.raises(InputError, match="INFO NO is not declared in the header"):
        run(vcf, scoring=world.scoring(strand="auto", csq_field="NO"))


def test_reference_from_the_header(
    world: World, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SBERT_VCF_REFERENCE", raising=False)
    monkeypatch.setenv("SBERT_VCF_CONFIG", str(tmp_path / "none.ini"))
    path = tmp_path / "x.vcf"
    path.write_text(vcf_text([world.snv("chr1", 400)], extra=[f"##reference=file://{world.fasta}"]))
    scoring = ScoringOptions(model=str(world.model), strand="+", device="cpu", threads=1)
    assert info_of(body(run(path, scoring=scoring))[0])["SBERT_STATUS"] == "OK"
    assert f"reference: {world.fasta}, from the input's ##reference line" in caplog.text


def test_provenance(world: World, vcf: Path, run: Run) -> None:
    (line,) = (line for line in run(vcf).read_text().splitlines() if line.startswith("##sbert_vcf=<"))
    for part in ('Version="', f'Model="{world.model}"', 'ModelSHA256="', 'Window="402"', 'Device="cpu"', 'Strand="+"'):
        assert part in line
    assert f'Reference="{world.fasta.name}"' in line
    with pysam.VariantFile(str(run(vcf, "out.bcf"))) as bcf:
        assert line in str(bcf.header)


def test_command_line_of_several_lines_stays_one_header_line(
    world: World, vcf: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["sbert-vcf", "annotate", "odd\nname.vcf"])
    assert "##sbert_vcf_command=sbert-vcf annotate 'odd name.vcf'\n" in run(vcf).read_text()


def test_progress(world: World, vcf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    count = len(records(world))
    for source, total in ((bgzip(vcf), f"100%|██████████| {count}/{count} ["), (vcf, f"{count} variants [")):
        annotate(AnnotateOptions(str(source), "-", progress=True), world.scoring())
        out, err = capfd.readouterr()
        last = err.split("\r")[-1]
        assert total in last
        assert "variants/s, 56% scored]" in last
        assert len(records_of(out)) == count
        assert out.startswith("##fileformat")
    annotate(AnnotateOptions(str(vcf), str(tmp_path / "out.vcf")), world.scoring())
    assert capfd.readouterr() == ("", "")


def test_transformers_is_not_imported(world: World, vcf: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from sbert_vcf.cli import cli; cli(sys.argv[1:], standalone_mode=False); "
        "sys.exit('transformers' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "annotate", str(vcf), "-q", "-o", str(tmp_path / "o.vcf"), *world.options()]
    path = os.pathsep.join(str(Path(__file__).resolve().parent.parent / folder) for folder in (".", "model"))
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path})

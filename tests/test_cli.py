"""sbert_vcf.cli: exit codes, what goes to stdout and stderr, wrong usage and wrong input, signals and closed pipes."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pysam
import pytest
from click.testing import CliRunner

from sbert_vcf import __version__
from sbert_vcf.cli import cli, main
from sbert_vcf.line_source import BGZF_EOF
from tests.models import write_random_token_classifier
from tests.world import World, as_stdin, bgzip, block_starts, build_world, records_of, to_bcf, vcf_text

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in (".", "model", "train")),
    "SBERT_VCF_CONFIG": "/nonexistent/config.ini",
}
COMMAND = [sys.executable, "-m", "sbert_vcf"]


class Done(NamedTuple):
    code: int
    out: bytes
    err: str


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def vcf(world: World, tmp_path: Path) -> Path:
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text([world.snv("chr1", pos) for pos in (400, 500, 600)]))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run the command line in this process."""
    monkeypatch.setenv("SBERT_VCF_CONFIG", "/nonexistent/config.ini")
    monkeypatch.delenv("SBERT_VCF_REFERENCE", raising=False)

    def go(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["sbert-vcf", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capfdbinary.readouterr()
        assert isinstance(stopped.value.code, int)
        return Done(stopped.value.code, out, err.decode())

    return go


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['sbert-vcf', sys.argv[1]]\n"
        "from sbert_vcf.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'numpy', 'pysam', 'cyvcf2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")
    for name in ("annotate", "score", "mutagenesis", "models", "cache", "train"):
        assert f"\n  {name} " in done.stdout


def test_module_is_the_command() -> None:
    done = subprocess.run([*COMMAND, "--version"], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout == f"sbert-vcf, version {__version__}\n"


@pytest.mark.parametrize("command", [[], ["annotate"], ["score"], ["mutagenesis"], ["models"]])
def test_help(command: list[str]) -> None:
    for option in ("-h", "--help"):
        done = CliRunner().invoke(cli, [*command, option])
        assert done.exit_code == 0
        assert done.output.startswith("Usage: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Usage:"),
        (["nothing"], "No such command 'nothing'"),
        (["annotate"], "Missing argument 'VCF'"),
        (["annotate", "x.vcf", "--nothing"], "No such option"),
        (["annotate", "x.vcf", "-O", "x"], "Invalid value for '-O'"),
        (["annotate", "x.vcf", "--batch-size", "0"], "Invalid value for '--batch-size'"),
        (["annotate", "x.vcf", "--strand", "genes"], "--strand genes needs --genes"),
        (["score"], "Missing argument"),
        (["score", "chr1:5:A:C", "--strand", "genes"], "--strand genes needs --genes"),
        (["score", "chr1:5:A:C", "--strand", "csq"], "--strand csq is for annotate"),
    ],
)
def test_wrong_usage(run: Run, arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert done.out == b""
    assert words in done.err
    assert "Traceback" not in done.err


def test_vcf_on_stdout_and_the_model_on_stderr(run: Run, world: World, vcf: Path) -> None:
    done = run("annotate", vcf, *world.options())
    assert done.code == 0
    lines = done.out.decode().splitlines()
    assert lines[0] == "##fileformat=VCFv4.2"
    assert len(records_of(done.out)) == 3
    first, last = done.err.splitlines()
    assert first.startswith(f"sbert-vcf: model: {world.model} (sha256 ")
    assert first.endswith("float32 on cpu")
    assert last.startswith("sbert-vcf: OK 3 in ")


@pytest.mark.parametrize("letter", ["v", "z", "u", "b"])
def test_formats_on_stdout(run: Run, world: World, vcf: Path, tmp_path: Path, letter: str) -> None:
    done = run("annotate", vcf, "-q", "-O", letter, *world.options())
    assert (done.code, done.err) == (0, "")
    copy = tmp_path / "copy"
    copy.write_bytes(done.out)
    assert copy.read_bytes()[:2] == (b"##" if letter == "v" else b"\x1f\x8b")
    with pysam.VariantFile(str(copy)) as read:
        assert [(record.pos, record.info["SBERT_STATUS"]) for record in read] == [
            (pos, ("OK",)) for pos in (400, 500, 600)
        ]


def test_stdin(run: Run, world: World, vcf: Path) -> None:
    expected = records_of(run("annotate", vcf, *world.options()).out)
    for source in (vcf, bgzip(vcf), to_bcf(vcf)):
        with as_stdin(source.read_bytes()):
            assert records_of(run("annotate", "-", *world.options()).out) == expected


def test_options_reach_the_run(run: Run, world: World, vcf: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.vcf.gz"
    assert run("annotate", bgzip(vcf), "-o", out, "--region", "1:500", "--no-index", *world.options()).code == 0
    assert len(records_of(gzip.decompress(out.read_bytes()))) == 1
    assert not Path(f"{out}.tbi").exists()
    assert run("annotate", vcf, "-o", out, "--overwrite", "-O", "v", "--delta", *world.options()).code == 0
    assert "SBERT_DELTA=" in out.read_text()
    done = run("annotate", vcf, "--progress", *world.options(), "--strand", "auto")
    assert "100% scored]" in done.err
    assert "sbert-vcf: warning: no strand source" in done.err
    done = run("annotate", vcf, "-v", *world.options(), "--batch-size", "2")
    assert "sbert-vcf: window: 402 nt; 2 alleles at a time; 1 CPU threads; strands: +\n" in done.err
    assert "sbert-vcf: windows: 6 asked for, 6 run\n" in done.err


def test_branchpoint_options_reach_the_run(run: Run, world: World, vcf: Path, tmp_path: Path) -> None:
    model = write_random_token_classifier(tmp_path / "bp", hidden=8, heads=1, layers=1)
    options = [*world.options(), "--genes", world.genes, "--branchpoint-model", model]
    done = run("annotate", vcf, "-v", *options, "--bp-distance", "200")
    assert "sbert-vcf: branchpoint model: " in done.err
    assert "sbert-vcf: branchpoint windows: 0 asked for, 0 run\n" in done.err  # the genes have no introns
    assert b"##INFO=<ID=SBERT_BP,Number=A,Type=Float," in done.out
    assert b'BranchpointModel="' in done.out
    none = run("annotate", vcf, *world.options(), "--genes", world.genes, "--branchpoint-model", "none").out
    assert b"SBERT_BP" not in none
    assert b"BranchpointModel" not in none
    assert run("annotate", vcf, *options, "--bp-distance", "242").code == 2
    assert run("score", f"1:400:{world.base('chr1', 400)}:N", *options).out.split(b"\n")[0].endswith(b"kl\tss\tbp")


def test_the_bundled_branchpoint_model_is_used_where_acceptors_are_known(
    run: Run, world: World, vcf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_random_token_classifier(tmp_path / "weights" / "bundled-branchpoint", hidden=8, heads=1, layers=1)
    monkeypatch.setattr("sbert_model.registry.resources", SimpleNamespace(files=lambda package: tmp_path))
    options = ["-r", world.fasta, "-m", world.model, "--strand", "+", "--device", "cpu", "--threads", "1"]
    done = run("annotate", vcf, *options, "--genes", world.genes)
    assert b"##INFO=<ID=SBERT_BP,Number=A,Type=Float," in done.out
    assert "sbert-vcf: branchpoint model: bundled-branchpoint (sha256 " in done.err
    done = run("annotate", vcf, *options)
    assert b"SBERT_BP" not in done.out
    assert "branchpoint model" not in done.err
    # Said, but no warning: nobody asked.
    told = "SBERT_BP is left out: no acceptors are known; give --genes with exons, or run VEP with --hgvs\n"
    assert f"sbert-vcf: {told}" in done.err
    done = run("annotate", vcf, *options, "--branchpoint-model", "bundled-branchpoint")
    assert f"sbert-vcf: warning: {told}" in done.err
    done = run("annotate", vcf, *options, "--branchpoint-model", "none")
    assert "SBERT_BP" not in done.err


def test_models_of_the_wrong_kind(run: Run, world: World, vcf: Path, tmp_path: Path) -> None:
    model = write_random_token_classifier(tmp_path / "bp", hidden=8, heads=1, layers=1)
    done = run("annotate", vcf, *world.options(), "-m", model)
    assert (done.code, done.out) == (1, b"")
    assert done.err == (
        f"sbert-vcf: error: {model}/config.json: the model is BertForTokenClassification, expected a masked language "
        "model (BertForMaskedLM)\n"
    )
    done = run("annotate", vcf, *world.options(), "--branchpoint-model", world.model)
    assert (done.code, done.out) == (1, b"")
    assert done.err == (
        f"sbert-vcf: error: {world.model}/config.json: the model is BertForMaskedLM, expected a token classifier "
        "(BertForTokenClassification)\n"
    )
    missing = run("annotate", vcf, *world.options(), "--branchpoint-model", tmp_path / "missing")
    assert missing.code == 1
    assert missing.err.startswith(f"sbert-vcf: error: {tmp_path}/missing: no such model folder")


def test_quiet_tells_errors(run: Run, tmp_path: Path, world: World) -> None:
    done = run("annotate", tmp_path / "none.vcf", "-q", *world.options())
    assert done == (1, b"", f"sbert-vcf: error: {tmp_path}/none.vcf: no such file\n")


def test_verbosity_does_not_stay(run: Run, world: World, vcf: Path) -> None:
    assert run("annotate", vcf, "-q", *world.options()).err == ""
    assert "model: " in run("annotate", vcf, *world.options()).err


def truncated_gz(world: World, folder: Path) -> list[object]:
    path = bgzip(plain(world, folder))
    path.write_bytes(path.read_bytes()[:-40])
    return [path]


def plain(world: World, folder: Path) -> Path:
    path = folder / "x.vcf"
    path.write_text(vcf_text([world.snv("chr1", 400)]))
    return path


def file(name: str, content: str | bytes) -> Callable[[World, Path], list[object]]:
    def make(world: World, folder: Path) -> list[object]:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [path]

    return make


def without_last_block(world: World, folder: Path) -> list[object]:
    path = bgzip(plain(world, folder))
    path.write_bytes(path.read_bytes().removesuffix(BGZF_EOF))
    return [path]


def truncated_bcf(world: World, folder: Path) -> list[object]:
    path = to_bcf(plain(world, folder))
    data = path.read_bytes()
    path.write_bytes(data[: block_starts(data)[-1] - 20])
    return [path]


def with_options(*options: str) -> Callable[[World, Path], list[object]]:
    return lambda world, folder: [plain(world, folder), *(option.format(folder=folder) for option in options)]


def bad_alias(world: World, folder: Path) -> list[object]:
    table = folder / "alias.tsv"
    table.write_text("one\n")
    return [plain(world, folder), "--alias", table]


def fasta_without_index(world: World, folder: Path) -> list[object]:
    fasta = folder / "new.fa"
    fasta.write_bytes(world.fasta.read_bytes())
    # A place where nobody can write, not even root.
    Path(f"{fasta}.fai").symlink_to("/nonexistent/new.fa.fai")
    return [plain(world, folder), "-r", fasta]


def no_column_line(world: World, folder: Path) -> list[object]:
    path = folder / "x.vcf"
    path.write_text(vcf_text([world.snv("chr1", 400)]).replace("#CHROM", "CHROM"))
    return [path]


def bad_record(line: str) -> Callable[[World, Path], list[object]]:
    return lambda world, folder: file("x.vcf", vcf_text([world.snv("chr1", 400), line]))(world, folder)


BAD_INPUT: dict[str, tuple[Callable[[World, Path], list[object]], str]] = {
    "missing": (lambda world, folder: [folder / "none.vcf"], "none.vcf: no such file"),
    "empty": (file("x.vcf", ""), "x.vcf: is empty"),
    "text": (file("x.vcf", "some\ttext\n"), "line 1: the header of a VCF ends"),
    "binary": (file("x.vcf", bytes(range(256))), "x.vcf: line 1"),
    "no-columns": (no_column_line, "the header of a VCF ends with a line #CHROM"),
    "truncated-gz": (truncated_gz, "x.vcf.gz: truncated"),
    "no-last-block": (without_last_block, "bgzip's end-of-file block is missing"),
    "damaged-gz": (file("x.vcf.gz", b"\x1f\x8b\x08\x00rubbish"), "x.vcf.gz: "),
    "truncated-bcf": (truncated_bcf, "truncated"),
    "column-count": (bad_record("chr1\t5\t.\tA"), "4 columns where the #CHROM line has 8"),
    "position": (bad_record("chr1\tfive\t.\tA\tC\t.\t.\t."), "no VCF record: 'chr1 five . A C'"),
    "fasta": (with_options("-r", "none.fa"), "none.fa: no such FASTA"),
    "fasta-index": (fasta_without_index, "new.fa: has no"),
    "genes": (with_options("-g", "none.gtf"), "none.gtf"),
    "model": (with_options("-m", "splicebertt"), "there is no model or folder called 'splicebertt': did you mean"),
    "alias": (bad_alias, "alias.tsv:1: expected two"),
    "csq": (with_options("--csq-field", "NO", "--strand", "auto"), "INFO NO is not declared"),
    "strand-csq": (with_options("--strand", "csq"), "--strand csq needs a consequence field"),
    "device": (with_options("--device", "abacus"), "device 'abacus' is not available"),
    "folder": (with_options("-o", "{folder}/no/out.vcf"), "its folder does not exist"),
    "is-folder": (with_options("-o", "{folder}"), "is a folder"),
    "same": (with_options("-o", "{folder}/x.vcf", "--overwrite"), "is the input itself"),
    "region": (with_options("--region", "chr1"), "--region needs a bgzipped VCF or a BCF with an index"),
    "undeclared": (lambda world, folder: [*bad_record("chr9\t5\t.\tA\tC\t.\t.\t.")(world, folder), "-O", "b"], "chr9"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input(run: Run, world: World, tmp_path: Path, case: str) -> None:
    make, words = BAD_INPUT[case]
    arguments = make(world, tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    done = run("annotate", "-o", tmp_path / "out.vcf.gz", "-q", *world.options(), *arguments)
    assert done.code == 1
    assert done.err.startswith("sbert-vcf: error: ")
    assert words in done.err
    assert done.err.count("\n") == 1
    assert done.out == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_existing_output(run: Run, world: World, vcf: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.vcf"
    out.write_text("old")
    done = run("annotate", vcf, "-o", out, *world.options())
    assert done == (1, b"", f"sbert-vcf: error: {out}: exists already; use --overwrite to replace it\n")
    assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("text", "words"),
    [("chr1:5:A", "expected contig:position:ref:alt"), ("chr1:x:A:C", "variant 'chr1:x:A:C'"), ("", "variant ''")],
)
def test_bad_variant_text(run: Run, world: World, text: str, words: str) -> None:
    done = run("score", text, *world.options())
    assert (done.code, done.out) == (1, b"")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_score(run: Run, world: World) -> None:
    ref = world.base("chr1", 500)
    alt = "ACGT"["ACGT".index(ref) - 1]
    done = run("score", f"1:500:{ref}:{alt}", "chr1:5:A:*", *world.options())
    assert done.code == 0
    assert [line.split("\t")[:2] for line in done.out.decode().splitlines()] == [
        ["variant", "status"],
        [f"1:500:{ref}:{alt}", "OK"],
        ["chr1:5:A:*", "STAR"],
    ]
    assert "model: " in done.err
    (scored,) = json.loads(run("score", f"1:500:{ref}:{alt}", "--json", "-q", *world.options()).out)
    assert scored["status"] == "OK"
    assert scored["allele"] == {"contig": "chr1", "start": 499, "end": 500, "alt": alt}


def test_score_is_that_of_annotate(run: Run, world: World, vcf: Path) -> None:
    (line, *_) = records_of(run("annotate", vcf, *world.options()).out)
    contig, pos, _, ref, alt = line.split("\t")[:5]
    table = run("score", f"{contig}:{pos}:{ref}:{alt}", *world.options()).out.decode().splitlines()
    row = dict(zip(table[0].split("\t"), table[1].split("\t"), strict=True))
    assert f"SBERT_KL={row['kl']};" in line


def many(world: World, folder: Path, count: int) -> Path:
    """A VCF whose records need no model."""
    path = folder / "many.vcf"
    path.write_text(vcf_text([f"chr1\t{pos}\t.\tA\t*\t.\t.\tTEXT={'x' * 500}" for pos in range(1, count + 1)]))
    return path


@pytest.mark.parametrize("letter", ["v", "u"])
def test_reader_that_goes_away(world: World, tmp_path: Path, letter: str) -> None:
    """As in `sbert-vcf annotate x.vcf | head -1`."""
    command = [*COMMAND, "annotate", str(many(world, tmp_path, 2000)), "-q", "-O", letter, *world.options()]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(20)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("letter", ["v", "b"])
def test_stdout_on_a_full_disk(world: World, vcf: Path, letter: str) -> None:
    command = [*COMMAND, "annotate", str(vcf), "-q", "-O", letter, *world.options()]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "sbert-vcf: error: standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "\nsbert-vcf: interrupted\n"), (signal.SIGTERM, 143, "")]
)
def test_signal_while_it_annotates(world: World, tmp_path: Path, number: int, code: int, said: str) -> None:
    """The input stays open, so that the run is in the middle of its work whenever the signal comes."""
    out = tmp_path / "out.vcf.gz"
    command = [*COMMAND, "annotate", "-", "-q", "-o", str(out), *world.options()]
    with subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (as a job, tests ignore it)
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(vcf_text([world.snv("chr1", pos) for pos in range(400, 500)]).encode())
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not list(tmp_path.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert [path.name for path in tmp_path.iterdir()] == [f".out.vcf.gz.{process.pid}.tmp.vcf.gz"]
        process.send_signal(number)
        assert process.wait(60) == code
        assert process.stderr.read().decode() == said
    assert list(tmp_path.iterdir()) == []

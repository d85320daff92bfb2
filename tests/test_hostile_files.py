"""Names that a shell, htslib or a header could take for something else, and files that ask for too much."""

import gzip
import io
import json
import shutil
import struct
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pysam
import pytest
import torch

from sbert_model import text_lines
from sbert_model.annotation import read_transcripts
from sbert_model.checkpoint import load_masked_lm
from sbert_model.errors import InputError, ModelError
from sbert_model.fasta import open_fasta
from sbert_vcf import fields
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.cli import main
from sbert_vcf.options import ScoringOptions
from sbert_vcf.results import AlleleResult, GeneScore
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Status
from tests.models import write_random_masked_lm
from tests.world import World, bgzip, build_world, records_of, to_bcf, vcf_text

NAMES = [
    "a;touch x",
    "-rf",
    "-ox",
    "$(touch x)",
    "`touch x`",
    "|touch x",
    "> x",
    "with  spaces",
    "quo'te\"d,x=1>",
    "back\\slash",
    "new\nline\t##x=1",
    "\x1b[2J",
    "http:x",
    "s3:x",
    "file:x",
    "data:,x",
    "%s%n%2F",
    "Größe",
    "\udcff no UTF-8",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_are_names(name: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths of this name for every file: all of them work, and nothing else appears beside them."""
    plain = tmp_path / "plain.vcf"
    plain.write_text(vcf_text([world.snv("chr1", 350), world.snv("chr2", 400)]))
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(world.fasta, folder / f"{name}.fa")
    shutil.copy(world.genes, folder / f"{name}.gtf")
    for made in (plain, bgzip(plain), to_bcf(plain)):
        for path in tmp_path.glob(f"{made.name}*"):
            if path.is_file():
                shutil.copy(path, folder / (name + path.name))
    monkeypatch.chdir(folder)
    before = {path.name for path in folder.iterdir()}
    monkeypatch.setattr(sys, "argv", ["sbert-vcf", "annotate", f"{name}.vcf", "-r", f"{name}.fa"])
    scoring = ScoringOptions(
        reference=f"{name}.fa", genes=f"{name}.gtf", model=str(world.model), branchpoint_model="none", device="cpu",
        threads=1,
    )  # fmt: skip
    for source, region in [
        ("plain.vcf", None),
        ("plain.vcf.gz", "chr2"),
        ("plain.b.bcf", "chr2"),
        ("plain.b.bcf", None),
    ]:
        output = f"{name}.out.vcf.gz"
        tally = annotate(AnnotateOptions(name + source, output, region=region, overwrite=True), scoring)
        assert tally == {Status.OK: 1 if region else 2}
        lines = gzip.decompress(Path(output).read_bytes()).decode("utf-8", "surrogateescape").split("\n")
        assert [line.split("=")[0] for line in lines if "sbert_vcf" in line] == ["##sbert_vcf", "##sbert_vcf_command"]
        assert all(line.startswith("##") for line in lines[: lines.index(next(x for x in lines if x[:6] == "#CHROM"))])
        if "\udcff" not in name:
            with pysam.VariantFile(str(folder / output)) as read:
                [run] = [record for record in read.header.records if record.key == "sbert_vcf"]
                assert run["ReferenceIndexSHA256"].strip('"').isalnum()
    written = {f"{name}.fa.fai", f"{name}.out.vcf.gz", f"{name}.out.vcf.gz.tbi"}
    assert {path.name for path in folder.iterdir()} == before | written


@pytest.mark.parametrize("name", ["https://127.0.0.1:9/x", "s3://bucket/x", "data:,x", "/dev/null"])
def test_what_is_no_file_is_not_looked_up_elsewhere(name: str, world: World) -> None:
    scoring = ScoringOptions(reference=str(world.fasta), model=str(world.model), branchpoint_model="none")
    with pytest.raises(InputError, match=r"no such file|is empty"):
        annotate(AnnotateOptions(name), scoring)
    with pytest.raises(InputError, match=r"FASTA|with its index|has no .*fai"):
        open_fasta(Path(name))
    with pytest.raises(InputError, match="gene annotation"):
        read_transcripts(Path("" if name == "/dev/null" else name) / "x.gtf")


def test_a_message_is_one_line_whatever_it_names(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text([world.snv("chr1", 350, name="chr\x1b]0;owned\x07\x0b1")]))
    said = []
    for source in (str(path), "no\nsuch.vcf"):
        monkeypatch.setattr(sys, "argv", ["sbert-vcf", "annotate", source, *world.options()])
        with pytest.raises(SystemExit):
            main()
        said.append(capsys.readouterr().err)
    assert r"(first: chr\x1b]0;owned\x07\x0b1) get CONTIG_MISSING" in said[0]
    assert said[0].replace("\n", "").isprintable()
    assert said[1].splitlines() == [r"sbert-vcf: error: no\nsuch.vcf: no such file"]


@pytest.mark.parametrize("text", ["a;b", "a,b|c=d", "a\tb\r\nc", "a b", "\x00\x1b\x7f", "%3B%"])
def test_a_value_cannot_leave_its_field(text: str) -> None:
    place = Placement("+", "GTF", text, text, text, text)
    written = fields.info_text([AlleleResult("T", 1, Status.OK, (GeneScore(place, -1.5),))], ())
    parts = dict(part.split("=") for part in written.split(";"))
    assert parts.keys() == {"SBERT_KL", "SBERT_STATUS", "SBERT"}
    assert parts["SBERT"].count("|") == len(fields.PACKED_COLUMNS) - 1
    assert "," not in parts["SBERT"]
    assert written.isprintable()
    assert not any(letter.isspace() for letter in written)


def test_the_record_path_survives_values_of_genes(world: World, tmp_path: Path) -> None:
    """Names of a GTF that would break a VCF line come out as one value."""
    genes = tmp_path / "genes.gtf"
    name = "A;B,C=D|E\x00\x0bF"
    genes.write_text(
        f'chr1\tx\texon\t301\t1700\t.\t+\t.\tgene_id "G 1"; transcript_id "T,1"; gene_name "{name.split(";")[0]}";\n'
        f'chr1\tx\texon\t301\t1700\t.\t+\t.\tgene_id "{name[2:]}"; transcript_id "T|2";\n'
    )
    path, output = tmp_path / "in.vcf", tmp_path / "out.vcf"
    path.write_text(vcf_text([world.snv("chr1", 350)]))
    scoring = ScoringOptions(
        reference=str(world.fasta), genes=str(genes), model=str(world.model), branchpoint_model="none", threads=1
    )
    annotate(AnnotateOptions(str(path), str(output)), scoring)
    [line] = records_of(output.read_bytes())
    entries = dict(part.partition("=")[::2] for part in line.split("\t")[7].split(";"))["SBERT"].split(",")
    assert sorted(entry.split("|")[4] for entry in entries) == ["B%2CC%3DD%7CE%00%0BF", "G%201"]
    assert line.count("\t") == 7


def model_folder(folder: Path, **config: object) -> Path:
    path = write_random_masked_lm(folder / "model", hidden=16, layers=1, heads=2, max_nt=64)
    values = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**values, **config}))
    return path


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden_size": 1 << 40}, "config.json asks for a network of"),
        ({"num_hidden_layers": 10**9}, "config.json asks for a network of"),
        ({"max_position_embeddings": 10**12}, "config.json asks for a network of"),
        ({"intermediate_size": 10**30}, "config.json asks for a network of"),
        ({"hidden_size": -16}, "hidden_size is -16, expected a positive whole number"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"hidden_size": 1.5}, "hidden_size is 1.5"),
        ({"num_labels": "2" * 99, "id2label": None}, "num_labels is '2"),
    ],
)
def test_sizes_that_no_model_has(tmp_path: Path, config: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_masked_lm(model_folder(tmp_path, **config))


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "1" * 5000])
def test_a_config_without_end(tmp_path: Path, text: str) -> None:
    folder = model_folder(tmp_path)
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json: not valid JSON") as raised:
        load_masked_lm(folder)
    assert "\n" not in str(raised.value)


def safetensors_of(header: object) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(64)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", (1 << 64) - 1) + b"{}",
        struct.pack("<Q", 1 << 40) + b"{}",
        safetensors_of(b"[" * 200_000),
        safetensors_of({"a": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 64]}}),
        safetensors_of({"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}),
        safetensors_of({"a": {"dtype": "F32", "shape": [4], "data_offsets": [48, 32]}}),
        safetensors_of({"a": {"dtype": "F32", "shape": [4], "data_offsets": [1 << 50, (1 << 50) + 16]}}),
        safetensors_of({name: {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]} for name in "ab"}),
    ],
)
def test_safetensors_of_impossible_sizes(tmp_path: Path, data: bytes) -> None:
    folder = model_folder(tmp_path)
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors: broken or incomplete"):
        load_masked_lm(folder)


def test_weights_that_unpack_to_more_than_themselves(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    stored = io.BytesIO()
    torch.save({"a": torch.zeros(4_000_000)}, stored)
    packed = folder / "pytorch_model.bin"
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    (folder / "model.safetensors").unlink()
    assert packed.stat().st_size < 100_000
    with pytest.raises(ModelError, match=r"bytes that unpack to 16,\d\d\d,\d\d\d, which no PyTorch file does"):
        load_masked_lm(folder)


LINE = b"x" * 999


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"#%s\n" % LINE, "no gene, transcript or exon"),
        (b"chr1\tx\tCDS\t1\t9\t.\t+\t0\tgene_id %s\n" % LINE, "no gene, transcript or exon"),
        (b" " * 999 + b"\n", "no gene, transcript or exon"),
        (LINE, "has a line of over 1,000,000 bytes"),
    ],
)
def test_a_gzip_bomb_in_place_of_genes(
    tmp_path: Path, line: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 30 MB that a small file unpacks to, little more than a line is ever held."""
    monkeypatch.setattr(text_lines, "LONGEST_LINE", 1_000_000)
    path = tmp_path / "genes.gtf.gz"
    with gzip.open(path, "wb", compresslevel=6) as file:
        for _ in range(300):
            file.write(line * 100)
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message):
            read_transcripts(path)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()

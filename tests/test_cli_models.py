"""sbert_vcf.cli_models: `sbert-vcf models list | info | fetch | use`."""

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
from click.testing import CliRunner, Result

from sbert_model import registry
from sbert_model.errors import ModelError, SbertError
from sbert_vcf import settings
from sbert_vcf.cli import cli
from tests.models import write_random_token_classifier

CONFIG = json.dumps(
    {
        "architectures": ["BertForMaskedLM"],
        "hidden_size": 512,
        "intermediate_size": 2048,
        "max_position_embeddings": 1026,
        "num_attention_heads": 16,
        "num_hidden_layers": 6,
        "vocab_size": 10,
    }
).encode()
FILES = {"config.json": CONFIG, "vocab.txt": b"A\n", "pytorch_model.bin": bytes(1_300_000)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no configuration, a package without bundled weights, digests of FILES."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    model = dataclasses.replace(registry.MODELS["splicebert"], sha256=digests)
    monkeypatch.setitem(registry.MODELS, "splicebert", model)
    monkeypatch.setattr("sbert_model.registry.resources", SimpleNamespace(files=lambda package: tmp_path / "package"))
    monkeypatch.setenv("SBERT_VCF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SBERT_VCF_CONFIG", str(tmp_path / "config.ini"))
    monkeypatch.setenv("SBERT_VCF_MODELS_URL", "http://127.0.0.1:1/models.tar.gz")
    return tmp_path / "cache" / "models"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["models", *map(str, arguments)])


def output(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exception is None
    return result.stdout


def error(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, SbertError)
    assert result.stdout == ""
    return str(result.exception)


def install(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def facts(*arguments: str | Path) -> dict[str, str]:
    """The lines of `info` as a dictionary."""
    pairs = (line.split("  ", 1) for line in output(*arguments).splitlines())
    return {key: value.strip() for key, value in pairs}


def test_list_an_empty_installation(tmp_path: Path) -> None:
    weights = tmp_path / "package" / "weights"
    assert [line.split() for line in output("list").splitlines()] == [
        ["NAME", "KIND", "INSTALLED", "SIZE", "WINDOW", "WHERE"],
        ["*", "bundled", "masked", "LM", "no", "-", "-", str(weights / "bundled")],
        ["bundled-branchpoint", "branchpoint", "no", "-", "-", str(weights / "bundled-branchpoint")],
        *(
            [name, "masked", "LM", "no", "-", "-", "sbert-vcf", "models", "fetch", name]
            for name in ("splicebert", "splicebert-510", "splicebert-human")
        ),
    ]


def test_list_an_installed_default(cache: Path) -> None:
    folder = install(cache / "SpliceBERT.1024nt")
    settings.save_model("splicebert")
    lines = output("list").splitlines()
    assert lines[3].split() == ["*", "splicebert", "masked", "LM", "yes", "1.3", "MB", "1024", "nt", str(folder)]
    assert [line[0] for line in lines[1:]] == [" ", " ", "*", " ", " "]
    assert len({line.index(cell) for line, cell in zip(lines, ("WHERE", "/", "/"), strict=False)}) == 1


def test_list_an_installed_branchpoint_model(tmp_path: Path) -> None:
    folder = write_random_token_classifier(tmp_path / "package" / "weights" / "bundled-branchpoint", hidden=8, heads=1)
    line = output("list").splitlines()[2].split()
    assert line[:4] == ["*", "bundled-branchpoint", "branchpoint", "yes"]
    assert line[-3:] == ["510", "nt", str(folder)]


def test_list_a_default_that_is_a_folder(tmp_path: Path) -> None:
    folder = install(tmp_path / "mine")
    settings.save_model(str(folder))
    lines = output("list").splitlines()
    assert lines[-1].split() == ["*", str(folder), "masked", "LM", "yes", "1.3", "MB", "1024", "nt", str(folder)]
    assert [line[0] for line in lines[1:-1]] == [" "] * 5


def test_info_of_an_installed_model(cache: Path) -> None:
    folder = install(cache / "SpliceBERT.1024nt")
    shown = facts("info", "splicebert")
    digest = hashlib.sha256(FILES["pytorch_model.bin"]).hexdigest()
    assert shown["kind"] == "masked LM"
    assert shown["architecture"] == "BertForMaskedLM: 6 layers, 16 heads, hidden size 512"
    assert shown["parameters"] == "19,710,474"
    assert shown["window"] == "up to 1024 nt"
    assert shown["weights"] == "pytorch_model.bin, 1.3 MB"
    assert shown["SHA-256"] == f"{digest} (as published)"
    assert "10.5281/zenodo.7995778" in shown["source"]
    assert "BSD-3-Clause" in shown["licence"]
    assert shown["folder"] == str(folder)


def test_info_of_weights_that_were_changed(cache: Path) -> None:
    folder = install(cache / "SpliceBERT.1024nt")
    (folder / "pytorch_model.bin").write_bytes(b"other")
    assert facts("info", "splicebert")["SHA-256"].endswith(" (NOT the published weights)")


def test_info_of_a_model_not_yet_fetched() -> None:
    shown = facts("info", "splicebert-human")
    assert shown["folder"] == "not fetched yet; run: sbert-vcf models fetch splicebert-human"
    assert shown.keys() == {"name", "kind", "summary", "source", "licence", "folder"}


def test_info_of_a_folder(tmp_path: Path) -> None:
    folder = install(tmp_path / "mine")
    shown = facts("info", folder)
    assert shown["SHA-256"] == hashlib.sha256(FILES["pytorch_model.bin"]).hexdigest()
    assert "licence" not in shown


def test_info_of_a_branchpoint_model(tmp_path: Path) -> None:
    folder = write_random_token_classifier(tmp_path / "mine", hidden=8, heads=1, layers=1)
    shown = facts("info", folder)
    assert shown["architecture"] == "BertForTokenClassification: 1 layers, 1 heads, hidden size 8"
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    assert shown["parameters"] == f"{sum(tensor.numel() for tensor in tensors.values()):,}"
    assert shown["window"] == "up to 510 nt"


def test_info_of_nothing() -> None:
    assert error("info", "splicebrt").startswith("there is no model or folder called 'splicebrt': did you mean")
    assert "has no bundled model" in error("info", "bundled")


def test_fetch_from_a_file_and_use(tmp_path: Path, cache: Path) -> None:
    archive = tmp_path / "models.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in FILES.items():
            member = tarfile.TarInfo(f"models/SpliceBERT.1024nt/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    folder = cache / "SpliceBERT.1024nt"
    assert output("fetch", "splicebert", "--from-file", archive) == f"splicebert is now in {folder}\n"
    archive.unlink()
    there = f"splicebert is already there (--force replaces it): {folder}\n"
    assert output("fetch", "splicebert", "--from-file", archive) == there
    assert "no such archive" in error("fetch", "splicebert", "--force", "--from-file", archive)
    config = tmp_path / "config.ini"
    assert output("use", "splicebert") == f"default model: splicebert (written to {config})\n"
    assert settings.load().model == "splicebert"


def test_fetch_without_a_network_says_what_to_do() -> None:
    message = error("fetch", "splicebert")
    assert message.startswith("cannot download http://127.0.0.1:1/models.tar.gz: ")
    assert "sbert-vcf models fetch splicebert --from-file models.tar.gz" in message


def test_fetch_what_cannot_be_fetched() -> None:
    assert "nothing to fetch" in error("fetch", "bundled")
    assert "did you mean" in error("fetch", "splicebert510")


def test_use_a_folder_writes_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    output("use", "mine")
    assert settings.load().model == str(folder.resolve())


def test_use_refuses_what_does_not_resolve(tmp_path: Path) -> None:
    assert error("use", "splicebert") == "model splicebert is not fetched yet; run: sbert-vcf models fetch splicebert"
    assert not (tmp_path / "config.ini").exists()


def test_use_refuses_branchpoint_models(tmp_path: Path) -> None:
    rest = "the default has to be a masked language model (BertForMaskedLM); name it with --branchpoint-model instead"
    assert error("use", "bundled-branchpoint") == f"model bundled-branchpoint finds branchpoints, {rest}"
    folder = write_random_token_classifier(tmp_path / "mine", hidden=8, heads=1, layers=1)
    assert error("use", folder) == f"{folder}: the model is BertForTokenClassification, {rest}"
    assert not (tmp_path / "config.ini").exists()


def test_a_broken_model_is_named(cache: Path) -> None:
    (install(cache / "SpliceBERT.1024nt") / "config.json").write_text("{}")
    result = run("list")
    assert isinstance(result.exception, ModelError)
    assert "config.json: not the configuration of a BERT model" in str(result.exception)


def test_neither_torch_nor_a_web_client_is_imported() -> None:
    program = "import sys, sbert_vcf.cli_models; print(*{'torch', 'numpy', 'pooch', 'requests'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"

"""sbert_vcf.options: where the reference and the model come from, in which order."""

from pathlib import Path

import pytest

from sbert_model import registry
from sbert_model.errors import InputError
from sbert_vcf.options import REFERENCE_VARIABLE, find_branchpoint_model, find_model, find_reference


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration file, which is not there yet; no variable names a reference."""
    path = tmp_path / "config.ini"
    monkeypatch.setenv("SBERT_VCF_CONFIG", str(path))
    monkeypatch.delenv(REFERENCE_VARIABLE, raising=False)
    return path


def test_reference_by_precedence(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    header = tmp_path / "header.fa"
    header.touch()
    assert find_reference(None, str(header)) == header
    assert f"reference: {header}, from the input's ##reference line" in caplog.text
    caplog.clear()
    config.write_text("[sbert-vcf]\nreference = genomes/hg38.fa\n")
    assert find_reference(None, str(header)) == tmp_path / "genomes" / "hg38.fa"
    monkeypatch.setenv(REFERENCE_VARIABLE, "variable.fa")
    assert find_reference(None, str(header)) == Path("variable.fa")
    assert find_reference("option.fa", str(header)) == Path("option.fa")
    assert caplog.text == ""


@pytest.mark.parametrize("header", [None, "hg38.fa", "https://example.org/hg38.fa"])
def test_no_reference(config: Path, header: str | None) -> None:
    with pytest.raises(InputError) as caught:
        find_reference(None, header)
    message = str(caught.value)
    assert "--reference" in message
    assert REFERENCE_VARIABLE in message
    assert str(config) in message


def test_model_by_precedence(config: Path) -> None:
    assert find_model(None) == registry.DEFAULT
    config.write_text("[sbert-vcf]\nmodel = splicebert\n")
    assert find_model(None) == "splicebert"
    assert find_model("splicebert-human") == "splicebert-human"


@pytest.mark.parametrize("default", ["bundled-branchpoint", None])
def test_branchpoint_model(monkeypatch: pytest.MonkeyPatch, default: str | None) -> None:
    monkeypatch.setattr(registry, "default_branchpoint", lambda: default)
    assert find_branchpoint_model(None) == default
    assert find_branchpoint_model("none") is None
    assert find_branchpoint_model("./none") == "./none"
    assert find_branchpoint_model("mine") == "mine"

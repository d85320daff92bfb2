"""sbert_vcf.settings: the user's configuration file."""

from pathlib import Path

import pytest

from sbert_model.errors import InputError, OutputError
from sbert_vcf import settings
from sbert_vcf.settings import Settings


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "folder" / "config.ini"
    monkeypatch.setenv("SBERT_VCF_CONFIG", str(path))
    return path


def write(config: Path, text: str) -> None:
    config.parent.mkdir(exist_ok=True)
    config.write_text(text)


def test_path_is_the_users_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SBERT_VCF_CONFIG", raising=False)
    assert settings.config_path().parts[-2:] == ("sbert-vcf", "config.ini")


@pytest.mark.usefixtures("config")
def test_no_file_sets_nothing() -> None:
    assert settings.load() == Settings(model=None, reference=None)


@pytest.mark.parametrize("text", ["", "[sbert-vcf]\n", "[sbert-vcf]\nmodel =\nreference =\n"])
def test_an_empty_file_sets_nothing(config: Path, text: str) -> None:
    write(config, text)
    assert settings.load() == Settings()


def test_load(config: Path) -> None:
    write(config, "; a comment\n[sbert-vcf]\nmodel = splicebert\nreference = /data/100%/hg38.fa\n")
    assert settings.load() == Settings("splicebert", Path("/data/100%/hg38.fa"))


def test_a_relative_reference_is_relative_to_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(config, "[sbert-vcf]\nreference = hg38.fa\n")
    assert settings.load().reference == config.parent / "hg38.fa"
    monkeypatch.setenv("HOME", "/home/someone")
    write(config, "[sbert-vcf]\nreference = ~/hg38.fa\n")
    assert settings.load().reference == Path("/home/someone/hg38.fa")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sbert-vcf]\nmodle = x\n", r"unknown key 'modle' in \[sbert-vcf\]; known keys: model and reference"),
        ("[other]\nmodel = x\n", r"unknown section \[other\]; expected \[sbert-vcf\] with model and reference"),
        ("model = x\n", r"broken configuration: .*; expected \[sbert-vcf\] with model and reference"),
        ("[sbert-vcf]\nmodel = x\nmodel = y\n", "broken configuration: .*'model'"),
    ],
)
def test_a_wrong_file_is_refused_by_name(config: Path, text: str, message: str) -> None:
    write(config, text)
    with pytest.raises(InputError, match=message) as raised:
        settings.load()
    assert str(raised.value).startswith(f"{config}: ")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_text(config: Path) -> None:
    config.parent.mkdir()
    config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="broken configuration"):
        settings.load()


def test_a_file_that_cannot_be_read(config: Path) -> None:
    config.mkdir(parents=True)
    with pytest.raises(InputError, match="cannot read the configuration: Is a directory"):
        settings.load()


def test_save_makes_the_file(config: Path) -> None:
    assert settings.save_model("splicebert") == config
    assert settings.load() == Settings(model="splicebert")
    assert [path.name for path in config.parent.iterdir()] == ["config.ini"]


def test_save_keeps_the_other_settings(config: Path) -> None:
    write(config, "[sbert-vcf]\nreference = /data/hg38.fa\nmodel = bundled\n")
    settings.save_model("/models/100%")
    assert settings.load() == Settings("/models/100%", Path("/data/hg38.fa"))


def test_save_does_not_touch_a_file_that_it_does_not_understand(config: Path) -> None:
    write(config, "[sbert-vcf]\ncolour = red\n")
    with pytest.raises(InputError, match="colour"):
        settings.save_model("splicebert")
    assert config.read_text() == "[sbert-vcf]\ncolour = red\n"


def test_save_follows_a_link(config: Path, tmp_path: Path) -> None:
    config.parent.mkdir()
    config.symlink_to(tmp_path / "dotfiles.ini")
    settings.save_model("splicebert")
    assert config.is_symlink()
    assert "splicebert" in (tmp_path / "dotfiles.ini").read_text()


def test_a_failed_save_leaves_the_old_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(config, "[sbert-vcf]\nmodel = bundled\n")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"config\.ini: cannot write the configuration: No space left on device"):
        settings.save_model("splicebert")
    assert settings.load() == Settings(model="bundled")
    assert [path.name for path in config.parent.iterdir()] == ["config.ini"]

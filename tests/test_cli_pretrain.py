import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sbert_model.errors import InputError, SbertError
from sbert_train.cli import train
from sbert_train.config import Config, load_config
from tests.tiny_corpus import write_tiny_corpus
from tests.tiny_pretraining import losses, options, tiny_config, weights


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_corpus(tmp_path_factory.mktemp("corpus")))


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(train, list(arguments), catch_exceptions=False)


def test_every_field_is_an_option() -> None:
    text = _invoke("pretrain", "--help").output
    for name in Config.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in text


def test_help_needs_no_torch() -> None:
    code = "import sys, sbert_train.cli as c; c.train(['pretrain', '--help'], standalone_mode=False); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0


def test_from_corpus_to_a_model_to_ship(corpus: str, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "model"
    (tmp_path / "my.yaml").write_text("max_steps: 100\nlearning_rate: 1e-3\nlayers: 5\n")
    given = ["-o", str(run), "--config", str(tmp_path / "my.yaml"), "--threads", "1"]
    assert _invoke("pretrain", corpus, *given, *options(max_steps=4)).exit_code == 0
    assert load_config(str(run / "config.yaml"), {}) == tiny_config(max_steps=4, threads=1)
    assert _invoke("pretrain", corpus, "-o", str(run), "--resume", "--max-steps", "6").exit_code == 0
    assert len(losses(run)) == 6
    result = _invoke("export", str(run), str(out))
    assert result.output.endswith(f"{out}: 0.0 MB of weights\n")
    assert weights(out)
    with pytest.raises(SbertError, match="the limit is 1000"):
        _invoke("export", str(run), str(tmp_path / "small"), "--max-mb", "0.001")
    fine = ["-o", str(tmp_path / "fine"), "--init-from", str(out), *options(max_steps=2)]
    assert _invoke("pretrain", corpus, *fine).exit_code == 0
    assert losses(tmp_path / "fine")[0] < losses(run)[0]


def test_options_of_the_wrong_kind_are_wrong_usage(corpus: str, tmp_path: Path) -> None:
    result = _invoke("pretrain", corpus, "-o", str(tmp_path / "run"), "--layers", "six")
    assert result.exit_code == 2
    assert "'six' is not a valid integer" in result.output
    assert _invoke("pretrain", corpus, "-o", str(tmp_path / "run"), "--precision", "half").exit_code == 2
    with pytest.raises(InputError, match="layers: 0 has to be at least 1"):
        _invoke("pretrain", corpus, "-o", str(tmp_path / "run"), "--layers", "0")


def test_what_is_not_there(corpus: str, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    with pytest.raises(InputError, match="stage7: cannot read the config"):
        _invoke("pretrain", corpus, "-o", run, "--config", "stage7")
    with pytest.raises(InputError, match="run: no checkpoint to resume from"):
        _invoke("pretrain", corpus, "-o", run, "--resume")
    with pytest.raises(InputError, match="needs an end"):
        _invoke("pretrain", corpus, "-o", run)
    with pytest.raises(InputError, match="nowhere"):
        _invoke("pretrain", str(tmp_path / "nowhere"), "-o", run, "--max-steps", "1")
    assert not (tmp_path / "run").exists()


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for arguments in (["export", str(tmp_path), str(tmp_path / "out")], ["pretrain", "c", "-o", "r"]):
        with pytest.raises(SbertError, match=r"accelerate and PyYAML; run: pip install 'sbert-vcf\[train\]'"):
            _invoke(*arguments)

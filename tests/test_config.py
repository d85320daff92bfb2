from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sbert_model.errors import InputError
from sbert_train.config import Config, bundled_configs, differences, load_config, write_config
from tests.tiny_pretraining import tiny_config


def _file(folder: Path, text: str, name: str = "my.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_defaults_are_the_published_ones() -> None:
    config = Config(max_steps=1)
    assert (config.layers, config.hidden_size, config.heads, config.ffn, config.max_nt + 2) == (6, 512, 16, 2048, 1026)
    assert (config.shortest_crop, config.longest_crop, config.mask_rate) == (510, 510, 0.15)
    assert (config.learning_rate, config.schedule, config.plateau_evaluations) == (1e-4, "plateau", 3)


@pytest.mark.parametrize(
    ("name", "crops", "schedule"),
    [
        ("stage1", (510, 510), "plateau"),
        ("stage2", (64, 1024), "plateau"),
        ("human", (510, 510), "plateau"),
        ("mini", (128, 128), "cosine"),
    ],
)
def test_bundled_configs_load_by_name(name: str, crops: tuple[int, int], schedule: str) -> None:
    config = load_config(name, {})
    assert (config.shortest_crop, config.longest_crop, config.schedule) == (*crops, schedule)
    assert name in bundled_configs()


def test_changes_go_on_top_of_the_file(tmp_path: Path) -> None:
    config = load_config(_file(tmp_path, "layers: 3\nlearning_rate: 1e-3\nmax_hours: 2\n"), {"layers": 4})
    assert config == Config(layers=4, learning_rate=1e-3, max_hours=2.0)
    assert load_config(None, {"max_steps": 5}) == Config(max_steps=5)


def test_toml_says_the_same(tmp_path: Path) -> None:
    yaml = _file(tmp_path, "max_steps: 5\ndropout: 0\ncompile: true\ninit: offset-heads\n")
    toml = _file(tmp_path, 'max_steps = 5\ndropout = 0\ncompile = true\ninit = "offset-heads"\n', "my.toml")
    assert load_config(yaml, {}) == load_config(toml, {})


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    config = tiny_config(threads=2, random_positions=True, max_hours=0.5)
    write_config(config, tmp_path / "c.yaml")
    assert load_config(str(tmp_path / "c.yaml"), {}) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat: 1", r"my\.yaml: unknown field 'learning_rat'; the nearest known one is learning_rate"),
        ("warm_up: 1", "unknown field 'warm_up'; the nearest known one is warmup_steps"),
        ("layers: six", r"my\.yaml: layers: 'six' is not a whole number"),
        ("layers: 6.5", "layers: 6.5 is not a whole number"),
        ("layers: true", "layers: True is not a whole number"),
        ("dropout: much", "dropout: 'much' is not a number"),
        ("compile: 1", "compile: 1 is not true or false"),
        ("init: 3", "init: 3 is not text"),
        ("layers: null", "layers: None is not a whole number"),
        ("init: zeros", "init: 'zeros' is none of random, offset-heads"),
        ("layers: 0", "layers: 0 has to be at least 1"),
        ("dropout: 1.0", "dropout: 1.0 has to be below 1"),
        ("mask_rate: 1.5", "mask_rate: 1.5 has to be at most 1"),
        ("learning_rate: 0", "learning_rate: 0.0 has to be above 0"),
        ("- layers", "expected lines of the form"),
        ("layers: [", "not a config in YAML or TOML"),
        ("layers: !!python/object/apply:os.getpid []", "not a config in YAML or TOML"),
        ("heads: 5", "hidden_size 512 is no multiple of heads 5"),
        ("longest_crop: 2000", "longest_crop 2000 and max_nt 1024: none may be greater"),
        ("shortest_crop: 600", "shortest_crop 600, longest_crop 510"),
        ("batch_tokens: 400", "batch_tokens 400 has no room for a crop of 510 nt"),
        ("checkpoint_steps: 70", "checkpoint_steps 70 is no multiple of log_steps 50"),
        ("warmup_steps: 5", "goes with schedule cosine"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_config(_file(tmp_path, text), {"max_steps": 1})


def test_files_that_are_not_there_and_runs_without_end(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"stage3: cannot read the config .* one of human, mini, stage1, stage2"):
        load_config("stage3", {})
    with pytest.raises(InputError, match="not a config"):
        load_config(_file(tmp_path, "layers = ", "my.toml"), {})
    with pytest.raises(InputError, match="needs an end"):
        load_config(None, {})
    with pytest.raises(InputError, match="the command line: unknown field 'layer'; the nearest known one is layers"):
        load_config(None, {"layer": 3})


def test_differences_name_what_a_resumed_run_has_to_keep() -> None:
    config = tiny_config()
    assert differences(config, config) == []
    assert differences(replace(config, max_steps=99, workers=3, threads=1), config) == []
    changed: dict[str, Any] = {"learning_rate": 0.5, "layers": 3}
    assert differences(replace(config, **changed), config) == [
        "layers was 2, now 3",
        "learning_rate was 0.001, now 0.5",
    ]


def test_every_field_is_in_the_reference() -> None:
    text = (Path(__file__).parent.parent / "docs" / "pretraining.md").read_text()
    for name, item in Config.__dataclass_fields__.items():
        default = "none" if item.default is None else str(item.default)
        default = default.lower() if item.type is bool else default
        assert f"| `{name}` | {default} | {item.metadata['help']} |" in text

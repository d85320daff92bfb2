"""sbert_model.registry: names, paths and what to do where a model is not there."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sbert_model import registry
from sbert_model.errors import ModelError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SBERT_VCF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make_model(folder: Path, weights: str = "model.safetensors") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / weights).write_bytes(b"weights")
    return folder


def test_published_models_lie_below_the_cache(cache: Path) -> None:
    names = ("splicebert", "splicebert-510", "splicebert-human")
    assert [registry.MODELS[name].folder for name in names] == [
        cache / "models" / "SpliceBERT.1024nt",
        cache / "models" / "SpliceBERT.510nt",
        cache / "models" / "SpliceBERT-human.510nt",
    ]


def test_cache_is_the_users_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SBERT_VCF_CACHE", raising=False)
    assert registry.models_folder().parts[-2:] == ("sbert-vcf", "models")


@pytest.mark.parametrize("name", ["bundled", "bundled-branchpoint"])
def test_bundled_models_are_part_of_the_package(name: str) -> None:
    package = Path(registry.__file__).parent
    assert registry.MODELS[name].folder == package / "weights" / name
    assert not registry.MODELS[name].published


def test_one_model_is_for_branchpoints() -> None:
    kinds = {name: model.kind for name, model in registry.MODELS.items()}
    assert [name for name, kind in kinds.items() if kind is registry.Kind.BRANCHPOINT] == ["bundled-branchpoint"]
    assert kinds["bundled"] is registry.Kind.MASKED_LM


def test_the_default_branchpoint_model_is_the_bundled_one_where_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sbert_model.registry.resources", SimpleNamespace(files=lambda package: tmp_path))
    folder = tmp_path / "weights" / "bundled-branchpoint"
    assert registry.default_branchpoint() is None
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert registry.default_branchpoint() is None
    (folder / "model.safetensors").touch()
    assert registry.default_branchpoint() == "bundled-branchpoint"
    assert registry.resolve("bundled-branchpoint") == folder


def test_every_published_model_pins_the_digest_of_each_file() -> None:
    published = [model for model in registry.MODELS.values() if model.published]
    assert len(published) == 3
    for model in published:
        assert set(model.sha256) == {"config.json", "vocab.txt", "pytorch_model.bin"}
        assert all(len(bytes.fromhex(digest)) == 32 for digest in model.sha256.values())
    assert len({model.sha256["pytorch_model.bin"] for model in published}) == 3


def test_resolve_a_name(cache: Path) -> None:
    folder = make_model(cache / "models" / "SpliceBERT.1024nt", "pytorch_model.bin")
    assert registry.resolve("splicebert") == folder


def test_resolve_a_path(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine")
    assert registry.resolve(folder) == folder
    assert registry.resolve(str(folder)) == folder


def test_resolve_expands_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = make_model(tmp_path / "mine")
    assert registry.resolve("~/mine") == folder


@pytest.mark.usefixtures("cache")
def test_a_name_wins_over_a_folder_and_a_dot_chooses_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(tmp_path / "splicebert")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"splicebert is not fetched yet; run: sbert-vcf models fetch splicebert$"):
        registry.resolve("splicebert")
    assert registry.resolve("./splicebert").resolve() == tmp_path / "splicebert"


def test_a_folder_without_separator_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert registry.resolve("mine") == Path("mine")


def test_an_unknown_name_gets_the_nearest_names(cache: Path) -> None:
    with pytest.raises(ModelError, match="no model or folder called 'SpliceBERT': did you mean splicebert") as raised:
        registry.resolve("SpliceBERT")
    assert "\n" not in str(raised.value)
    with pytest.raises(
        ModelError, match=r"'xyz': the models are bundled, bundled-branchpoint, splicebert, .*, splicebert-human$"
    ):
        registry.resolve("xyz")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no/where: no such model folder"):
        registry.resolve("no/where")


def test_a_file_is_no_model(tmp_path: Path) -> None:
    weights = make_model(tmp_path / "mine") / "model.safetensors"
    with pytest.raises(ModelError, match=r"model\.safetensors: a model is a folder"):
        registry.resolve(weights)


@pytest.mark.parametrize(
    ("present", "missing"),
    [("config.json", r"model\.safetensors or pytorch_model\.bin"), ("pytorch_model.bin", r"config\.json")],
)
def test_an_incomplete_folder_says_what_is_missing(tmp_path: Path, present: str, missing: str) -> None:
    (tmp_path / present).write_bytes(b"{}")
    with pytest.raises(ModelError, match=f"not a model folder: {missing} is missing"):
        registry.resolve(tmp_path)


def test_a_half_empty_cache_folder_counts_as_not_fetched(cache: Path) -> None:
    (cache / "models" / "SpliceBERT.510nt").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"models fetch splicebert-510$"):
        registry.resolve("splicebert-510")


def test_a_package_without_weights_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sbert_model.registry.resources", SimpleNamespace(files=lambda package: tmp_path))
    with pytest.raises(ModelError, match="has no bundled model; run: sbert-vcf models fetch splicebert"):
        registry.resolve("bundled")
    with pytest.raises(
        ModelError, match=r"has no bundled-branchpoint model; make one .*, then choose it with --branchpoint-model"
    ):
        registry.resolve("bundled-branchpoint")
    folder = make_model(tmp_path / "weights" / "bundled")
    assert registry.resolve("bundled") == folder


def test_safetensors_come_before_a_pickle(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine", "pytorch_model.bin")
    assert registry.weights_file(folder) == folder / "pytorch_model.bin"
    (folder / "model.safetensors").write_bytes(b"")
    assert registry.weights_file(folder) == folder / "model.safetensors"
    assert registry.weights_file(tmp_path) is None

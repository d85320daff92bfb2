"""The models by name: what they are, where they lie, and which folder a name or a path stands for."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib import resources
from pathlib import Path

import platformdirs

from sbert_model.errors import ModelError

CACHE_VARIABLE = "SBERT_VCF_CACHE"
CONFIG_FILE = "config.json"
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
"""The weights of a model folder; the first that exists is read."""

_VOCAB_SHA256 = "ba67bacb61d3de7d57e11e04ba59020a2cc67dbedbd9ae65715117b9fd4f30bc"
_ZENODO = "https://doi.org/10.5281/zenodo.7995778 (Chen et al. 2024, doi:10.1093/bib/bbae163)"
_ZENODO_LICENCE = "CC BY 4.0 (the Zenodo record); SpliceBERT's own code: BSD-3-Clause"


class Kind(str, Enum):
    """What a model is for; the value is what people read."""

    MASKED_LM = "masked LM"
    BRANCHPOINT = "branchpoint"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that has a name."""

    name: str
    kind: Kind
    summary: str
    source: str
    licence: str
    archive_folder: str = ""
    """The model's folder in the published archive; empty for the models that come with the package."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """The files to take out of the archive, with their SHA-256."""

    @property
    def published(self) -> bool:
        """Whether the model is fetched from the published archive."""
        return bool(self.archive_folder)

    @property
    def folder(self) -> Path:
        """Where the model lies, or will lie once it is fetched."""
        if self.published:
            return models_folder() / self.archive_folder
        return Path(str(resources.files("sbert_model"))) / "weights" / self.name


def _splicebert(name: str, summary: str, archive_folder: str, config: str, weights: str) -> Model:
    digests = {"config.json": config, "vocab.txt": _VOCAB_SHA256, "pytorch_model.bin": weights}
    return Model(name, Kind.MASKED_LM, summary, _ZENODO, _ZENODO_LICENCE, archive_folder, digests)


def _bundled(name: str, kind: Kind, summary: str) -> Model:
    return Model(name, kind, summary, "part of the sbert-vcf package", "BSD-3-Clause")


DEFAULT = "bundled"
DEFAULT_BRANCHPOINT = "bundled-branchpoint"
MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        _bundled(
            DEFAULT,
            Kind.MASKED_LM,
            "SpliceBERT architecture, trained for this package on public vertebrate genes; needs no download",
        ),
        _bundled(
            DEFAULT_BRANCHPOINT,
            Kind.BRANCHPOINT,
            f"the model {DEFAULT}, fine-tuned on human branchpoints (Mercer et al. 2015); needs no download",
        ),
        _splicebert(
            "splicebert",
            "SpliceBERT.1024nt: pre-mRNA of 72 vertebrates, sequences of 64 to 1024 nt; the model of the paper",
            "SpliceBERT.1024nt",
            config="51ea51e42951f18cc1d3455d7111fe0a41cebad476ba8314afc161a0e956303e",
            weights="2ad91428c318e6c49233154073ca7a35f5f7899c9f4be3444775bae3dba0149d",
        ),
        _splicebert(
            "splicebert-510",
            "SpliceBERT.510nt: pre-mRNA of 72 vertebrates, sequences of exactly 510 nt",
            "SpliceBERT.510nt",
            config="0e0daa1f987decd945cd76bc43a3ee4686e3715c470cb08fd2bf2f5c5296b4d8",
            weights="b3a48c768a029dc6291cde8085c0bc02d40a6d03007b0535e6788573e2ea7808",
        ),
        _splicebert(
            "splicebert-human",
            "SpliceBERT-human.510nt: human pre-mRNA, sequences of exactly 510 nt",
            "SpliceBERT-human.510nt",
            config="9f3fb3b5f5a500b0aa600b063ecb78f1aefbe05a8bd9fab1843cb5894e70f048",
            weights="7d9e7b6d53f2e42efbd19de2ad01c195244c138bff1e4468334294e3a62cae90",
        ),
    )
}
"""The models that have a name; nothing else knows their names, folders or digests."""
_INSTEAD = {
    Kind.MASKED_LM: "run: sbert-vcf models fetch splicebert, then choose it with -m splicebert",
    Kind.BRANCHPOINT: "make one with: sbert-vcf train branchpoint, then choose it with --branchpoint-model FOLDER",
}
"""What to do where a model that comes with the package is not there."""


def models_folder() -> Path:
    """Return the folder of fetched models: below $SBERT_VCF_CACHE where that is set, else below the user's cache."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("sbert-vcf")) / "models"


def default_branchpoint() -> str | None:
    """Return the name of the branchpoint model that is used where none is chosen; None where it is not installed."""
    return DEFAULT_BRANCHPOINT if is_complete(MODELS[DEFAULT_BRANCHPOINT].folder) else None


def find(name: str) -> Model:
    """Return the model called `name`; ModelError names the nearest ones where there is none."""
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name.lower(), MODELS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the models are {', '.join(MODELS)}"
    raise ModelError(f"there is no model or folder called {name!r}: {hint}")


def resolve(name_or_path: str | Path) -> Path:
    """Return the folder of a model that is ready to be loaded.

    The names of `MODELS` come first (write ./NAME for a folder that is called like one of them), any other text is a
    path. Raises ModelError, which says what to do, for an unknown name, a model not yet fetched, an incomplete folder.
    """
    text = os.fspath(name_or_path)
    if text in MODELS:
        model = MODELS[text]
        if is_complete(model.folder):
            return model.folder
        if model.published:
            raise ModelError(f"model {text} is not fetched yet; run: sbert-vcf models fetch {text}")
        raise ModelError(f"{model.folder}: this installation has no {text} model; {_INSTEAD[model.kind]}")
    folder = Path(text).expanduser()
    if not folder.exists():
        if text == Path(text).name:
            find(text)
        raise ModelError(f"{text}: no such model folder; `sbert-vcf models list` shows the models that have a name")
    if not folder.is_dir():
        raise ModelError(f"{text}: a model is a folder with {CONFIG_FILE} and weights, and this is a file")
    if missing := missing_part(folder):
        raise ModelError(f"{text}: not a model folder: {missing} is missing")
    return folder


def missing_part(folder: Path) -> str:
    """Return what keeps `folder` from being a model folder, or nothing."""
    if not (folder / CONFIG_FILE).is_file():
        return CONFIG_FILE
    return "" if weights_file(folder) else " or ".join(WEIGHTS_FILES)


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds a configuration and weights."""
    return not missing_part(folder)


def weights_file(folder: Path) -> Path | None:
    """Return the weights of a model folder, None where it has none."""
    return next((folder / name for name in WEIGHTS_FILES if (folder / name).is_file()), None)

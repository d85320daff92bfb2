"""The user's configuration file: the model and the reference that are used where the command line names none."""

import configparser
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from sbert_model.errors import InputError, OutputError

CONFIG_VARIABLE = "SBERT_VCF_CONFIG"
SECTION = "sbert-vcf"
KEYS = ("model", "reference")


@dataclass(frozen=True, slots=True)
class Settings:
    """The user's defaults; None where the file does not say."""

    model: str | None = None
    reference: Path | None = None


def config_path() -> Path:
    """Return the configuration file: $SBERT_VCF_CONFIG where that is set, else below the user's configuration."""
    chosen = os.environ.get(CONFIG_VARIABLE)
    return Path(chosen) if chosen else Path(platformdirs.user_config_dir("sbert-vcf")) / "config.ini"


def load() -> Settings:
    """Read the configuration file; where there is none, nothing is set.

    A relative reference is relative to the file's folder. Raises InputError for a file that cannot be read, another
    section and an unknown key.
    """
    path = config_path()
    values = dict(_read(path)[SECTION])
    reference = values.get("reference")
    return Settings(
        model=values.get("model") or None,
        reference=path.parent / Path(reference).expanduser() if reference else None,
    )


def save_model(name: str) -> Path:
    """Write `name` as the default model, keep the other settings, return the file's path.

    The file is replaced at once or not at all; comments in it are lost. Raises InputError as `load` does, OutputError
    for a file that cannot be written.
    """
    path = config_path()
    parser = _read(path)
    parser[SECTION]["model"] = name
    target = path.resolve()  # a link to the file stays a link
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sbert-vcf-", dir=target.parent) as folder:
            new = Path(folder) / target.name
            with new.open("w", encoding="utf-8") as out:
                parser.write(out)
            new.replace(target)
    except OSError as error:
        raise OutputError(f"{path}: cannot write the configuration: {error.strerror}") from error
    return path


def _read(path: Path) -> configparser.ConfigParser:
    """Return the parsed file with its one section, empty where there is no file."""
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InputError(f"{path}: cannot read the configuration: {error.strerror}") from error
    except (configparser.Error, UnicodeDecodeError) as error:
        reason = str(error).replace("\n", " ")
        raise InputError(f"{path}: broken configuration: {reason}; expected [{SECTION}] with {_known()}") from error
    for section in parser.sections():
        if section != SECTION:
            raise InputError(f"{path}: unknown section [{section}]; expected [{SECTION}] with {_known()}")
        for key in parser[section]:
            if key not in KEYS:
                raise InputError(f"{path}: unknown key {key!r} in [{SECTION}]; known keys: {_known()}")
    if not parser.has_section(SECTION):
        parser.add_section(SECTION)
    return parser


def _known() -> str:
    return " and ".join(KEYS)

"""The command line: one group whose commands are loaded when they are called, and the one place that prints errors."""

import importlib
import logging
import os
import signal
import sys
from typing import Any

import click

from sbert_model.errors import SbertError
from sbert_vcf import __version__

_COMMANDS = {
    "annotate": ("sbert_vcf.cli_annotate:annotate", "Write splicing scores into the INFO column of a VCF or BCF."),
    "verify": ("sbert_vcf.cli_verify:verify", "Compute a sample of an annotated file anew, and compare."),
    "score": ("sbert_vcf.cli_score:score", "Score a few variants given as contig:position:ref:alt."),
    "mutagenesis": (
        "sbert_vcf.cli_mutagenesis:mutagenesis",
        "Score every substitution in a region or before an acceptor; heat maps.",
    ),
    "models": ("sbert_vcf.cli_models:models", "Show, fetch and choose the models that score variants."),
    "cache": ("sbert_vcf.cli_cache:cache", "Show and prune the score caches that --cache makes."),
    "train": ("sbert_train.cli:train", "Pretrain and evaluate models, for human or any species."),
}


class _LazyGroup(click.Group):
    """Knows its commands by name and one line of help; imports them, and what they need, only to run them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sbert-vcf")
def cli() -> None:
    """Annotate variants with splicing scores from SpliceBERT, a language model of pre-mRNA."""


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"sbert-vcf: {level}{_visible(record.getMessage())}"


def set_verbosity(quiet: bool, verbose: bool) -> None:
    """Send what runs have to say to stderr; quiet: nothing but errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    for name in ("sbert_vcf", "sbert_model", "sbert_train"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)


def main() -> None:
    """Run the command line; exit code 0 done, 1 failed, 2 wrong usage, 130 and 143 when interrupted."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # under nohup SIGHUP is ignored and has to stay so
            signal.signal(number, _terminated)
    set_verbosity(quiet=False, verbose=False)
    # PyTorch's threads would spin while they wait for each other, which costs a run most of its time where the cores
    # are shared with other programs. It is read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = _fail("interrupted", 130)
    except SbertError as error:
        code = _fail(f"error: {error}", 1)
    except MemoryError:
        code = _fail("error: out of memory; try a smaller --batch-size", 1)
    except OSError as error:
        code = _fail(f"error: {error.filename or 'input or output'}: {error.strerror or error}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> int:
    click.echo(f"sbert-vcf: {_visible(message)}", err=True)
    return code


def _visible(message: str) -> str:
    """Return a message with its control characters spelled out: a name in a file may hold line ends and worse."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in message)


def _terminated(number: int, frame: Any) -> None:
    """Leave through the context managers, so that no temporary file stays behind."""
    raise SystemExit(128 + number)

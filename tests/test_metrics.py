import io
import json
import logging
from pathlib import Path

import pytest

from sbert_train.batches import Size
from sbert_train.metrics import Reporter
from sbert_train.schedule import Budget


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_hold_what_happened_since_the_line_before(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    reporter = Reporter(path, Budget(10, None, seconds=100), 4, 1000, io.StringIO())
    reporter.step(Size(90, 100))
    reporter.step(Size(60, 100))
    reporter.training(6, 1.25, 1e-4, 0.5)
    reporter.validation(6, 1.5)
    reporter.step(Size(100, 100))
    reporter.training(7, 1.0, 5e-5, None)
    reporter.close()
    first, validation, second = _lines(path)
    assert first["seconds"] == pytest.approx(100, abs=5)
    assert first["tokens_per_second"] > 0
    assert {name: first[name] for name in ("step", "tokens", "loss", "learning_rate", "grad_norm", "padding")} == {
        "step": 6,
        "tokens": 1150,
        "loss": 1.25,
        "learning_rate": 1e-4,
        "grad_norm": 0.5,
        "padding": 0.25,
    }
    assert {name: validation[name] for name in validation if name != "seconds"} == {
        "step": 6,
        "tokens": 1150,
        "validation_loss": 1.5,
    }
    assert (second["tokens"], second["padding"]) == (1250, 0)


def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    stream = _Terminal()
    budget = Budget(10, None, seconds=60)
    reporter = Reporter(tmp_path / "m", budget, 4, 0, stream)
    reporter.step(Size(90, 100))
    reporter.training(5, 1.25, 1e-4, None)
    reporter.close()
    shown = stream.getvalue()
    assert "5/10" in shown
    assert "loss=1.2500" in shown
    assert "tok_s=" in shown
    assert "ETA=01:00" in shown  # half is done, and took a minute


def test_elsewhere_a_line_at_a_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    reporter = Reporter(tmp_path / "m", Budget(10, None), 0, 0, stream)
    with caplog.at_level(logging.INFO, "sbert_train"):
        reporter.step(Size(90, 100))
        reporter.training(1, 1.25, 1e-4, None)
        reporter.validation(1, 1.5)
    reporter.close()
    assert stream.getvalue() == ""
    assert [record.message.split(",")[0] for record in caplog.records] == [
        "step 1: loss 1.2500",
        "step 1: validation loss 1.5000",
    ]
    assert "pad 10.0%" in caplog.text

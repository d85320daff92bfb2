import csv
import json
import math
import struct
from pathlib import Path

import pytest

from sbert_model.errors import OutputError
from sbert_train.evaluate_mlm import Evaluation, Score
from sbert_train.evaluation_figure import main_groups
from sbert_train.evaluation_report import FILES, check_folder, summary, tsv, write_report
from sbert_train.mlm_metrics import Estimate, Figures

NONE = math.nan


def _score(by: str, group: str, model: str, loss: float, low: float = NONE, high: float = NONE) -> Score:
    entropy = Estimate(loss, low, high)
    figures = Figures(entropy, Estimate(0.4, 0.35, 0.45), Estimate(0.375, 0.3, 0.4), Estimate(loss - 1.25, NONE, NONE))
    return Score(by, group, model, 3, 1500, "piece", 2, figures)


def _group(by: str, group: str) -> list[Score]:
    return [
        _score(by, group, "model", 1.25, 1.2, 1.3),
        _score(by, group, "untrained", 1.4),
        _score(by, group, "composition", 1.38, 1.37, 1.39),
        _score(by, group, "markov-5", 1.33, 1.32, 1.34),
        _score(by, group, "sides-1", 1.31),
        _score(by, group, "sides-2", 1.29, 1.28, 1.3),
    ]


SCORES = [
    *_group("all", "all"),
    *_group("region", "utr5"),
    *_group("species", "coding"),  # a species of that name
    *_group("species,region", "coding,utr5"),
]
EVALUATION = Evaluation("tiny", {"version": "1.2.3", "settings": {"seed": 0}}, SCORES)


def test_tsv_has_a_line_for_each_group_and_model() -> None:
    rows = list(csv.DictReader(tsv(SCORES).splitlines(), delimiter="\t"))
    assert len(rows) == 24
    assert rows[0] == {
        "group_by": "all",
        "group": "all",
        "model": "model",
        "windows": "3",
        "bases": "1500",
        "unit": "piece",
        "units": "2",
        "cross_entropy": "1.250000",
        "cross_entropy_low": "1.200000",
        "cross_entropy_high": "1.300000",
        "accuracy": "0.400000",
        "accuracy_low": "0.350000",
        "accuracy_high": "0.450000",
        "balanced_accuracy": "0.375000",
        "balanced_accuracy_low": "0.300000",
        "balanced_accuracy_high": "0.400000",
        "gain": "0.000000",
        "gain_low": ".",
        "gain_high": ".",
    }
    assert (rows[-1]["group_by"], rows[-1]["group"], rows[-1]["model"]) == ("species,region", "coding,utr5", "sides-2")


def test_summary_shows_the_best_baseline_of_each_group() -> None:
    lines = summary(SCORES).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["all bases", "5′ UTR", "coding"]
    assert "1.250 [1.200, 1.300]" in lines[1]
    assert lines[1].split()[-3:] == ["sides-2", "1.290", "0.040"]


def test_the_figure_shows_no_region_of_single_species() -> None:
    assert [rows[0].group for rows in main_groups(SCORES)] == ["all", "utr5", "coding"]


def test_all_files_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "scores"
    write_report(folder, EVALUATION)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert (folder / "scores.tsv").read_text() == tsv(SCORES)
    found = json.loads((folder / "scores.json").read_text(), parse_constant=pytest.fail)
    assert (found["version"], found["settings"]) == ("1.2.3", {"seed": 0})
    assert len(found["scores"]) == 24
    assert found["scores"][1]["figures"]["cross_entropy"] == {"value": 1.4, "low": None, "high": None}
    picture = (folder / "figure.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert width == 1650
    assert 300 < height < 600


def test_the_same_scores_make_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(tmp_path / name, EVALUATION)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_scores_are_replaced_only_when_told_to(tmp_path: Path) -> None:
    check_folder(tmp_path / "absent", overwrite=False)
    check_folder(tmp_path, overwrite=False)
    (tmp_path / "scores.json").write_text("old")
    with pytest.raises(OutputError, match=r"scores\.json: exists already; give --overwrite"):
        check_folder(tmp_path, overwrite=False)
    check_folder(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        check_folder(tmp_path / "scores.json", overwrite=True)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write the scores"):
        write_report(tmp_path / "file" / "scores", EVALUATION)


def test_a_failure_leaves_the_old_files_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scores.tsv").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sbert_train.evaluation_report.draw", full)
    with pytest.raises(OutputError, match="No space left"):
        write_report(tmp_path, EVALUATION)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.tsv"]
    assert (tmp_path / "scores.tsv").read_text() == "old"

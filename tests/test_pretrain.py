import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForMaskedLM, Trainer

from sbert_model.checkpoint import load_masked_lm
from sbert_model.errors import DeviceError, InputError, ModelError, OutputError, SbertError
from sbert_model.tokenizer import CLS, MASK, SEP, encode
from sbert_train import trainer as training
from sbert_train.config import Config, load_config
from sbert_train.corpus import Corpus, open_corpus
from sbert_train.pretrain import build_model, pretrain
from sbert_vcf.cli_annotate import annotate
from tests.memory_corpus import MemoryPieces, piece
from tests.models import write_random_token_classifier
from tests.tiny_corpus import write_tiny_corpus
from tests.tiny_pretraining import losses, metrics, options, same_weights, tiny_config, weights
from tests.world import build_world, info_of, records_of, vcf_text

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return open_corpus(folder)


@pytest.fixture(scope="module")
def done(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that came to its end, for tests that only look at it."""
    run = tmp_path_factory.mktemp("runs") / "done"
    pretrain(corpus, tiny_config(), run)
    return run


def _logits(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    model.train(False)
    with torch.no_grad():
        found = model(ids)
    return found if isinstance(found, torch.Tensor) else found.logits


def _ids(sequence: str) -> torch.Tensor:
    return torch.tensor([[CLS, *encode(sequence).tolist(), SEP]])


# What a run leaves behind


def test_metrics_have_a_line_for_each_log_step_and_evaluation(done: Path) -> None:
    lines = metrics(done)
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 9))
    assert [line["step"] for line in lines if "validation_loss" in line] == [2, 4, 6, 8]
    assert set(lines[0]) == {"step", "tokens", "loss", "learning_rate", "grad_norm", "padding"}
    tokens = [line["tokens"] for line in lines if "loss" in line]
    assert all(400 < new - old <= 520 for old, new in zip([0, *tokens], tokens, strict=False))


def test_the_folder_holds_the_run_and_nothing_else(done: Path) -> None:
    assert sorted(path.name for path in done.iterdir()) == [
        "best",
        "config.yaml",
        "corpus.json",
        "last",
        "metrics.jsonl",
    ]
    model = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    assert {path.name for path in (done / "best").iterdir()} == model
    assert {path.name for path in (done / "last").iterdir()} > model | {"optimizer.pt", "scheduler.pt"}
    assert (done / "best" / "model.safetensors").stat().st_mode & 0o777 == 0o644
    assert load_config(str(done / "config.yaml"), {}) == tiny_config()


@pytest.mark.parametrize("name", ["best", "last"])
def test_checkpoints_load_here_and_in_transformers_with_the_same_logits(done: Path, name: str) -> None:
    ids = _ids("ACGTNACGTTTGACA")
    theirs = AutoModelForMaskedLM.from_pretrained(done / name)
    torch.testing.assert_close(
        _logits(load_masked_lm(done / name).network, ids), _logits(theirs, ids), atol=1e-5, rtol=0
    )
    tokens = AutoTokenizer.from_pretrained(done / name)("A C G T N")["input_ids"]
    assert tokens == _ids("ACGTN")[0].tolist()


def test_annotate_takes_a_checkpoint_as_it_is(corpus: Corpus, tmp_path: Path) -> None:
    pretrain(corpus, tiny_config(max_nt=402, max_steps=2), tmp_path / "run")
    world = build_world(tmp_path)
    (tmp_path / "in.vcf").write_text(vcf_text([world.snv("chr1", 1200)]))
    model = ["-m", str(tmp_path / "run" / "best"), "--strand", "+", "--device", "cpu", "--threads", "1"]
    out = tmp_path / "out.vcf"
    result = CliRunner().invoke(annotate, [str(tmp_path / "in.vcf"), "-r", str(world.fasta), "-o", str(out), *model])
    assert result.exit_code == 0, result.output
    info = info_of(records_of(out.read_text())[0])
    assert info["SBERT_STATUS"] == "OK"
    assert -1382 < float(info["SBERT_KL"]) < 1000


def test_best_is_the_model_with_the_lowest_validation_loss(corpus: Corpus, tmp_path: Path) -> None:
    """Trained on a single base, it gets worse and worse on the rest: the first evaluation is the best."""
    one_base = replace(corpus, training=MemoryPieces([piece("A" * 3000, "alpha")], corpus.species))
    run = tmp_path / "run"
    config = tiny_config(learning_rate=0.02, evaluation_steps=10, max_steps=40, log_steps=10, checkpoint_steps=10)
    pretrain(one_base, config, run)
    validation = losses(run, "validation_loss")
    assert validation[0] == min(validation) < validation[-1]
    assert not same_weights(run / "best", run / "last")
    pretrain(one_base, replace(config, max_steps=10), tmp_path / "short")
    assert same_weights(run / "best", tmp_path / "short" / "last")


def test_pretraining_learns(corpus: Corpus, tmp_path: Path) -> None:
    periodic = replace(corpus, training=MemoryPieces([piece("ACGT" * 500, "alpha")], corpus.species))
    config = tiny_config(
        hidden_size=64, layers=1, dropout=0, init="offset-heads", learning_rate=5e-3, max_steps=60,
        evaluation_steps=60, log_steps=10, checkpoint_steps=60,
    )  # fmt: skip
    pretrain(periodic, config, tmp_path / "run")
    shown = losses(tmp_path / "run")
    assert shown[-1] < 0.3 < shown[0]
    ids = _ids("ACGTACGTACGTACGT" * 5)
    hidden = ids.clone()
    places = torch.tensor([25, 38, 51])
    hidden[0, places] = MASK
    found = _logits(load_masked_lm(tmp_path / "run" / "last").network, hidden)[0, places].argmax(dim=1)
    assert found.tolist() == ids[0, places].tolist()


def test_the_loss_is_the_mean_over_the_masked_bases_of_all_parts() -> None:
    logits = torch.randn(4, 6, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.full((4, 6), -100)
    labels[0, 1:5] = torch.tensor([6, 7, 8, 9])
    labels[3, 2] = 6
    whole = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    parts = [training.masked_lm_loss(logits[part], {"labels": labels[part]}, 5) for part in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(parts[0] + parts[1], whole)


# Parts of a batch


@pytest.mark.parametrize("change", [{"accumulation": 2}, {"accumulation": 3}, {"gradient_checkpointing": True}])
def test_how_a_batch_is_laid_out_changes_nothing(corpus: Corpus, tmp_path: Path, change: dict[str, Any]) -> None:
    pretrain(corpus, tiny_config(dropout=0), tmp_path / "plain")
    pretrain(corpus, tiny_config(dropout=0, **change), tmp_path / "other")
    assert losses(tmp_path / "other") == pytest.approx(losses(tmp_path / "plain"), abs=1e-5)
    assert losses(tmp_path / "other", "validation_loss") == pytest.approx(
        losses(tmp_path / "plain", "validation_loss"), abs=1e-5
    )


def test_bfloat16_comes_close_and_keeps_float32_weights(corpus: Corpus, tmp_path: Path, done: Path) -> None:
    pretrain(corpus, tiny_config(precision="bfloat16"), tmp_path / "run")
    assert losses(tmp_path / "run") == pytest.approx(losses(done), abs=0.05)
    assert losses(tmp_path / "run") != losses(done)
    assert {tensor.dtype for tensor in weights(tmp_path / "run" / "best").values()} == {torch.float32}


def test_worker_processes_change_nothing(corpus: Corpus, tmp_path: Path, done: Path) -> None:
    pretrain(corpus, tiny_config(workers=2), tmp_path / "run")
    assert metrics(tmp_path / "run") == metrics(done)


# The end of a run


def test_hours_end_a_run_and_it_is_saved(corpus: Corpus, tmp_path: Path) -> None:
    pretrain(corpus, tiny_config(max_steps=None, max_hours=1e-9), tmp_path / "run")
    assert losses(tmp_path / "run") == [pytest.approx(2.3, abs=0.2)]
    assert len(losses(tmp_path / "run", "validation_loss")) == 1
    load_masked_lm(tmp_path / "run" / "last")


def test_evaluations_without_improvement_halve_the_rate_and_end_the_run(corpus: Corpus, tmp_path: Path) -> None:
    one_base = replace(corpus, training=MemoryPieces([piece("A" * 3000, "alpha")], corpus.species))
    config = tiny_config(
        learning_rate=0.02, evaluation_steps=10, log_steps=10, checkpoint_steps=10, max_steps=1000,
        plateau_evaluations=2, early_stop=3,
    )  # fmt: skip
    pretrain(one_base, config, tmp_path / "run")
    validation = losses(tmp_path / "run", "validation_loss")
    best = validation.index(min(validation))
    assert len(validation) == best + 1 + 3
    rates = [line["learning_rate"] for line in metrics(tmp_path / "run") if "loss" in line]
    assert rates[best : best + 4] == [0.02, 0.02, 0.02, 0.01]


def test_a_corpus_that_holds_nothing_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = open_corpus(write_tiny_corpus(tmp_path, hold_out=()))
    assert not len(whole.validation)
    with pytest.raises(InputError, match="schedule plateau goes by the validation loss"):
        pretrain(whole, tiny_config(), tmp_path / "run")
    with pytest.raises(InputError, match="early_stop goes by the validation loss"):
        pretrain(whole, tiny_config(schedule="cosine", early_stop=2), tmp_path / "run")
    pretrain(whole, tiny_config(schedule="cosine"), tmp_path / "run")
    assert caplog.text.count("holds nothing out") == 1
    assert (len(losses(tmp_path / "run")), losses(tmp_path / "run", "validation_loss")) == (8, [])
    assert not (tmp_path / "run" / "best").exists()


# Going on


class StopError(Exception):
    pass


def _stop_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Let the loss of this call fail, validation counted too."""
    calls = iter(range(1, 10**6))
    loss = training.masked_lm_loss

    def failing(*arguments: Any) -> torch.Tensor:
        if next(calls) == call:
            raise StopError
        return loss(*arguments)

    monkeypatch.setattr(training, "masked_lm_loss", failing)


@pytest.mark.parametrize(
    "change", [{}, {"schedule": "cosine", "random_positions": True, "shortest_crop": 30, "longest_crop": 60}]
)
def test_a_resumed_run_repeats_what_would_have_been(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    config = tiny_config(accumulation=2, plateau_evaluations=1, **change)
    pretrain(corpus, config, tmp_path / "whole")
    with monkeypatch.context() as context:
        _stop_at(context, 14)
        with pytest.raises(StopError):
            pretrain(corpus, config, tmp_path / "broken")
    assert 3 <= len(losses(tmp_path / "broken")) < 8
    pretrain(corpus, config, tmp_path / "broken", resume=True)
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "whole")
    for name in ("best", "last"):
        assert same_weights(tmp_path / "broken" / name, tmp_path / "whole" / name)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_run_goes_on_exactly(folder: Path, corpus: Corpus, tmp_path: Path, seed: int) -> None:
    fields: dict[str, Any] = {"max_steps": 400, "evaluation_steps": 20, "checkpoint_steps": 10, "dropout": 0.1}
    last = random.Random(seed).randint(15, 60)
    run, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "sbert_vcf", "train", "pretrain", str(folder), "-o", str(run), *options(**fields)]
    path = os.pathsep.join(str(ROOT / name) for name in (".", "model", "train"))
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_text().count('"loss"') < last:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = len(losses(run)) if (run / "metrics.jsonl").read_text().endswith("\n") else last
    assert last <= reached < 400
    fields["max_steps"] = 10 * (reached // 10 + 2)  # the plateau schedule does not know where the run ends
    pretrain(corpus, tiny_config(**fields), run, resume=True)
    pretrain(corpus, tiny_config(**fields), whole)
    assert metrics(run) == metrics(whole)
    assert same_weights(run / "last", whole / "last")
    assert same_weights(run / "best", whole / "best")


def test_a_run_can_be_made_longer(corpus: Corpus, tmp_path: Path, done: Path) -> None:
    pretrain(corpus, tiny_config(max_steps=6), tmp_path / "run")
    with pytest.raises(InputError, match="has its 6 steps; raise max_steps"):
        pretrain(corpus, tiny_config(max_steps=6), tmp_path / "run", resume=True)
    pretrain(corpus, tiny_config(max_steps=8), tmp_path / "run", resume=True)
    assert metrics(tmp_path / "run") == metrics(done)


def test_a_kill_between_two_renames_leaves_a_checkpoint(corpus: Corpus, tmp_path: Path, done: Path) -> None:
    pretrain(corpus, tiny_config(max_steps=3), tmp_path / "run")
    (tmp_path / "run" / "last").rename(tmp_path / "run" / ".last.old")
    (tmp_path / "run" / ".new" / "checkpoint-6").mkdir(parents=True)
    with pytest.raises(InputError, match="holds a run already"):
        pretrain(corpus, tiny_config(), tmp_path / "run")
    pretrain(corpus, tiny_config(), tmp_path / "run", resume=True)
    assert metrics(tmp_path / "run")[-1] == metrics(done)[-1]


# Starting from a model


def test_init_from_starts_with_the_weights_of_a_model(corpus: Corpus, tmp_path: Path, done: Path) -> None:
    config = tiny_config(learning_rate=1e-12, shortest_crop=100, max_steps=2)
    pretrain(corpus, config, tmp_path / "run", init_from=done / "best")
    ids = _ids("ACGTNACGTTTGACA")
    torch.testing.assert_close(
        _logits(load_masked_lm(tmp_path / "run" / "best").network, ids),
        _logits(load_masked_lm(done / "best").network, ids),
        atol=1e-5,
        rtol=0,
    )


def test_a_model_saved_by_transformers_is_a_start(tmp_path: Path) -> None:
    torch.manual_seed(5)
    theirs = BertForMaskedLM(
        BertConfig(
            vocab_size=10,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=130,
        )
    )
    theirs.save_pretrained(tmp_path / "theirs")
    ids = _ids("ACGTNACGTTTGACA")
    ours = build_model(tiny_config(), tmp_path / "theirs")
    torch.testing.assert_close(_logits(ours, ids), _logits(theirs, ids), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        _logits(load_masked_lm(tmp_path / "theirs").network, ids), _logits(theirs, ids), atol=1e-5, rtol=0
    )


def test_models_of_another_architecture_are_refused(corpus: Corpus, tmp_path: Path, done: Path) -> None:
    config = tiny_config(layers=3, heads=4)
    message = "layers is 2, the config says 3; heads is 2, the config says 4"
    with pytest.raises(ModelError, match=f"another architecture: {message}"):
        pretrain(corpus, config, tmp_path / "run", init_from=done / "best")
    with pytest.raises(ModelError, match="max_nt is 128, the config says 200"):
        build_model(tiny_config(max_nt=200), done / "best")
    classifier = write_random_token_classifier(tmp_path / "bp", hidden=16, heads=2, max_nt=128)
    with pytest.raises(ModelError, match="expected a masked language model"):
        build_model(tiny_config(), classifier)
    pretrain(corpus, tiny_config(max_steps=3), tmp_path / "run")
    build_model(tiny_config(layers=1)).save_pretrained(tmp_path / "run" / "last")
    with pytest.raises(ModelError, match=r"run/last: a model of another architecture: layers is 1"):
        pretrain(corpus, tiny_config(), tmp_path / "run", resume=True)


# What goes wrong


def test_runs_are_not_mixed_up(corpus: Corpus, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(InputError, match="no checkpoint to resume from"):
        pretrain(corpus, tiny_config(), run, resume=True)
    pretrain(corpus, tiny_config(max_steps=3), run)
    with pytest.raises(InputError, match="holds a run already; go on with --resume"):
        pretrain(corpus, tiny_config(), run)
    with pytest.raises(InputError, match=r"learning_rate was 0\.001, now 0\.002; seed was 0, now 1"):
        pretrain(corpus, tiny_config(learning_rate=2e-3, seed=1), run, resume=True)
    other = open_corpus(write_tiny_corpus(tmp_path / "other", seed=5))
    with pytest.raises(InputError, match=r"was trained on the corpus .*, which .*other/corpus is not"):
        pretrain(other, tiny_config(), run, resume=True)
    (run / "last" / "progress.json").write_text("{")
    with pytest.raises(InputError, match=r"progress\.json: cannot be read"):
        pretrain(corpus, tiny_config(), run, resume=True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is a file"):
        pretrain(corpus, tiny_config(), tmp_path / "file")


def test_a_corpus_that_is_too_short(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the corpus is too short: "):
        pretrain(corpus, tiny_config(batch_tokens=1_000_000), tmp_path / "run")
    with pytest.raises(InputError, match="fewer than its 5 parts"):
        pretrain(corpus, tiny_config(accumulation=5), tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_the_run(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(1, 1000))
    loss = training.masked_lm_loss
    monkeypatch.setattr(
        training, "masked_lm_loss", lambda *given: loss(*given) * (float("nan") if next(calls) == 6 else 1)
    )
    config = tiny_config(log_steps=3, evaluation_steps=9, max_steps=9)
    message = r"step 6: the loss is not finite \(species of the batch: alpha, beta\).*--init-from .*last.*learning_rate"
    with pytest.raises(SbertError, match=message):
        pretrain(corpus, config, tmp_path / "run")
    assert len(losses(tmp_path / "run")) == 1
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run" / "last").values())


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt"])
def test_without_room_the_last_checkpoint_stays(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: Path, file: str
) -> None:
    """The limit on the size of files lets the model through, or not even that."""
    limit = (done / "last" / "model.safetensors").stat().st_size + (100 if file == "optimizer.pt" else -100)
    save = Trainer._save_checkpoint
    room = iter([True, False])

    def limited(self: Trainer, *arguments: Any) -> None:
        if next(room):
            save(self, *arguments)
        else:
            with _largest_file(limit):
                save(self, *arguments)

    with monkeypatch.context() as context:
        context.setattr(Trainer, "_save_checkpoint", limited)
        with pytest.raises(
            OutputError, match=r"cannot write the checkpoint of step 6 \(.*one before it, .*last, stays"
        ):
            pretrain(corpus, tiny_config(), tmp_path / "run")
    assert not (tmp_path / "run" / ".new").exists()
    pretrain(corpus, tiny_config(), tmp_path / "run", resume=True)
    assert metrics(tmp_path / "run") == metrics(done)
    assert same_weights(tmp_path / "run" / "last", done / "last")


def test_without_room_for_the_first_checkpoint(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(training, "complete_model_folder", full)
    with pytest.raises(OutputError, match=r"best: cannot write .*No space left on device\); there is none before it"):
        pretrain(corpus, tiny_config(), tmp_path / "run")


def test_precisions_that_the_machine_lacks(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="float16 needs a CUDA GPU"):
        pretrain(corpus, tiny_config(precision="float16"), tmp_path / "run")


def test_first_weights_depend_on_the_seed() -> None:
    def words(config: Config) -> torch.Tensor:
        return build_model(config).bert.embeddings.word_embeddings.weight.detach()

    assert torch.equal(words(tiny_config()), words(tiny_config()))
    assert not torch.equal(words(tiny_config()), words(tiny_config(seed=1)))
    assert float(words(tiny_config(initializer_range=0.5)).std()) == pytest.approx(0.5, rel=0.2)

"""transformers' Trainer with what pretraining adds: the loss, its validation, checkpoints replaced whole, a budget."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import BertForMaskedLM, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sbert_model.errors import OutputError, SbertError
from sbert_model.tokenizer import NUCLEOTIDES
from sbert_train.batches import Batch, CropBatches
from sbert_train.config import Config
from sbert_train.export import complete_model_folder
from sbert_train.masking import IGNORED
from sbert_train.metrics import Reporter
from sbert_train.run_folder import PROGRESS, Progress, RunFolder, put_in_place
from sbert_train.schedule import Budget


@dataclass(frozen=True, slots=True)
class SoftWeights:
    """What soft targets count for: their `share` at masked bases, and the weight of the `visible` bases' mean."""

    share: float
    visible: float
    mask_rate: float


def masked_lm_loss(logits: Tensor, batch: Batch, masked_bases: Tensor | int) -> Tensor:
    """Return the cross-entropy (nats) of the masked bases of a part of a batch, divided by those of the whole batch.

    logits: (B, T, 10). The parts' losses, over processes and accumulation steps, add up to the mean over the batch.
    """
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), batch["labels"].flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return losses / masked_bases


def soft_loss(logits: Tensor, batch: Batch, weights: SoftWeights, masked_bases: Tensor | int) -> Tensor:
    """Return the same with soft targets in it.

    Of the targets at masked bases `weights.share` are the soft ones and the rest the true bases. Where
    `weights.visible` is not 0, the mean cross-entropy with the soft targets of all other bases is added, that many
    times: how many those are is taken from the share that is masked, so that parts add up here, too.
    """
    hard = masked_lm_loss(logits, batch, masked_bases)
    log_probs = logits.float().log_softmax(-1)[..., min(NUCLEOTIDES) : max(NUCLEOTIDES) + 1]  # (B, T, 4)
    losses = -(batch["soft_labels"] * log_probs).sum(-1)  # (B, T), 0 at special tokens
    masked = batch["labels"] != IGNORED  # (B, T)
    loss = weights.share * losses[masked].sum() / masked_bases + (1 - weights.share) * hard
    if not weights.visible:
        return loss
    visible_bases = masked_bases * (1 / weights.mask_rate - 1)
    return loss + weights.visible * losses[~masked].sum() / visible_bases


def network_inputs(batch: Batch) -> Batch:
    """Return what the network reads of a batch: all but the targets."""
    return {name: value for name, value in batch.items() if name not in ("labels", "soft_labels")}


class Pretrainer(Trainer):
    """Trains on the parts of CropBatches; the loss of an optimizer step is the mean over its masked bases."""

    def __init__(
        self,
        network: BertForMaskedLM,
        batches: CropBatches,
        run: RunFolder,
        first: int,
        soft: SoftWeights,
        **options: Any,
    ) -> None:
        super().__init__(model=network, train_dataset=batches, **options)
        self.loss_is_scaled_for_ga = True
        self.model_accepts_loss_kwargs = True  # makes Trainer count the labels of all parts of a batch
        self.network = network
        self.batches = batches
        self.run = run
        self.soft = soft
        self._finite = first  # steps whose loss is known to be finite
        self._losses: list[Tensor] = []  # of the steps since then

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return this part's share of the loss, times the processes, whose gradients are averaged."""
        outputs = model(**network_inputs(inputs))
        assert num_items_in_batch is not None
        if "soft_labels" in inputs:
            loss = soft_loss(outputs.logits, inputs, self.soft, num_items_in_batch)
        else:
            loss = masked_lm_loss(outputs.logits, inputs, num_items_in_batch)
        loss = loss * self.args.world_size
        return (loss, outputs) if return_outputs else loss

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Train on one part of a batch; returns its loss."""
        loss = super().training_step(*args, **kwargs)
        if self._finite + len(self._losses) == self.state.global_step:
            self._losses.append(loss)
        else:
            self._losses[-1] = self._losses[-1] + loss
        return loss

    def check_losses(self) -> None:
        """Raise SbertError for the first step, since the last call, whose loss is not finite.

        Not after each step, since a GPU would have to wait, but before anything is reported or saved.
        """
        losses = torch.stack(self._losses) if self._losses else torch.zeros(0, device=self.args.device)
        bad = (~self.accelerator.reduce(losses, "sum").isfinite()).nonzero()
        if len(bad):
            number = self._finite + int(bad[0])
            species = ", ".join(self.batches.species(number))
            precision = ", precision bfloat16 or float32" if self.args.fp16 else ""
            raise SbertError(
                f"step {number + 1}: the loss is not finite (species of the batch: {species}); start a new run"
                f"{f' with --init-from {self.run.last}' if self.run.last.exists() else ''} and try a lower "
                f"learning_rate, warmup_steps, a lower max_grad_norm{precision}"
            )
        self._finite += len(self._losses)
        self._losses = []

    def evaluate(
        self,
        eval_dataset: Dataset[Batch] | dict[str, Dataset[Batch]] | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return the mean cross-entropy of the masked bases of the held-out sample, shared out to the processes."""
        sample = self.eval_dataset
        assert isinstance(sample, CropBatches)
        self.network.train(False)
        totals = torch.zeros(2, device=self.args.device)  # of losses and of bases
        with torch.no_grad():
            for number in range(self.args.process_index, len(sample), self.args.world_size):
                batch = {name: value.to(self.args.device) for name, value in sample[number].items()}
                logits = self.network(**network_inputs(batch)).logits
                totals[0] += masked_lm_loss(logits, batch, 1)
                totals[1] += (batch["labels"] != IGNORED).sum()
        losses, bases = self.accelerator.reduce(totals, "sum").tolist()
        metrics = {"eval_loss": losses / bases}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the model and what reads it: a folder for transformers and for `annotate -m`."""
        super().save_model(output_dir, _internal_call)
        if self.args.should_save and output_dir is not None:
            complete_model_folder(Path(output_dir), self.network.config.max_position_embeddings - 2)
            (Path(output_dir) / "training_args.bin").unlink(missing_ok=True)  # a pickle that nothing here reads

    def save_best(self) -> None:
        """Replace the best model by the present one."""
        with self.writing(self.run.best):
            self.save_model(str(self.run.scratch / "best"))
        if self.args.should_save:
            put_in_place(self.run.scratch / "best", self.run.best)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        with self.writing(self.run.last):
            super()._save_checkpoint(model, trial)

    def writing(self, target: Path) -> "_Writing":
        """Return the context in which files of the checkpoint `target` are written."""
        return _Writing(self.run.scratch, target, self.state.global_step)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Count nothing: it would take longer than it is worth."""
        return 0


@dataclass(frozen=True, slots=True)
class _Writing:
    """Turns the errors of writing a checkpoint into OutputError, and clears away what was written of it."""

    scratch: Path
    target: Path
    step: int

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # safetensors and torch.save report a full disk as errors of their own.
        if not isinstance(error, OSError | SafetensorError | RuntimeError):
            return
        shutil.rmtree(self.scratch, ignore_errors=True)
        kept = f"the one before it, {self.target}, stays" if self.target.exists() else "there is none before it"
        raise OutputError(
            f"{self.target}: cannot write the checkpoint of step {self.step} ({' '.join(str(error).split())}); {kept}; "
            "make room and go on with --resume"
        ) from error


class Conductor(TrainerCallback):
    """Seeds each step, ends the run in time, and sees to reports and checkpoints.

    reporter: of the main process; the others have none.
    """

    def __init__(self, trainer: Pretrainer, config: Config, budget: Budget, reporter: Reporter | None) -> None:
        self._trainer = trainer
        self._config = config
        self._budget = budget
        self._reporter = reporter

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Make dropout, as the batches, depend on the number of the step alone: a resumed run repeats it."""
        rng = np.random.default_rng((self._config.seed, state.global_step, args.process_index))
        torch.manual_seed(int(rng.integers(2**63)))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count the step; note the time where something is logged, and end the run when its budget is used up."""
        if self._reporter:
            self._reporter.step(self._trainer.batches.size(state.global_step - 1))
        if control.should_log or control.should_training_stop:
            # The clock of the main process counts for all: they have to stop together, at one learning rate.
            seconds = torch.tensor([self._budget.clock()], device=args.device)
            self._budget.seconds = float(broadcast(seconds))
            control.should_training_stop |= self._budget.progress(state.global_step) >= 1
        if control.should_training_stop:
            control.should_log = control.should_save = True
            control.should_evaluate = self._trainer.eval_dataset is not None
        if control.should_log:
            self._trainer.check_losses()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **event: Any) -> None:
        """Report the loss of the last steps."""
        logs: dict[str, float] = event["logs"]
        if self._reporter and "loss" in logs:
            self._reporter.training(state.global_step, logs["loss"], logs["learning_rate"], logs.get("grad_norm"))

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Keep the best model, and end the run when there has been none for long."""
        losses = [line["eval_loss"] for line in state.log_history if "eval_loss" in line]
        since_best = len(losses) - 1 - losses.index(min(losses))
        if self._reporter:
            self._reporter.validation(state.global_step, losses[-1])
        if not since_best:
            self._trainer.save_best()
        if self._config.early_stop is not None and since_best >= self._config.early_stop:
            control.should_training_stop = control.should_save = True
        if self._reporter:
            self._reporter.restart_window()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Put the new checkpoint in the place of the last one."""
        self._trainer.accelerator.wait_for_everyone()  # each process writes a part of it
        if self._reporter:
            run = self._trainer.run
            new = run.scratch / f"checkpoint-{state.global_step}"
            progress = Progress(state.global_step, self._budget.clock(), self._reporter.tokens)
            with self._trainer.writing(run.last):
                (new / PROGRESS).write_text(json.dumps(asdict(progress)))
            put_in_place(new, run.last)
            self._reporter.restart_window()

"""Pretraining of a SpliceBERT-like model from scratch: masked language modelling on pre-mRNA."""

import json
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    BertConfig,
    BertForMaskedLM,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint, set_seed
from transformers.utils import logging

from sbert_model.errors import InputError
from sbert_model.tokenizer import PAD, VOCAB
from sbert_train.batches import Batch, CropBatches
from sbert_train.corpus import Piece
from sbert_train.export import write_tokenizer
from sbert_train.offset_heads import initialise_offset_heads
from sbert_train.recipe import Architecture, Budget, Recipe, parse_stages

BUDGET_FILE = "budget.json"
UNLIMITED_STEPS = 10**9


def new_model(architecture: Architecture, init: str = "random", seed: int = 0) -> BertForMaskedLM:
    """Return an untrained model; init: "random" as BERT's, or "offset-heads".

    Raises InputError for a hidden size that the heads do not divide.
    """
    if architecture.hidden_size % architecture.heads:
        raise InputError(f"hidden size {architecture.hidden_size} is no multiple of {architecture.heads} heads")
    set_seed(seed)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(VOCAB),
            hidden_size=architecture.hidden_size,
            num_hidden_layers=architecture.layers,
            num_attention_heads=architecture.heads,
            intermediate_size=architecture.ffn,
            max_position_embeddings=architecture.max_nt + 2,
            type_vocab_size=2,
            hidden_dropout_prob=architecture.dropout,
            attention_probs_dropout_prob=architecture.dropout,
            initializer_range=architecture.initializer_range,
            pad_token_id=PAD,
        )
    )
    if init == "offset-heads":
        initialise_offset_heads(model)
    return model


def pretrain(model: BertForMaskedLM, pieces: list[Piece], recipe: Recipe, out: Path, resume: bool = False) -> None:
    """Train `model` on crops of `pieces`; `out` gets checkpoints and, at the end, the model as transformers writes it.

    resume: go on from the last checkpoint in `out` as if the run had not been interrupted.
    Raises InputError for a recipe without an end, for sequences longer than the model reads, for a folder that
    holds a run already, and for one with nothing to resume.
    """
    if recipe.max_steps is None and recipe.max_hours is None:
        raise InputError("pretraining needs an end: give a number of steps, of hours, or both")
    stages = parse_stages(recipe.sequence_length)
    positions = int(model.config.max_position_embeddings)
    if max(stage.length for stage in stages) > positions - 2:
        raise InputError(f"sequence length {recipe.sequence_length}: this model reads at most {positions - 2} nt")
    checkpoint = _checkpoint_to_resume(out, resume)
    first, spent = _where_it_stopped(checkpoint) if checkpoint else (0, 0.0)
    budget = Budget(recipe.max_steps, recipe.max_hours, spent)
    batches = CropBatches(
        pieces, lambda step: budget.sequence_length(stages, step), recipe.batch_tokens, positions, recipe.seed, first
    )
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, recipe.weight_decay), lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True
    )
    scheduler = LambdaLR(optimizer, lambda step: budget.learning_rate_factor(step, recipe.warmup_steps))
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    trainer = Trainer(
        model=model,
        args=_arguments(recipe, out),
        train_dataset=batches,
        data_collator=_only,
        optimizers=(optimizer, scheduler),
        callbacks=[_Timekeeper(budget, recipe.seed)],
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    trainer.save_model(str(out))
    write_tokenizer(out, positions - 2)


def _arguments(recipe: Recipe, out: Path) -> TrainingArguments:
    accelerated = torch.accelerator.is_available()
    return TrainingArguments(
        output_dir=str(out),
        max_steps=recipe.max_steps or UNLIMITED_STEPS,
        per_device_train_batch_size=1,  # the data set yields whole batches
        max_grad_norm=1.0,
        save_steps=recipe.checkpoint_steps,
        save_total_limit=2,
        logging_steps=50,
        bf16=recipe.bfloat16,
        use_cpu=not accelerated,
        dataloader_pin_memory=accelerated,
        seed=recipe.seed,
        ignore_data_skip=True,  # batches are made from their number: none has to be drawn again
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
    )


def _only(batches: list[Batch]) -> Batch:
    return batches[0]


def _parameter_groups(model: BertForMaskedLM, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices alone, as usual for transformers."""
    parameters = list(model.parameters())
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay": 0.0},
    ]


def _checkpoint_to_resume(out: Path, resume: bool) -> Path | None:
    found = get_last_checkpoint(str(out)) if out.is_dir() else None  # type: ignore[no-untyped-call]
    if resume and found is None:
        raise InputError(f"{out}: no checkpoint to resume from; start without --resume")
    if not resume and found is not None:
        raise InputError(f"{out}: holds the checkpoints of a run; go on with --resume, or choose another folder")
    return Path(found) if found else None


def _where_it_stopped(checkpoint: Path) -> tuple[int, float]:
    """Return the steps done and the seconds spent up to a checkpoint."""
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    budget = json.loads((checkpoint / BUDGET_FILE).read_text())
    return int(state["global_step"]), float(budget["seconds"])


class _Timekeeper(TrainerCallback):
    """Ends the run when its budget is used up, and notes in each checkpoint the time spent so far."""

    def __init__(self, budget: Budget, seed: int) -> None:
        self._budget = budget
        self._seed = seed

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # Dropout, as the batches, depends on the number of the step alone: a resumed run repeats what would have been.
        torch.manual_seed((self._seed << 32) + state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._budget.progress(state.global_step) >= 1.0:
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        (folder / BUDGET_FILE).write_text(json.dumps({"seconds": self._budget.seconds()}))

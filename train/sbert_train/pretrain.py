"""Pretraining of a SpliceBERT-like model: masked language modelling on pre-mRNA (Chen et al. 2024)."""

import logging
import pickle
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from transformers import BertConfig, BertForMaskedLM, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as transformers_logging

from sbert_model.checkpoint import load_masked_lm
from sbert_model.errors import DeviceError, InputError, ModelError
from sbert_model.tokenizer import PAD, VOCAB
from sbert_train.batches import Batch, CropBatches, Crops
from sbert_train.config import Config
from sbert_train.corpus import Corpus
from sbert_train.focus import boundaries, certain_targets
from sbert_train.metrics import Reporter
from sbert_train.offset_heads import initialise_offset_heads
from sbert_train.run_folder import Progress, RunFolder
from sbert_train.schedule import Budget, make_scheduler
from sbert_train.soft_targets import open_soft_targets
from sbert_train.trainer import Conductor, Pretrainer, SoftWeights

UNLIMITED_STEPS = 10**9
VALIDATION_SEED = 2024  # not the run's own: all runs on a corpus are compared on the same bases
VALIDATION_BATCH = 16_384  # tokens

_LOG = logging.getLogger(__name__)
_SIZES = {
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "ffn": "intermediate_size",
}


def pretrain(corpus: Corpus, config: Config, out: Path, init_from: Path | None = None, resume: bool = False) -> None:
    """Train a model on the training pieces of `corpus`; `out` becomes the folder of the run (sbert_train.run_folder).

    Works alone and as one of the processes that torchrun starts.
    init_from: start from the weights of this model folder. resume: go on from the last checkpoint in `out` as if the
    run had not been interrupted.
    Raises InputError for a corpus that does not fit the config and a folder that does not fit `resume`, ModelError for
    a model of another architecture, DeviceError for a precision that the machine lacks, OutputError for a checkpoint
    that cannot be written, SbertError for a loss that is not finite.
    """
    arguments = _arguments(config, out, evaluates=len(corpus.validation) > 0)
    run = RunFolder(out)
    machine = PartialState()
    validation = _validation(corpus, config)
    if machine.is_main_process:
        if validation is None:
            _LOG.warning("the corpus holds nothing out: there is no validation loss and no best model, only the last")
        if resume:
            run.reopen(config, corpus)
    machine.wait_for_everyone()
    done = run.progress() if resume else Progress()
    model = build_model(config, run.last if resume else init_from)
    if config.max_steps is not None and done.step >= config.max_steps:
        raise InputError(f"{out}: the run has its {config.max_steps} steps; raise max_steps to go on")

    batches = _training(corpus, config, arguments, done.step)
    if machine.is_main_process and not resume:
        run.begin(config, corpus)  # not before all that is given has been read and found to fit
    budget = Budget(config.max_steps, config.max_hours, done.seconds)
    reporter = Reporter(run.metrics, budget, done.step, done.tokens) if machine.is_main_process else None
    optimizer = _optimizer(model, config)
    trainer = Pretrainer(
        model,
        batches,
        run,
        done.step,
        SoftWeights(config.soft_share, config.soft_visible, config.mask_rate),
        args=arguments,
        eval_dataset=validation,
        data_collator=_only,
        optimizers=(optimizer, make_scheduler(optimizer, config, budget)),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Conductor(trainer, config, budget, reporter))
    try:
        trainer.train(resume_from_checkpoint=str(run.last) if resume else None)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{run.last}: not resumed: it is broken or holds more than tensors, and loading that could run code"
        ) from error
    finally:
        if reporter:
            reporter.close()
    machine.wait_for_everyone()  # Trainer looks into the folder to its end, in every process
    if machine.is_main_process:
        run.scratch.rmdir()


def build_model(config: Config, weights: Path | None = None) -> BertForMaskedLM:
    """Return a model of the config's architecture: untrained, or with the weights of a model folder.

    Raises ModelError for a folder of another architecture, or without a masked language model.
    """
    set_seed(config.seed)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(VOCAB),
            **{theirs: getattr(config, ours) for ours, theirs in _SIZES.items()},
            max_position_embeddings=config.max_nt + 2,
            type_vocab_size=2,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
            initializer_range=config.initializer_range,
            pad_token_id=PAD,
        )
    )
    if weights is not None:
        checkpoint = load_masked_lm(weights)
        found = {name: getattr(checkpoint.config, theirs) for name, theirs in _SIZES.items()}
        found["max_nt"] = checkpoint.config.max_nucleotides
        if other := [
            f"{name} is {value}, the config says {getattr(config, name)}"
            for name, value in found.items()
            if value != getattr(config, name)
        ]:
            raise ModelError(f"{weights}: a model of another architecture: {'; '.join(other)}")
        model.load_state_dict(checkpoint.network.state_dict())
    elif config.init == "offset-heads":
        initialise_offset_heads(model)
    return model


def _arguments(config: Config, out: Path, evaluates: bool) -> TrainingArguments:
    accelerated = torch.accelerator.is_available()
    half = _half_precision(config.precision)
    checkpointing = "activation_checkpointing"  # transformers 5.20 knows only the older name
    if not hasattr(TrainingArguments, checkpointing):
        checkpointing = "gradient_checkpointing"
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    options: dict[str, Any] = {checkpointing: config.gradient_checkpointing}
    return TrainingArguments(
        output_dir=str(RunFolder(out).scratch),
        max_steps=config.max_steps or UNLIMITED_STEPS,
        per_device_train_batch_size=1,  # an item of the data set is a batch
        gradient_accumulation_steps=config.accumulation,
        max_grad_norm=config.max_grad_norm,
        bf16=half == "bfloat16",
        fp16=half == "float16",
        torch_compile=config.compile,
        use_cpu=not accelerated,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=accelerated,
        dataloader_num_workers=config.workers,
        train_sampling_strategy="sequential",
        ignore_data_skip=True,  # batches are made from their number: none has to be drawn again
        remove_unused_columns=False,
        seed=config.seed,
        logging_steps=config.log_steps,
        logging_nan_inf_filter=False,  # Pretrainer sees to it, without waiting for the GPU at each step
        save_steps=config.checkpoint_steps,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=config.evaluation_steps,
        metric_for_best_model="loss" if evaluates else None,
        greater_is_better=False,
        disable_tqdm=True,
        report_to="none",
        **options,
    )


def _half_precision(precision: str) -> str | None:
    """Return the 16-bit type of automatic mixed precision, or None; raises DeviceError where the machine lacks it."""
    cuda = torch.cuda.is_available()
    native = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        return ("bfloat16" if native else "float16") if cuda else None
    if precision == "float16" and not cuda:
        raise DeviceError("precision float16 needs a CUDA GPU; choose auto, float32 or bfloat16")
    if precision == "bfloat16" and cuda and not native:
        raise DeviceError(f"{torch.cuda.get_device_name()} has no bfloat16; choose auto, float32 or float16")
    return None if precision == "float32" else precision


def _crops(config: Config, batch_tokens: int) -> Crops:
    return Crops(
        shortest=config.shortest_crop,
        longest=config.longest_crop,
        batch_tokens=batch_tokens,
        mask_rate=config.mask_rate,
        repeat_weight=config.repeat_weight,
        positions=config.max_nt + 2 if config.random_positions else None,
    )


def _training(corpus: Corpus, config: Config, arguments: TrainingArguments, first: int) -> CropBatches:
    """Return the batches of the run from step `first` on."""
    soft = open_soft_targets(Path(config.soft_targets), corpus) if config.soft_targets is not None else None
    focuses = []
    if soft is not None and config.soft_focus:
        focuses.append(certain_targets(soft, config.soft_focus))
    if config.site_focus:
        focuses.append(boundaries(corpus.training, config.site_focus))
    return CropBatches(
        corpus.training,
        corpus.weights,
        _crops(config, config.batch_tokens),
        config.seed,
        parts=arguments.world_size * config.accumulation,
        first=first,
        count=arguments.max_steps,
        soft=soft,
        focuses=focuses,
    )


def _validation(corpus: Corpus, config: Config) -> CropBatches | None:
    """Return the held-out sample; raises InputError where the config needs one and the corpus has none."""
    if not len(corpus.validation):
        for name, needs in (("schedule plateau", config.schedule == "plateau"), ("early_stop", config.early_stop)):
            if needs:
                raise InputError(
                    f"{corpus.folder}: {name} goes by the validation loss, and this corpus holds nothing out; "
                    "build it with --hold-out, or choose schedule cosine without early_stop"
                )
        return None
    tokens = max(config.longest_crop + 2, min(VALIDATION_BATCH, config.validation_tokens))
    tokens = min(tokens, int(corpus.validation.lengths.sum()))
    crops = Crops(config.shortest_crop, config.longest_crop, tokens, config.mask_rate)
    count = -(-config.validation_tokens // tokens)
    return CropBatches(corpus.validation, corpus.weights, crops, VALIDATION_SEED, count=count)


def _only(batches: list[Batch]) -> Batch:
    return batches[0]


def _optimizer(model: BertForMaskedLM, config: Config) -> torch.optim.AdamW:
    """Weight decay for matrices alone, as usual for transformers."""
    parameters = list(model.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [item for item in parameters if item.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [item for item in parameters if item.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2), fused=True)

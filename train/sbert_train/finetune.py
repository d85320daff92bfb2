"""Fine-tuning of a pretrained encoder for classification: one network and its training, as both tasks have them."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch.nn import functional
from tqdm import tqdm
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification
from transformers.utils import logging as transformers_logging

from sbert_model.checkpoint import Checkpoint
from sbert_model.errors import InputError, OutputError, SbertError
from sbert_model.network import MaskedLM
from sbert_model.precision import Precision, resolve_precision
from sbert_model.tokenizer import PAD, VOCAB
from sbert_train.examples import Examples
from sbert_train.export import complete_model_folder
from sbert_train.masking import IGNORED

Classifier: TypeAlias = BertForTokenClassification | BertForSequenceClassification
Floats32: TypeAlias = npt.NDArray[np.float32]

_AT_ONCE = 8  # sequences per forward pass of a prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to fine-tune. The defaults are the published ones for branchpoints.

    stalled_epochs: epochs without a better mean validation figure after which the learning rate is halved.
    patience: the same, after which training ends.
    freeze_layers: the embeddings and so many layers stay as they are; None: nothing does.
    precision: of all passes, "float32" or "bfloat16", or "auto", see `uses_bfloat16`. Weights stay float32.
    """

    learning_rate: float = 1e-5
    weight_decay: float = 1e-6
    batch_size: int = 8
    max_epochs: int = 200
    stalled_epochs: int = 2
    patience: int = 10
    dropout: float = 0.1
    freeze_layers: int | None = None
    from_scratch: bool = False
    precision: str = "auto"
    seed: int = 0


def make_network(
    kind: type[Classifier], model: Checkpoint[MaskedLM], settings: Settings, names: tuple[str, str]
) -> Classifier:
    """Return the encoder of `model` under an untrained head of two classes, or all of it untrained.

    Raises InputError where more layers are to be frozen than there are.
    """
    config = model.config
    if (settings.freeze_layers or 0) > config.num_hidden_layers:
        raise InputError(
            f"--freeze-layers {settings.freeze_layers}: the model {model.name} has {config.num_hidden_layers} layers"
        )
    torch.manual_seed(settings.seed)
    network = kind(
        BertConfig(
            vocab_size=len(VOCAB),
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            max_position_embeddings=config.max_position_embeddings,
            type_vocab_size=config.type_vocab_size,
            layer_norm_eps=config.layer_norm_eps,
            hidden_dropout_prob=settings.dropout,
            attention_probs_dropout_prob=settings.dropout,
            pad_token_id=PAD,
            id2label=dict(enumerate(names)),
            label2id={name: label for label, name in enumerate(names)},
        )
    )
    if not settings.from_scratch:
        encoder = model.network.bert.state_dict()
        # Sequence classification has a layer over [CLS], the pooler, that pretraining has not.
        network.bert.load_state_dict({**network.bert.state_dict(), **encoder})
    if settings.freeze_layers is not None:
        frozen = [network.bert.embeddings, *network.bert.encoder.layer[: settings.freeze_layers]]
        for part in frozen:
            part.requires_grad_(False)
    return network


class Trainee:
    """A network in training: of a fold, or the final one."""

    def __init__(self, network: Classifier, examples: Examples, settings: Settings, device: torch.device) -> None:
        """`examples`: those to learn from. The network moves to `device`."""
        self.network = network.to(device)  # type: ignore[arg-type]
        self._examples = examples
        self._settings = settings
        self._device = device
        self._half = uses_bfloat16(settings.precision, device)
        self._optimizer = torch.optim.AdamW(
            [parameter for parameter in network.parameters() if parameter.requires_grad],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )

    def train(self, epoch: int, learning_rate: float, stream: int) -> float:
        """Train for one epoch and return its mean loss, nats per labelled base or sequence.

        stream: sets the order and the dropout of one network apart from those of others.
        """
        rng = np.random.default_rng((self._settings.seed, epoch, stream))
        torch.manual_seed(int(rng.integers(2**63)))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        order = rng.permutation(len(self._examples))
        size = self._settings.batch_size
        self.network.train()
        # The fused attention's backward pass has no matrix instructions for bfloat16 on a CPU.
        self.network.set_attn_implementation("eager" if self._half and self._device.type == "cpu" else "sdpa")
        losses = []
        for first in tqdm(range(0, len(order), size), desc=f"epoch {epoch}", unit="step", disable=None, leave=False):
            batch = self._examples.rows(order[first : first + size])
            logits = self._logits(batch)
            labels = torch.from_numpy(batch.labels).to(self._device)
            loss = functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            losses.append(loss.detach())
        mean = float(torch.stack(losses).mean())
        if not np.isfinite(mean):
            raise SbertError(f"epoch {epoch}: the loss is not finite; try a lower --learning-rate than {learning_rate}")
        return mean

    def probabilities(self, examples: Examples) -> Floats32:
        """Return the probability of class 1: (N, T) for each token, or (N,) for each sequence."""
        self.network.eval()
        self.network.set_attn_implementation("sdpa")
        parts = []
        with torch.inference_mode():
            for first in range(0, len(examples), _AT_ONCE):
                batch = examples.rows(np.arange(first, min(first + _AT_ONCE, len(examples))))
                parts.append(self._logits(batch).softmax(-1)[..., 1].cpu())
        return torch.cat(parts).numpy()

    def _logits(self, batch: Examples) -> torch.Tensor:
        """Logits (B, T, 2) or (B, 2), float32."""
        # Older versions of PyTorch know no autocast on MPS, not even one that is off.
        with torch.autocast(self._device.type, torch.bfloat16) if self._half else nullcontext():
            logits: torch.Tensor = self.network(
                input_ids=torch.from_numpy(batch.ids).to(self._device),
                position_ids=torch.from_numpy(batch.positions)[None].to(self._device),
            ).logits
        return logits.float()

    def save(self, folder: Path) -> None:
        """Write the network as a model folder; raises OutputError where that fails."""
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            folder.mkdir(parents=True)
            self.network.save_pretrained(folder)
            complete_model_folder(folder, self.network.config.max_position_embeddings - 2)
        except OSError as error:
            raise OutputError(f"{folder}: cannot write the model: {error.strerror or error}") from error

    def load(self, folder: Path) -> None:
        """Take the weights that `save` wrote."""
        self.network.load_state_dict(load_file(folder / "model.safetensors"))

    def write_state(self, file: Path) -> None:
        """Write all that training goes on from after an epoch: weights and optimizer."""
        torch.save({"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}, file)

    def read_state(self, file: Path) -> None:
        """Take what `write_state` wrote."""
        state = torch.load(file, map_location=self._device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether passes run in bfloat16; auto takes it on a GPU that has it. Raises DeviceError for a GPU without it."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return resolve_precision(precision, device) is Precision.BFLOAT16

"""SpliceBERT's network: a BERT encoder with a masked-LM head or a per-token classifier, for inference.

Modules carry the names of transformers' `BertForMaskedLM` and `BertForTokenClassification`, so that a state dict
fits both. There is no dropout: nothing is trained here.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbert_model.config import BertConfig as BertConfig
from sbert_model.encoder import Encoder
from sbert_model.tokenizer import VOCAB, A, T


class _Transform(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.LayerNorm(functional.gelu(self.dense(hidden)))  # type: ignore[no-any-return]


class _Predictions(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = _Transform(config)
        self.decoder = nn.Linear(config.hidden_size, len(VOCAB))
        # One parameter under two names, as in transformers.
        self.bias = self.decoder.bias

    def forward(self, hidden: Tensor) -> Tensor:
        return self.decoder(self.transform(hidden))  # type: ignore[no-any-return]


class _MaskedLMHead(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = _Predictions(config)


class MaskedLM(nn.Module):
    """Encoder and masked-LM head: the network that SpliceBERT is pretrained as."""

    classes = slice(A, T + 1)
    """The logits that become probabilities: A, C, G, T."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = Encoder(config)
        self.cls = _MaskedLMHead(config)
        self.cls.predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight

    @property
    def num_classes(self) -> int:
        """How many logits become probabilities."""
        return T + 1 - A

    def forward(self, ids: Tensor, places: Tensor | None = None) -> Tensor:
        """Logits over the vocabulary (B, T, 10) of ids (B, T) int64; at places (see Encoder.at) (groups, n, S, 10)."""
        if places is None:
            return self.head(self.bert(ids))
        return torch.stack([self.head(hidden) for hidden in self.bert.at(ids, places)])

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (…, 10) of last hidden states (…, H)."""
        return self.cls.predictions(hidden)  # type: ignore[no-any-return]


class TokenClassifier(nn.Module):
    """Encoder and one linear layer per token: the network that SpliceBERT is fine-tuned as."""

    classes = slice(None)
    """The logits that become probabilities: all of them."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = Encoder(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    @property
    def num_classes(self) -> int:
        """How many logits become probabilities."""
        return self.config.num_labels

    def forward(self, ids: Tensor, places: Tensor | None = None) -> Tensor:
        """Logits over the labels, (B, T, labels), of ids (B, T) int64; at places: (groups, n, S, labels)."""
        if places is None:
            return self.head(self.bert(ids))
        return torch.stack([self.head(hidden) for hidden in self.bert.at(ids, places)])

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (…, labels) of last hidden states (…, H)."""
        return self.classifier(hidden)  # type: ignore[no-any-return]

"""KL-context in emulated low precision: plain passes, split operands, paired-difference inference.

Run: python benchmarks/paired_difference.py [--model NAME] [--vcf VCF --fasta FASTA] [--alleles 30] [--indels]

--model is a name or folder of a masked language model, or `constructed`: random weights, 6 layers of 512 with attention
that falls off with distance, so that divergences fall from 7e-4 beside the variant to 2e-6 far from it. Without --vcf
the alleles are made up, in random sequences. They are substitutions of one base, or with --indels insertions and
deletions. Every figure compares with the same network in float64. Rows come as soon as they are measured.
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4000000000 in the environment spares the system much work.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from benchmarks.low_precision import (  # noqa: E402
    Bert,
    Change,
    Product,
    exact,
    rounded,
    scaled_float16,
    split,
    to_bfloat16,
    to_float16,
    to_tf32,
)
from sbert_model.checkpoint import load_masked_lm  # noqa: E402
from sbert_model.device import use_cpu_threads  # noqa: E402
from sbert_model.registry import resolve  # noqa: E402
from sbert_model.scoring import KL_FLOOR, Floats, kl_context, kl_divergence  # noqa: E402
from sbert_model.tokenizer import with_specials  # noqa: E402
from sbert_vcf.accuracy import spearman  # noqa: E402
from sbert_vcf.generated import generate  # noqa: E402
from sbert_vcf.notices import Notices  # noqa: E402
from sbert_vcf.reference import Reference  # noqa: E402
from sbert_vcf.variant import Allele, trim, unscorable  # noqa: E402
from sbert_vcf.vcf_input import VcfInput  # noqa: E402
from sbert_vcf.windows import WindowPair, build_windows, fits, flank_status  # noqa: E402

WINDOW = 1024
Network = Callable[[torch.dtype], Bert]


class Mode(NamedTuple):
    """An arithmetic; products: how many matrix products it makes of one of a plain pass, over both passes."""

    name: str
    product: Product
    paired: bool
    products: str


_PRODUCTS: dict[str, Product] = {
    "float32": exact,
    "TF32": rounded(to_tf32),
    "float16": rounded(to_float16),
    "bfloat16": rounded(to_bfloat16),
    "float16 split": split(to_float16),
    "bfloat16 split": split(to_bfloat16),
    "float16 scaled": scaled_float16,
}
_PLAIN = ("float32", "TF32", "float16", "bfloat16", "bfloat16 split", "float16 split")
_PAIRED = ("float16", "float16 scaled", "bfloat16", "TF32")
MODES = [
    *(Mode(name, _PRODUCTS[name], False, "2 × 3" if "split" in name else "2") for name in _PLAIN),
    *(Mode(f"paired difference, {name}", _PRODUCTS[name], True, "2, attention 3") for name in _PAIRED),
]


def published(name: str) -> Network:
    """Return the network of a model by name or folder."""
    model = load_masked_lm(resolve(name), name)
    weights = {key: tensor.clone() for key, tensor in model.network.state_dict().items()}
    return lambda dtype: Bert(weights, model.config.num_attention_heads, model.config.layer_norm_eps, dtype)


def constructed(layers: int = 6, hidden: int = 512, heads: int = 16) -> Network:
    """Return a network of random weights whose attention falls off with distance.

    Positions are random Fourier features of kernels that halve within some 4 and 28 tokens; keys look alike where
    queries do, so that a token attends to those near it.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(rows: int, columns: int, spread: float = 1.0) -> Tensor:
        return torch.randn(rows, columns, generator=generator) * spread / math.sqrt(columns)

    weights: dict[str, Tensor] = {}

    def linear(name: str, weight: Tensor) -> None:
        weights[f"{name}.weight"] = weight
        weights[f"{name}.bias"] = torch.randn(len(weight), generator=generator) * 0.02

    def norm(name: str, weight: float = 1.0) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = torch.full((hidden,), weight), torch.zeros(hidden)

    lengths = torch.tensor([6.0, 40.0]).repeat_interleave(hidden // 2)
    frequencies = torch.tan(math.pi * (torch.rand(hidden, generator=generator) - 0.5)) / lengths
    phases = torch.rand(hidden, generator=generator) * 2 * math.pi
    positions = torch.cos(torch.arange(WINDOW + 2)[:, None] * frequencies + phases) * 2 * math.sqrt(2)
    weights["bert.embeddings.word_embeddings.weight"] = torch.randn(10, hidden, generator=generator)
    weights["bert.embeddings.token_type_embeddings.weight"] = torch.zeros(2, hidden)
    weights["bert.embeddings.position_embeddings.weight"] = positions
    norm("bert.embeddings.LayerNorm")
    for layer in range(layers):
        name = f"bert.encoder.layer.{layer}."
        alike = normal(hidden, hidden)
        linear(f"{name}attention.self.query", alike * 2)
        linear(f"{name}attention.self.key", alike)
        linear(f"{name}attention.self.value", normal(hidden, hidden))
        linear(f"{name}attention.output.dense", normal(hidden, hidden))
        linear(f"{name}intermediate.dense", normal(4 * hidden, hidden))
        linear(f"{name}output.dense", normal(hidden, 4 * hidden))
        norm(f"{name}attention.output.LayerNorm")
        norm(f"{name}output.LayerNorm")
    linear("cls.predictions.transform.dense", normal(hidden, hidden))
    norm("cls.predictions.transform.LayerNorm", 0.78)
    linear("cls.predictions.decoder", normal(10, hidden))
    return lambda dtype: Bert(weights, heads, 1e-12, dtype)


def pairs_of(vcf: Path, fasta: Path, count: int, indels: bool) -> list[WindowPair]:
    """Return the windows, on alternating strands, of the first alleles of a VCF that are wanted and have a score."""
    pairs: list[WindowPair] = []
    with VcfInput(str(vcf), Notices()) as records, Reference(fasta) as reference:
        for record in records:
            contig = reference.contig(record.contig)
            for alt in record.alts if contig else ():
                allele = trim(str(contig), record.start, record.ref, alt)
                if not unscorable(record.ref, alt) and _is_wanted(allele, reference, indels) and len(pairs) < count:
                    pairs.append(build_windows(allele, "+-"[len(pairs) % 2], reference, WINDOW))
    return pairs


def made_up_pairs(count: int, indels: bool) -> list[WindowPair]:
    """Return the windows of alleles in a random sequence, on alternating strands."""
    with tempfile.TemporaryDirectory() as folder:
        made = generate(Path(folder), 20 * count)
        with Reference(made.fasta) as reference:
            alleles = [trim(site.contig, site.start, site.ref, site.alts[0]) for site in made.sites]
            chosen = [allele for allele in alleles if _is_wanted(allele, reference, indels)][:count]
            return [build_windows(one, "+-"[number % 2], reference, WINDOW) for number, one in enumerate(chosen)]


def _is_wanted(allele: Allele, reference: Reference, indels: bool) -> bool:
    length = allele.end - allele.start
    wanted = length != len(allele.alt) if indels else length == len(allele.alt) == 1
    return wanted and fits(allele, WINDOW) and flank_status(allele, reference) is None


class Scored(NamedTuple):
    """KL-context in nats, and the divergences of both flanks at distance d = 1…100, (2, 100)."""

    kl: float
    divergences: Floats


def score(logits: Change, pair: WindowPair) -> Scored:
    """Return the scores of the logits (T, 4) of both windows; the sum reference + δ is taken in float64."""
    reference = torch.log_softmax(logits.ref.double(), dim=-1)[1:-1].numpy()  # (W, 4)
    alternate = torch.log_softmax(logits.ref.double() + logits.delta.double(), dim=-1)[1:-1].numpy()  # (W, 4)
    left, right = (
        kl_divergence(alternate[alt], reference[ref])  # (100,)
        for ref, alt in zip(pair.reference_flanks, pair.alternate_flanks, strict=True)
    )
    return Scored(kl_context(left, right), np.stack([left, right]))


def run(network: Bert, mode: Mode, pair: WindowPair) -> Scored:
    """Score one allele."""
    with torch.inference_mode():
        reference, alternate = (torch.from_numpy(with_specials(ids[None])[0]) for ids in pair[:2])  # (T,)
        if mode.paired:
            return score(network.paired(reference, alternate, mode.product), pair)
        of_ref, of_alt = (network.logits(ids, mode.product).double() for ids in (reference, alternate))
        return score(Change(of_ref, of_alt - of_ref), pair)


def report(network: Network, pairs: list[WindowPair], modes: list[Mode]) -> None:
    """Print how the divergences fall off with distance, and a row for each mode."""
    truth = [run(network(torch.float64), Mode("float64", exact, False, "2"), pair) for pair in pairs]
    kl = np.array([one.kl for one in truth])
    exact_kl = np.stack([one.divergences for one in truth])  # (alleles, 2, 100)
    fall = np.exp(np.log(np.maximum(exact_kl.mean(axis=1), 1e-12)).mean(axis=0))  # (100,)
    print(f"\n{len(pairs)} alleles; KL-context {kl.min():.0f} to {kl.max():.0f} nats; mean divergences at")
    print("; ".join(f"{distance} nt {fall[distance - 1]:.1e}" for distance in (1, 2, 5, 10, 20, 50, 100)))
    print(
        "\n| arithmetic | products | KL-context, Spearman | largest error, nats | mean error, nats | "
        "KL at a base, relative error: 99 % below | largest | s |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    single = network(torch.float32)
    for mode in modes:
        started = time.process_time()
        found = [run(single, mode, pair) for pair in pairs]
        error = np.array([one.kl for one in found]) - kl
        # As in the accuracy contract of splice-site KL: of divergences below 1e-6 the error of 1e-6.
        of_bases = np.abs(np.stack([one.divergences for one in found]) - exact_kl) / np.maximum(exact_kl, KL_FLOOR)
        cells = (
            *(mode.name, mode.products, f"{spearman(kl + error, kl):.4f}", f"{np.abs(error).max():.2g}"),
            *(f"{error.mean():+.2g}", f"{np.quantile(of_bases, 0.99):.2g}", f"{of_bases.max():.2g}"),
        )
        print(f"| {' | '.join(cells)} | {time.process_time() - started:.0f} |", flush=True)


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--vcf", type=Path)
    parser.add_argument("--fasta", type=Path)
    parser.add_argument("--alleles", type=int, default=30)
    parser.add_argument("--indels", action="store_true")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--modes", help="names, separated by semicolons; default: all")
    options = parser.parse_args()
    use_cpu_threads(options.threads)
    if options.vcf:
        pairs = pairs_of(options.vcf, options.fasta, options.alleles, options.indels)
    else:
        pairs = made_up_pairs(options.alleles, options.indels)
    wanted = options.modes.split(";") if options.modes else [mode.name for mode in MODES]
    network = constructed() if options.model == "constructed" else published(options.model)
    report(network, pairs, [mode for mode in MODES if mode.name in wanted])


if __name__ == "__main__":
    main()

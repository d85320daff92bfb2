"""Our engine against the upstream way, in one process and by turns: time for each allele, and what the CPU could do.

The upstream way is that of SpliceBERT's authors: transformers' BertForMaskedLM, batches of 16, three passes for each
variant (reference, alternate, masked), in float32 or with --autocast in float16, as they ran it on a GPU. Ours asks
for KL-context alone in its precision `auto`, as annotate does by default. Both use the same weights; scores are
compared. Weights are random for the published configuration and for windows of 510 nt. A turn is 16 variants, on a GPU
as many as annotate gathers; a first one warms up.

Roofline, on a CPU: the matrix products of the passes that our engine has run, each timed alone with torch.mm (those of
attention with torch.bmm), divided by the time that the engine took; and the same with all operations at the rate of the
fastest of these products.

Run: python benchmarks/bench_engine.py [--config published|bundled] [--variants 16] [--case scattered|dense|three|510]
     [--threads N] [--cpu-time] [--memory] [--device cuda] [--autocast]
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is imported

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from roofline import CountingRunner, alone, products, timed  # noqa: E402

from sbert_model import registry  # noqa: E402
from sbert_model.checkpoint import Checkpoint, load_masked_lm  # noqa: E402
from sbert_model.device import select_device, use_cpu_threads  # noqa: E402
from sbert_model.network import MaskedLM  # noqa: E402
from sbert_model.precision import resolve_precision  # noqa: E402
from sbert_model.predict import LogProbs, Predictor  # noqa: E402
from sbert_model.scoring import kl_context, kl_divergence  # noqa: E402
from sbert_model.tokenizer import Ids, with_specials  # noqa: E402
from sbert_vcf.annotator import Annotator  # noqa: E402
from sbert_vcf.pair_scores import KLContext  # noqa: E402
from sbert_vcf.planning import Planned  # noqa: E402
from sbert_vcf.reference import Reference  # noqa: E402
from sbert_vcf.strand import Site  # noqa: E402
from tests.models import config_dict, write_random_masked_lm  # noqa: E402

UPSTREAM_BATCH = 16
GENOME = 200_000


class Options(NamedTuple):
    """What was asked for on the command line."""

    config: str
    variants: int
    case: str | None
    threads: int
    device: torch.device
    memory: bool
    cpu_time: bool
    autocast: bool
    only: str | None


class Upstream:
    """Scores alleles as the authors' script does."""

    def __init__(self, model: Checkpoint[MaskedLM], device: torch.device, *, autocast: bool = False) -> None:
        from transformers import BertConfig as TheirConfig
        from transformers import BertForMaskedLM

        self.device = device
        self.autocast = autocast
        self.network = BertForMaskedLM(TheirConfig(**config_dict(model.config, "BertForMaskedLM")))
        self.network.load_state_dict(model.network.state_dict())
        self.network.eval().to(device)

    def score(self, scores: Sequence[KLContext]) -> list[float]:
        """KL-context of each allele; the masked pass gives what only their delta logit needs."""
        found = []
        for first in range(0, len(scores), UPSTREAM_BATCH):
            batch = scores[first : first + UPSTREAM_BATCH]
            pairs = [score.pair for score in batch]
            reference, alternate, _ = (
                self.log_probs(np.stack(windows))
                for windows in (
                    [pair.reference for pair in pairs],
                    [pair.alternate for pair in pairs],
                    [pair.masked() for pair in pairs],
                )
            )
            found += [kl_of(score, ref, alt) for score, ref, alt in zip(batch, reference, alternate, strict=True)]
        return found

    def log_probs(self, windows: Ids) -> LogProbs:
        """Log-probabilities (B, W, 4) over A, C, G, T."""
        with torch.inference_mode(), torch.autocast(self.device.type, torch.float16, enabled=self.autocast):
            tokens = torch.from_numpy(with_specials(windows)).to(self.device)
            logits = self.network(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
            found: LogProbs = logits[:, 1:-1, 6:10].double().log_softmax(-1).cpu().numpy()
            return found


def kl_of(score: KLContext, reference: LogProbs, alternate: LogProbs) -> float:
    """KL-context from the log-probabilities (W, 4) of both windows."""
    pair = score.pair
    left, right = (
        kl_divergence(alternate[theirs], reference[ours])
        for theirs, ours in zip(pair.alternate_flanks, pair.reference_flanks, strict=True)
    )
    return kl_context(left, right)


def sites_of(case: str, bases: str, count: int) -> list[Site]:
    """Substitutions far from each other, five bases apart, or three at each position."""
    numbers = random.Random(3)
    step = {"scattered": (len(bases) - 4000) // count, "dense": 5, "three": 200}[case]
    positions = range(2000, 2000 + step * count, step)
    sites = []
    for start in positions[: count // 3] if case == "three" else positions:
        others = [base for base in "ACGT" if base != bases[start]]
        alts = others if case == "three" else [numbers.choice(others)]
        sites.append(Site("chr1", start, bases[start], tuple(alts)))
    return sites


class Timing(NamedTuple):
    """Seconds of both engines over the same alleles."""

    alleles: int
    ours: float
    upstream: float
    difference: float
    spread: float
    """Of the scores, in nats: highest less lowest."""
    products: float
    operations: int
    fastest: float
    """Operations a second of the fastest product."""


def measure(reference: Reference, bases: str, model: Checkpoint[MaskedLM], case: str, options: Options) -> Timing:
    """Let both engines score the same alleles, by turns."""
    upstream = Upstream(model, options.device, autocast=options.autocast)
    precision = resolve_precision("auto", options.device)
    runner = CountingRunner(model.network, options.device, precision)
    predictor = Predictor(model.network, options.device, precision, runner=runner)
    annotator = Annotator(reference, predictor, model, strand="+")
    size = max(annotator.batch_size, UPSTREAM_BATCH)
    sites = sites_of(case, bases, options.variants + (3 if case == "three" else 1) * size)
    ours = theirs = 0.0
    scores: list[float] = []
    expected: list[float] = []
    starts = range(0, len(sites), size)
    for first in starts:
        if first == starts[1]:
            ours = theirs = 0.0
            scores, expected = [], []
            runner.passes.clear()
            runner.places.clear()
        turn = sites[first : first + size]
        plans = [plan for row in annotator.plan(turn) for plan in row]
        wanted = [plan.strands["+"].kl for plan in plans if isinstance(plan, Planned)]
        seconds, results = timed(lambda turn=turn: annotator.score_sites(turn), options.device)
        ours += seconds
        seconds, found = timed(lambda wanted=wanted: upstream.score(wanted), options.device)
        theirs += seconds
        scores += [result.kl for of_site in results for result in of_site]
        expected += found
    done = products(model.config, runner)
    times = {product: alone(product, options.device) for product in done}
    return Timing(
        len(scores),
        ours,
        theirs,
        max(abs(a - b) for a, b in zip(scores, expected, strict=True)),
        max(scores) - min(scores),
        sum(times[product] * count for product, count in done.items()),
        sum(product.operations * count for product, count in done.items()),
        max(product.operations / seconds for product, seconds in times.items()),
    )


def peak_memory(options: Options, engine: str) -> float:
    """Peak resident memory in MB of a process that scores one turn with one engine."""
    command = [sys.executable, __file__, "--config", options.config, "--threads", str(options.threads)]
    done = subprocess.run([*command, "--only", engine], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def score_alone(model: Checkpoint[MaskedLM], engine: str, options: Options) -> None:
    """Score 16 windows with one engine and print the peak memory in MB."""
    windows = np.random.default_rng(0).integers(
        6, 10, size=(UPSTREAM_BATCH, model.config.max_nucleotides), dtype=np.uint8
    )
    if engine == "upstream":
        Upstream(model, options.device).log_probs(windows)
    else:
        Predictor(model.network, options.device).log_probs(list(windows))
    # Not getrusage, whose peak begins with that of the process that started this one. In KiB.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    print(int(peak.split()[1]) * 1024 / 1e6)


def models(config: str, folder: Path) -> Iterator[Checkpoint[MaskedLM]]:
    """The models of a configuration: of 1,024 and of 510 nt."""
    if config == "bundled":
        yield load_masked_lm(registry.resolve("bundled"), "bundled")
        return
    for length in (1024, 510):
        name = f"published, {length} nt"
        made = write_random_masked_lm(folder / name, hidden=512, layers=6, heads=16, max_nt=length)
        yield load_masked_lm(made, name)


def parsed() -> Options:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=("published", "bundled"), default="published")
    parser.add_argument("--variants", type=int, default=UPSTREAM_BATCH, help="of each case")
    parser.add_argument("--case", choices=("scattered", "dense", "three", "510"), help="default: all of them")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", action="store_true", help="also peak memory, in processes of their own")
    parser.add_argument(
        "--cpu-time", action="store_true", help="count CPU time, where other programs run; to be used with --threads 1"
    )
    parser.add_argument("--autocast", action="store_true", help="the upstream way in float16")
    parser.add_argument("--only", choices=("ours", "upstream"), help=argparse.SUPPRESS)
    values = vars(parser.parse_args())
    values["threads"] = use_cpu_threads(values["threads"])
    values["device"] = select_device(values["device"])
    return Options(**values)


def main() -> None:
    options = parsed()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only:
            score_alone(next(models(options.config, folder)), options.only, options)
            return
        bases = "".join(random.Random(1).choices("ACGT", k=GENOME))
        fasta = folder / "genome.fa"
        fasta.write_text(f">chr1\n{bases}\n")
        print(f"{options.device}, {options.threads} threads, PyTorch {torch.__version__}")
        print("model, case: alleles; ms for an allele, ours and upstream; ratio; share of the products, of the fastest")
        for model in models(options.config, folder):
            short = model.config.max_nucleotides == 510
            for case in ("scattered",) if short else ("scattered", "dense", "three"):
                if options.case not in (None, "510" if short else case):
                    continue
                with Reference(fasta) as reference:
                    found = measure(reference, bases, model, case, options)
                roofline = (
                    f"{found.products / found.ours:.0%}, {found.operations / found.fastest / found.ours:.0%} of "
                    f"{found.fastest / 1e9:.0f} GFLOP/s; "
                )
                print(
                    f"{model.name}, {case}: {found.alleles}; {1e3 * found.ours / found.alleles:.3g} and "
                    f"{1e3 * found.upstream / found.alleles:.3g}; {found.upstream / found.ours:.2f}; "
                    f"{roofline if options.device.type == 'cpu' else ''}scores spread over {found.spread:.0f} nats, "
                    f"differ by {found.difference:.0e} at most",
                    flush=True,
                )
        if options.memory:
            for engine in ("ours", "upstream"):
                print(f"peak memory, {engine}: {peak_memory(options, engine):.0f} MB")


if __name__ == "__main__":
    main()

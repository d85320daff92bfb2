"""All that is to be measured on a GPU, in one command: speed and exactness of each arithmetic, use of it by a long run.

For each model and arithmetic (arithmetics.py): alleles a second (KL-context and splice sites, planned beforehand), the
share of the rate at which the device multiplies large matrices in that arithmetic, and the figures of the accuracy
contract on generated variants, as `sbert-vcf models check` measures them. Then annotate with its own settings over
--records variants: records a second, and the GPU's utilisation as nvidia-smi tells it.

Run: python benchmarks/gpu_all.py [-o gpu.md] [--device cuda] [--model NAME]... [--alleles 200] [--timed 4000]
     [--records 100000]
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is imported

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from arithmetics import Mode, arithmetic, modes  # noqa: E402
from roofline import CountingRunner, products, timed  # noqa: E402

from sbert_model import registry  # noqa: E402
from sbert_model.checkpoint import load_masked_lm, load_token_classifier  # noqa: E402
from sbert_model.device import select_device, use_cpu_threads  # noqa: E402
from sbert_model.precision import Precision  # noqa: E402
from sbert_model.predict import Predictor  # noqa: E402
from sbert_vcf.accuracy import Figure, figures, in_float64  # noqa: E402
from sbert_vcf.annotate import AnnotateOptions, annotate  # noqa: E402
from sbert_vcf.annotator import Annotator  # noqa: E402
from sbert_vcf.branchpoints import BranchpointScorer  # noqa: E402
from sbert_vcf.generated import Generated, generate  # noqa: E402
from sbert_vcf.genes import Genes  # noqa: E402
from sbert_vcf.notices import Notices  # noqa: E402
from sbert_vcf.options import NO_MODEL, ScoringOptions  # noqa: E402
from sbert_vcf.reference import Reference  # noqa: E402
from sbert_vcf.results import AlleleResult  # noqa: E402
from sbert_vcf.strand import Site  # noqa: E402
from tests.models import write_random_masked_lm  # noqa: E402

PUBLISHED = "published configuration"
"""Random weights in the shape of the published model."""


class Measured(NamedTuple):
    """Of one model in one arithmetic."""

    rate: float
    """Alleles a second."""
    operations: float
    """Operations a second of its matrix products."""
    peak: float
    """The same of large matrices."""
    figures: list[Figure]


class Bench:
    """One model on one device. alleles: generated ones for the contract; timed: others for the time."""

    def __init__(
        self, model: str, branchpoints: str, device: torch.device, alleles: Generated, timed: Generated
    ) -> None:
        self._model = model
        self._branchpoints = branchpoints
        self._device = device
        self._alleles = alleles
        self._timed = timed
        single, _ = self._annotator(modes(device)[0], device, alleles, branchpoints)
        with single:
            exact = in_float64(single, ScoringOptions(genes=str(alleles.genes)), None, Notices())
            self._exact = scores(exact, alleles.sites)

    def measure(self, mode: Mode) -> Measured:
        """Score the alleles for the contract, and the others for the time, but for a first batch."""
        with arithmetic(mode):
            annotator, _ = self._annotator(mode, self._device, self._alleles, self._branchpoints)
            with annotator:
                found = scores(annotator, self._alleles.sites)
            annotator, runner = self._annotator(mode, self._device, self._timed, NO_MODEL)
            with annotator:
                first, rest = self._timed.sites[: annotator.batch_size], self._timed.sites[annotator.batch_size :]
                score_queued(annotator, first, self._device)
                runner.passes.clear()
                runner.places.clear()
                seconds = score_queued(annotator, rest, self._device)
            done = products(annotator.model.config, runner)
            operations = sum(product.operations * count for product, count in done.items())
            peak = peak_of(mode, self._device)
        pairs = [pair for pair in zip(found, self._exact, strict=True) if pair[0].scores]
        return Measured(len(rest) / seconds, operations / seconds, peak, figures(pairs))

    def _annotator(
        self, mode: Mode, device: torch.device, made: Generated, branchpoints: str
    ) -> tuple[Annotator, CountingRunner]:
        """Return an annotator whose models work in this process, and what counts the passes of the first."""
        model = load_masked_lm(registry.resolve(self._model), self._model)
        runner = CountingRunner(model.network, device, mode.precision)
        predictor = Predictor(model.network, device, mode.precision, runner=runner)
        predictor.fit()
        scorer = None
        if branchpoints != NO_MODEL:
            classifier = load_token_classifier(registry.resolve(branchpoints), branchpoints)
            scorer = BranchpointScorer(classifier, Predictor(classifier.network, device, mode.precision))
        genes = Genes.open(made.genes)
        return Annotator(Reference(made.fasta), predictor, model, genes=genes, branchpoints=scorer), runner


def groups_of(annotator: Annotator, sites: Sequence[Site]) -> list[Sequence[Site]]:
    """Sites by groups that fill the model's batches."""
    size = annotator.batch_size
    return [sites[first : first + size] for first in range(0, len(sites), size)]


def scores(annotator: Annotator, sites: Sequence[Site]) -> list[AlleleResult]:
    """The results of every allele."""
    return [result for group in groups_of(annotator, sites) for row in annotator.score_sites(group) for result in row]


def score_queued(annotator: Annotator, sites: Sequence[Site], device: torch.device) -> float:
    """Seconds for scores that are planned beforehand; at most two groups wait for the device."""
    groups = [(group, annotator.plan(group)) for group in groups_of(annotator, sites)]

    def work() -> None:
        waiting: deque[Callable[[], object]] = deque()
        for group, plans in groups:
            waiting.append(annotator.start(group, plans))
            if len(waiting) > 2:
                waiting.popleft()()
        for finish in waiting:
            finish()

    return timed(work, device)[0]


def peak_of(mode: Mode, device: torch.device) -> float:
    """Operations a second of large matrices."""
    size = 8192 if device.type == "cuda" else 512
    multiplied = torch.float16 if mode.precision is Precision.SPLIT else mode.precision.dtype
    left, right = (torch.randn(size, size, device=device, dtype=multiplied) for _ in range(2))
    return max(2 * size**3 / timed(lambda: left @ right, device)[0] for _ in range(5))


def row(model: str, mode: Mode, one: Measured) -> str:
    """A line of the table."""
    found = {figure.name if "KL-context" in figure.score else figure.score: figure for figure in one.figures}
    names = ("Spearman correlation", "largest error, nats", "splice-site KL", "branchpoint loss, gain")
    shown = [f"{found[name].measured:.6g}" if name in found else "" for name in names]
    kept = "kept" if all(figure.kept for figure in one.figures) else "not kept"
    share = f"{one.operations / one.peak:.0%} of {one.peak / 1e12:.3g}"
    return f"| {Path(model).name} | {mode.name} | {one.rate:,.0f} | {share} | {' | '.join(shown)} | {kept} |"


class Utilisation:
    """Samples of how much of the time the GPU was busy, in per cent, two a second. Use as a context manager."""

    def __init__(self, device: torch.device) -> None:
        self.samples: list[float] = []
        self._device = device
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Utilisation":
        if self._device.type == "cuda" and shutil.which("nvidia-smi"):
            query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "500"]
            command = ["nvidia-smi", *query, "-i", str(self._device.index or 0)]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.samples.append(float(line))


def long_run(model: str, device: torch.device, made: Generated) -> str:
    """Annotate generated records, and tell how it went."""
    folder = made.fasta.parent
    vcf = folder / "generated.vcf"
    with vcf.open("w") as file:
        file.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for site in made.sites:
            file.write(f"{site.contig}\t{site.start + 1}\t.\t{site.ref}\t{site.alts[0]}\t.\t.\t.\n")
    scoring = ScoringOptions(
        reference=str(made.fasta), genes=str(made.genes), model=model, branchpoint_model=NO_MODEL, device=str(device)
    )
    started = time.perf_counter()
    with Utilisation(device) as used:
        annotate(AnnotateOptions(str(vcf), str(folder / "out.vcf"), overwrite=True), scoring)
    seconds, count = time.perf_counter() - started, len(made.sites)
    rate = f"annotate, {Path(model).name}: {count:,} records in {seconds:.1f} s, {count / seconds:,.0f} a second"
    at_work = [number for number, percent in enumerate(used.samples) if percent]
    if not at_work:
        return f"{rate}; utilisation not known"
    busy = used.samples[at_work[0] : at_work[-1] + 1]
    steady = busy[len(busy) // 10 : -len(busy) // 10]  # without the recording of graphs, and the last passes
    return (
        f"{rate}; GPU first at work after {at_work[0] / 2:.1f} s, then busy {sum(busy) / len(busy):.0f} % of "
        f"{len(busy) / 2:.1f} s, {sum(steady) / max(len(steady), 1):.0f} % but for their first and last tenth"
    )


def report(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Give the lines of a Markdown table, and those below it, as they are measured."""
    device = select_device(options.device)
    worlds = []
    for count in (options.alleles, options.timed, max(options.records, 1)):
        (folder / f"{len(worlds)}").mkdir()
        worlds.append(generate(folder / f"{len(worlds)}", count))
    alleles, timed_alleles, records = worlds
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU, a dry run"
    yield f"{name}; PyTorch {torch.__version__}, CUDA {torch.version.cuda}; {options.alleles} alleles for the contract"
    yield ""
    yield (
        "| model | arithmetic | alleles/s | share of the peak, TFLOP/s | KL-context, Spearman | largest error, nats | "
        "splice-site KL, relative error | branchpoints, largest error | contract |"
    )
    yield "|---|---|--:|--:|--:|--:|--:|--:|---|"
    models = options.model or ["bundled", PUBLISHED]
    if PUBLISHED in models:
        made = write_random_masked_lm(folder / PUBLISHED, hidden=512, layers=6, heads=16)
        models[models.index(PUBLISHED)] = str(made)
    for model in models:
        bench = Bench(model, options.branchpoint_model, device, alleles, timed_alleles)
        for mode in modes(device):
            yield row(model, mode, bench.measure(mode))
    yield ""
    for model in models if options.records else ():
        yield long_run(model, device, records)


def main() -> None:
    """Print the report, and write it as well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="Markdown file, besides standard output")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", action="append", help="name or folder; default: the bundled one, and random weights")
    parser.add_argument("--branchpoint-model", default="bundled-branchpoint", help="name, folder or none")
    parser.add_argument("--alleles", type=int, default=200, help="for the contract")
    parser.add_argument("--timed", type=int, default=4000, help="alleles for the time, more than a batch")
    parser.add_argument("--records", type=int, default=100_000, help="of the long run; 0 leaves it out")
    options = parser.parse_args()
    use_cpu_threads()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        file = stack.enter_context(options.output.open("w")) if options.output else None
        for line in report(options, Path(folder)):
            for target in filter(None, (sys.stdout, file)):
                print(line, file=target, flush=True)


if __name__ == "__main__":
    main()

"""What runs on a GPU only: CUDA graphs, worker processes, whole runs. Skipped where there is none."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from sbert_model.checkpoint import load_masked_lm
from sbert_model.passes import DeviceRunner, Pass, grouped
from sbert_model.precision import Precision
from sbert_model.predict import Predictor
from sbert_model.tokenizer import with_specials
from sbert_vcf.accuracy import check
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.generated import generate
from sbert_vcf.options import ScoringOptions
from tests.models import write_random_masked_lm

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
GPU = torch.device("cuda:0")
PRECISIONS = [Precision.FLOAT32, Precision.SPLIT, Precision.FLOAT16]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_masked_lm(tmp_path_factory.mktemp("models") / "mlm", hidden=128, heads=4, layers=3, max_nt=400)


def passes(lengths: tuple[int, ...]) -> list[Pass]:
    numbers = np.random.default_rng(0)
    made = []
    for number, length in enumerate(lengths):
        windows = numbers.integers(5, 10, size=(4, length), dtype=np.uint8)
        places = np.array([(row, block) for row in range(4) for block in range(2 + number % 2)])
        made.append(Pass(windows, grouped(places, 4)))
    return made


@pytest.mark.parametrize("precision", PRECISIONS)
def test_graphs_give_the_bits_of_single_kernels(model: Path, precision: Precision) -> None:
    runner = DeviceRunner(load_masked_lm(model).network, GPU, precision)
    asked = passes((400, 400, 400, 300, 300, 400, 200))
    found = runner.submit(asked)()
    with torch.inference_mode():
        for one, logits in zip(asked, found, strict=True):
            ids, places = torch.from_numpy(with_specials(one.windows)).to(GPU), torch.from_numpy(one.places).to(GPU)
            np.testing.assert_array_equal(logits, runner._run(ids, places).cpu().numpy())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_near_the_cpu(model: Path, precision: Precision) -> None:
    windows = list(np.random.default_rng(1).integers(5, 10, size=(40, 400), dtype=np.uint8))
    on_cpu = Predictor(load_masked_lm(model).network, torch.device("cpu")).log_probs(windows)
    on_gpu = Predictor(load_masked_lm(model).network, GPU, precision).log_probs(windows)
    largest = max(np.abs(one - other).max() for one, other in zip(on_cpu, on_gpu, strict=True))
    assert largest < (0.1 if precision is Precision.FLOAT16 else 1e-4)


def test_what_is_asked_together_does_not_matter(model: Path, tmp_path: Path) -> None:
    made = generate(tmp_path, 150)
    vcf = tmp_path / "in.vcf"
    records = [f"{site.contig}\t{site.start + 1}\t.\t{site.ref}\t{site.alts[0]}\t.\t.\t.\n" for site in made.sites]
    vcf.write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(records))
    digests = set()
    for batch in (7, 64, None):
        scoring = ScoringOptions(
            reference=str(made.fasta), genes=str(made.genes), model=str(model), device="cuda", batch_size=batch
        )
        out = tmp_path / f"{batch}.vcf"
        annotate(AnnotateOptions(str(vcf), str(out)), scoring)
        lines = [line for line in out.read_text().splitlines() if not line.startswith("##")]
        assert sum("SBERT_KL=" in line for line in lines) > 100
        digests.add(hashlib.sha256("\n".join(lines).encode()).hexdigest())
    assert len(digests) == 1


def test_the_bundled_models_keep_the_contract() -> None:
    done = check(ScoringOptions(model="bundled", device="cuda"), None, 60)
    assert (done.precision, done.device) == ("split", "cuda:0")
    assert {figure.score for figure in done.figures} == {"KL-context", "splice-site KL", "branchpoint loss, gain"}
    assert done.kept

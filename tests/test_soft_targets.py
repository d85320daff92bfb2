import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from sbert_model.errors import InputError, OutputError
from sbert_model.tokenizer import NUCLEOTIDES
from sbert_train.batches import CropBatches, Crops
from sbert_train.cli import train
from sbert_train.corpus import open_corpus
from sbert_train.focus import certain_targets
from sbert_train.make_soft_targets import Halves, make_soft_targets
from sbert_train.masking import IGNORED
from sbert_train.pretrain import pretrain
from sbert_train.soft_targets import STRETCH, TABLE, SoftTargets, open_soft_targets
from sbert_train.species_table import Genome
from sbert_train.trainer import SoftWeights, masked_lm_loss, soft_loss
from tests.memory_corpus import MemoryPieces, piece
from tests.tiny_corpus import write_tiny_corpus
from tests.tiny_pretraining import losses, tiny_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny corpus, its species table, and soft targets of it."""
    folder = tmp_path_factory.mktemp("soft")
    write_tiny_corpus(folder)
    table = folder / "species.tsv"
    table.write_text("".join(f"{name}\t{name}/genome.fa\t{name}/genes.gtf\n" for name in ("alpha", "beta")))
    arguments = ["soft-targets", str(folder / "corpus"), str(table), "-o", str(folder / "targets"), "--half", "chr1"]
    result = CliRunner().invoke(train, [*arguments, "--sample", "5000", "--threads", "1"], catch_exceptions=False)
    assert result.exit_code == 0
    return folder


def _genomes(folder: Path) -> list[Genome]:
    return [Genome(name, folder / name / "genome.fa", folder / name / "genes.gtf") for name in ("alpha", "beta")]


def test_halves_by_name() -> None:
    halves = Halves((re.compile("chr1"), re.compile(r"x\..*")), (re.compile("chr3"),))
    assert [halves.of(name) for name in ("chr1", "chr10", "x.2", "chr2", "chr3")] == [0, 1, 0, 1, None]


def test_targets_are_probabilities_of_each_training_nucleotide(folder: Path) -> None:
    corpus = open_corpus(folder / "corpus")
    soft = open_soft_targets(folder / "targets", corpus)
    assert soft.table.shape == (int(corpus.training.lengths.sum()), 4)
    for number in range(len(corpus.training)):
        rows = soft.rows(number, 0, len(corpus.training[number]))
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
    last = len(corpus.training) - 1
    np.testing.assert_array_equal(soft.rows(last, 10, 20), soft.rows(last, 0, 40)[10:30])


def test_the_other_half_decides(folder: Path, tmp_path: Path) -> None:
    """Copies of a gene in the other half make its targets certain; in its own half they do not count."""
    repeat = "".join(np.random.default_rng(5).choice(list("ACGT"), 400))
    chance = ["".join(np.random.default_rng(seed).choice(list("ACGT"), 3000)) for seed in (6, 7, 8)]
    copies = repeat * 8

    def targets(name: str, contigs: dict[str, str]) -> np.ndarray:
        place = tmp_path / name
        place.mkdir()
        (place / "genome.fa").write_text("".join(f">{contig}\n{text}\n" for contig, text in contigs.items()))
        (place / "genes.gtf").write_text(
            "".join(
                f'{contig}\tx\t{kind}\t1\t{len(text)}\t.\t+\t.\tgene_id "{contig}"; transcript_id "{contig}.1";\n'
                for contig, text in contigs.items()
                for kind in ("transcript", "exon")
            )
        )
        genome = Genome(name, place / "genome.fa", place / "genes.gtf")
        from sbert_train.build_corpus import HoldOut, build_corpus

        build_corpus([genome], place / "corpus", HoldOut(("held",)))
        corpus = open_corpus(place / "corpus")
        make_soft_targets(corpus, [genome], ["first"], place / "targets", 20_000, 0)
        soft = open_soft_targets(place / "targets", corpus)
        number = next(n for n in range(len(corpus.training)) if corpus.training[n].contig == "first")
        rows = soft.rows(number, 500, 300)  # inside the copies
        truth = corpus.training[number].ids[500:800].astype(int) - min(NUCLEOTIDES)
        chosen: np.ndarray = rows[np.arange(300), truth]
        return chosen

    shared = targets("shared", {"first": copies, "second": copies + chance[0], "held": chance[1]})
    alone = targets("alone", {"first": copies, "second": chance[0] + chance[2], "held": chance[1]})
    assert shared.mean() > 0.8
    assert alone.mean() < 0.4


def test_soft_loss_is_a_mixture() -> None:
    logits = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.full((2, 5), IGNORED)
    labels[0, 1], labels[1, 3] = 6, 9
    certain = torch.zeros(2, 5, 4)
    certain[0, 1, 0] = certain[1, 3, 3] = 1
    batch = {"labels": labels, "soft_labels": certain}
    hard = masked_lm_loss(logits, batch, 2)
    torch.testing.assert_close(
        soft_loss(logits, batch, SoftWeights(0.7, 0, 0.2), 2), hard
    )  # soft targets that are the true bases
    uniform = {"labels": labels, "soft_labels": torch.full((2, 5, 4), 0.25)}
    expected = -logits.log_softmax(-1)[labels != IGNORED][:, 6:10].mean()
    torch.testing.assert_close(soft_loss(logits, uniform, SoftWeights(1.0, 0, 0.2), 2), expected)
    torch.testing.assert_close(soft_loss(logits, uniform, SoftWeights(0.25, 0, 0.2), 2), 0.25 * expected + 0.75 * hard)


def test_soft_loss_of_bases_that_are_seen() -> None:
    logits = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.full((2, 5), IGNORED)
    labels[0, 1], labels[1, 3] = 6, 9
    soft = torch.full((2, 5, 4), 0.25)
    soft[:, 0] = 0  # [CLS]
    batch = {"labels": labels, "soft_labels": soft}
    losses = -logits.log_softmax(-1)[..., 6:10].mean(-1)  # (2, 5)
    seen = losses[:, 1:][labels[:, 1:] == IGNORED]  # (6,)
    # 2 of 8 nucleotides are masked, as the mask rate has it, so 6 are seen.
    found = soft_loss(logits, batch, SoftWeights(1.0, 0.5, 0.25), 2) - soft_loss(
        logits, batch, SoftWeights(1.0, 0, 0.25), 2
    )
    torch.testing.assert_close(found, 0.5 * seen.mean())


def test_batches_carry_the_targets_of_their_nucleotides(folder: Path) -> None:
    corpus = open_corpus(folder / "corpus")
    soft = open_soft_targets(folder / "targets", corpus)
    batches = CropBatches(corpus.training, corpus.weights, Crops(64, 100, 1000), 0, soft=soft)
    batch = batches[0]
    assert batch["soft_labels"].shape == (*batch["input_ids"].shape, 4)
    nucleotides = batch["input_ids"] >= 4
    torch.testing.assert_close(batch["soft_labels"].sum(-1), nucleotides.float(), atol=1e-6, rtol=0)
    shown = CropBatches(corpus.training, corpus.weights, Crops(64, 100, 1000), 0)[0]
    assert torch.equal(shown["input_ids"], batch["input_ids"])
    assert "soft_labels" not in shown


def _certain_at(places: list[tuple[int, int, int]], lengths: list[int]) -> SoftTargets:
    """Targets that are certain in the given stretches (piece, start, end) and uniform elsewhere."""
    offsets: np.ndarray = np.cumsum(lengths) - np.array(lengths)
    table = np.full((sum(lengths), 4), 64, dtype=np.uint8)
    for number, start, end in places:
        table[offsets[number] + start : offsets[number] + end] = (255, 0, 0, 0)
    return SoftTargets(table, offsets)


def test_certain_stretches_are_those_with_enough_certain_bases() -> None:
    lengths = [400, 100, 300]
    soft = _certain_at([(0, 200, 260), (1, 0, 100), (2, 0, 128)], lengths)
    expected = []
    for number, length in enumerate(lengths):
        certain = soft.rows(number, 0, length).max(axis=1) > 0.7
        for start in range(0, length - STRETCH + 1, 16):
            if certain[start : start + STRETCH].sum() > 0.4 * STRETCH:
                expected.append((number, start))
    pieces, starts = soft.certain_stretches()
    assert list(zip(pieces.tolist(), starts.tolist(), strict=True)) == expected
    assert {number for number, _ in expected} == {0, 2}  # piece 1 is shorter than a stretch


@pytest.mark.parametrize(("shortest", "longest"), [(128, 128), (100, 300)])
def test_focus_draws_crops_at_certain_stretches(shortest: int, longest: int) -> None:
    pieces = [piece("A" * 80_000), piece("C" * 80_000)]
    soft = _certain_at([(1, 2000, 2128)], [80_000, 80_000])
    crops = Crops(shortest, longest, 4000)
    everywhere = [certain_targets(soft, 1.0)]
    batches = CropBatches(MemoryPieces(pieces, ("human",)), (1.0,), crops, 0, soft=soft, focuses=everywhere)
    batch = batches[0]
    certain = (batch["soft_labels"].max(-1).values > 0.7).sum(1)  # of each crop
    assert int(certain.min()) > 0.4 * STRETCH - (STRETCH - shortest)
    often = [certain_targets(soft, 0.3)]
    crops = Crops(128, 128, 130_000)
    mixed = CropBatches(MemoryPieces(pieces, ("human",)), (1.0,), crops, 0, soft=soft, focuses=often)
    share = (mixed[0]["soft_labels"].max(-1).values > 0.7).any(1).float().mean()
    assert 0.2 < float(share) < 0.4


def test_focus_needs_certain_targets() -> None:
    with pytest.raises(InputError, match="nowhere certain"):
        certain_targets(_certain_at([], [4000]), 0.5)
    with pytest.raises(InputError, match="goes with soft_targets"):
        tiny_config(soft_focus=0.5)


def test_a_run_learns_from_them_and_is_validated_on_true_bases(folder: Path, tmp_path: Path) -> None:
    corpus = open_corpus(folder / "corpus")
    runs = {}
    for name, path in (("hard", None), ("soft", str(folder / "targets"))):
        pretrain(corpus, tiny_config(soft_targets=path, soft_share=1.0), tmp_path / name)
        runs[name] = tmp_path / name
    assert losses(runs["hard"]) != losses(runs["soft"])
    assert all(np.isfinite(losses(runs["soft"])))
    # The first evaluation comes after two steps: both models have hardly moved from the same weights.
    hard, soft = (losses(runs[name], "validation_loss")[0] for name in ("hard", "soft"))
    assert soft == pytest.approx(hard, abs=0.1)


def test_targets_of_another_corpus_are_refused(folder: Path, tmp_path: Path) -> None:
    other = open_corpus(write_tiny_corpus(tmp_path, seed=9))
    with pytest.raises(InputError, match="of another corpus than"):
        open_soft_targets(folder / "targets", other)
    with pytest.raises(InputError, match=r"make them with sbert-vcf train soft-targets"):
        open_soft_targets(tmp_path, other)


@pytest.mark.parametrize(
    ("halves", "says"), [(["nothing"], "half 1"), ([".*"], "half 2"), (["("], "no regular expression")]
)
def test_an_empty_half_is_refused(folder: Path, tmp_path: Path, halves: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        make_soft_targets(open_corpus(folder / "corpus"), _genomes(folder), halves, tmp_path / "t", 100, 0)


def test_other_genomes_and_an_existing_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    corpus = open_corpus(folder / "corpus")
    with pytest.raises(InputError, match="not that of"):
        make_soft_targets(corpus, _genomes(folder)[:1], ["chr1"], tmp_path / "t", 100, 0)
    with pytest.raises(OutputError, match="exists"):
        make_soft_targets(corpus, _genomes(folder), ["chr1"], folder / "targets", 100, 0)
    assert (folder / "targets" / TABLE).is_file()

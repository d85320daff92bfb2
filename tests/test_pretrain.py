import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pysam
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertForMaskedLM

from sbert_model.checkpoint import load_masked_lm
from sbert_model.errors import InputError, OutputError, SbertError
from sbert_model.tokenizer import CLS, MASK, NUCLEOTIDES, PAD, SEP, N, encode
from sbert_train import export as exporting
from sbert_train.batches import Batch, CropBatches
from sbert_train.cli import read_genomes, train
from sbert_train.corpus import Piece
from sbert_train.evaluate import COUNT_MODELS
from sbert_train.masking import IGNORED, mask_tokens
from sbert_train.pretrain import new_model, pretrain
from sbert_train.recipe import Architecture, Budget, Recipe, parse_stages

TINY = Architecture(hidden_size=64, layers=1, heads=2, ffn=32, max_nt=62, dropout=0.1)
RECIPE = Recipe(sequence_length="30:0.5,62:0.5", batch_tokens=256, learning_rate=1e-3, warmup_steps=2, max_steps=6)


def _piece(sequence: str) -> Piece:
    return Piece("s", "c", 0, len(sequence), "+", encode(sequence))


def _random_pieces(lengths: tuple[int, ...] = (400, 300)) -> list[Piece]:
    rng = np.random.default_rng(0)
    return [_piece("".join(rng.choice(list("ACGT"), length))) for length in lengths]


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


# Masking


def test_masking_statistics() -> None:
    rng = np.random.default_rng(0)
    ids = rng.choice(NUCLEOTIDES, (1000, 1000)).astype(np.int64)
    shown, labels = mask_tokens(ids, rng)
    chosen = labels != IGNORED
    assert chosen.mean() == pytest.approx(0.15, abs=0.001)
    np.testing.assert_array_equal(labels[chosen], ids[chosen])
    np.testing.assert_array_equal(shown[~chosen], ids[~chosen])
    masked = shown[chosen] == MASK
    assert masked.mean() == pytest.approx(0.8, abs=0.005)
    # A quarter of the 10 % random bases are the true one by chance.
    assert (shown[chosen] == ids[chosen]).mean() == pytest.approx(0.1 + 0.1 / 4, abs=0.004)


def test_random_replacements_are_uniform() -> None:
    ids = np.full((1000, 1000), NUCLEOTIDES[0], dtype=np.int64)
    shown, labels = mask_tokens(ids, np.random.default_rng(1))
    replaced = [(shown == base).sum() / (labels != IGNORED).sum() for base in NUCLEOTIDES[1:]]
    np.testing.assert_allclose(replaced, 0.1 / 4, atol=0.002)


def test_specials_and_n_are_never_chosen() -> None:
    ids = np.tile(np.array([PAD, 1, CLS, SEP, MASK, N], dtype=np.int64), (500, 50))
    shown, labels = mask_tokens(ids, np.random.default_rng(2))
    np.testing.assert_array_equal(shown, ids)
    assert (labels == IGNORED).all()


# Batches


def _original(batch: Batch) -> torch.Tensor:
    return torch.where(batch["labels"] == IGNORED, batch["input_ids"], batch["labels"])


def test_crops_fill_the_batch_without_padding() -> None:
    batch = CropBatches(_random_pieces(), lambda _: 50, 520, positions=64).batch(0)
    assert set(batch) == {"input_ids", "labels", "position_ids"}
    assert batch["input_ids"].shape == (10, 52)
    assert (batch["input_ids"][:, 0] == CLS).all()
    assert (batch["input_ids"][:, -1] == SEP).all()


def test_crops_are_true_stretches_of_the_pieces() -> None:
    pieces = _random_pieces()
    text = [piece.ids.tobytes() for piece in pieces]
    original = _original(CropBatches(pieces, lambda _: 50, 520, positions=64).batch(3))
    for row in original.numpy().astype(np.uint8):
        assert any(row[1:-1].tobytes() in sequence for sequence in text)


def test_short_pieces_are_padded_and_the_padding_is_masked_out() -> None:
    batch = CropBatches([_piece("A" * 70), _piece("C" * 200)], lambda _: 100, 2000, positions=102).batch(0)
    lengths = batch["attention_mask"].sum(dim=1)
    assert set(lengths.tolist()) == {72, 102}
    assert (batch["input_ids"][batch["attention_mask"] == 0] == PAD).all()
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()


def test_pieces_are_drawn_by_length() -> None:
    batches = CropBatches([_piece("A" * 100), _piece("C" * 300)], lambda _: 10, 12 * 2000, positions=12)
    original = _original(batches.batch(0))
    assert float((original[:, 1] == NUCLEOTIDES[1]).float().mean()) == pytest.approx(0.75, abs=0.03)


def test_short_crops_reach_every_position() -> None:
    batches = CropBatches(_random_pieces(), lambda _: 30, 32 * 200, positions=64)
    positions = batches.batch(0)["position_ids"]
    assert set(positions.flatten().tolist()) == set(range(64))
    assert (positions.diff(dim=1) == 1).all()


def test_batches_depend_on_seed_and_number_alone() -> None:
    def ids(batches: CropBatches, count: int) -> list[Batch]:
        return list(itertools.islice(batches, count))

    pieces = _random_pieces()
    whole = ids(CropBatches(pieces, lambda _: 50, 520, 64, seed=5), 4)
    rest = ids(CropBatches(pieces, lambda _: 50, 520, 64, seed=5, first=2), 2)
    other = ids(CropBatches(pieces, lambda _: 50, 520, 64, seed=6), 1)
    for left, right in zip(whole[2:], rest, strict=True):
        assert all(torch.equal(left[key], right[key]) for key in left)
    assert not torch.equal(whole[0]["input_ids"], other[0]["input_ids"])
    assert not torch.equal(whole[0]["input_ids"], whole[1]["input_ids"])


def test_no_pieces_is_an_error() -> None:
    with pytest.raises(InputError, match="no pre-mRNA"):
        CropBatches([], lambda _: 50, 520, 64)


# Recipe


def test_stages_follow_the_steps() -> None:
    stages = parse_stages("128:0.5,512:0.25,1024:0.25")
    budget = Budget(max_steps=100, max_hours=None)
    lengths = [budget.sequence_length(stages, step) for step in (0, 49, 50, 74, 75, 99, 100, 101)]
    assert lengths == [128, 128, 512, 512, 1024, 1024, 1024, 1024]
    assert budget.sequence_length(parse_stages("300"), 5) == 300


@pytest.mark.parametrize("text", ["", "long", "128:0.5", "128:0.5,256:0.6", "0", "128:x", "128,256"])
def test_senseless_stages(text: str) -> None:
    with pytest.raises(InputError, match="sequence length"):
        parse_stages(text)


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    budget = Budget(max_steps=1000, max_hours=None)
    factors = [budget.learning_rate_factor(step, warmup=10) for step in (0, 4, 500, 1000)]
    assert factors == pytest.approx([0.1, 0.5, 0.5, 0], abs=1e-4)


def test_hours_count_what_earlier_parts_spent() -> None:
    assert Budget(None, max_hours=1, spent=1800).progress(10**6) == pytest.approx(0.5, abs=0.01)
    assert Budget(None, max_hours=1, spent=4000).progress(0) == 1
    assert Budget(max_steps=10, max_hours=1, spent=360).progress(5) == 0.5


# Training


def test_pretraining_learns_and_writes_a_model_that_loads(tmp_path: Path) -> None:
    pieces = [_piece("ACGT" * 100), _piece("ACGT" * 50)]
    recipe = Recipe(sequence_length="62", batch_tokens=640, learning_rate=5e-3, warmup_steps=5, max_steps=60)
    model = new_model(TINY, init="offset-heads")
    pretrain(model, pieces, recipe, tmp_path / "run")
    checkpoint = load_masked_lm(tmp_path / "run")
    ids = torch.tensor([[CLS, *encode("ACGTACGTACGTACGT").tolist(), SEP]])
    hidden = ids.clone()
    places = torch.tensor([5, 8, 11])
    hidden[0, places] = MASK
    with torch.no_grad():
        assert checkpoint.network(hidden)[0, places].argmax(dim=1).tolist() == ids[0, places].tolist()
    tokens = AutoTokenizer.from_pretrained(tmp_path / "run")("A C G T N")["input_ids"]
    assert tokens == [CLS, *encode("ACGTN").tolist(), SEP]


def test_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    pieces = _random_pieces()
    pretrain(new_model(TINY), pieces, RECIPE, tmp_path / "whole")

    class StopError(Exception):
        pass

    batches = itertools.count(1)

    def fail_at_the_fifth_batch(*_: object) -> None:
        if next(batches) == 5:
            raise StopError

    recipe = replace(RECIPE, checkpoint_steps=3)
    broken = new_model(TINY)
    broken.register_forward_pre_hook(fail_at_the_fifth_batch)
    with pytest.raises(StopError):
        pretrain(broken, pieces, recipe, tmp_path / "broken")
    assert not (tmp_path / "broken" / "model.safetensors").exists()
    pretrain(new_model(TINY, seed=9), pieces, recipe, tmp_path / "broken", resume=True)
    whole, resumed = _weights(tmp_path / "whole"), _weights(tmp_path / "broken")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_run_ends_when_its_time_is_over(tmp_path: Path) -> None:
    recipe = Recipe(sequence_length="30", batch_tokens=64, max_hours=1e-9)
    pretrain(new_model(TINY), _random_pieces(), recipe, tmp_path)
    assert (tmp_path / "model.safetensors").is_file()


def test_senseless_runs_are_refused(tmp_path: Path) -> None:
    pieces, model = _random_pieces(), new_model(TINY)
    with pytest.raises(InputError, match="needs an end"):
        pretrain(model, pieces, Recipe(), tmp_path)
    with pytest.raises(InputError, match="reads at most 62 nt"):
        pretrain(model, pieces, Recipe(max_steps=1), tmp_path)
    with pytest.raises(InputError, match="no checkpoint to resume"):
        pretrain(model, pieces, RECIPE, tmp_path, resume=True)
    (tmp_path / "checkpoint-3").mkdir()
    with pytest.raises(InputError, match="go on with --resume"):
        pretrain(model, pieces, RECIPE, tmp_path)
    with pytest.raises(InputError, match="no multiple of 5 heads"):
        new_model(Architecture(heads=5))


# Export


def test_export_is_float16_and_loads_back(tmp_path: Path) -> None:
    model = new_model(TINY)
    model.save_pretrained(tmp_path / "run")
    size = exporting.export(tmp_path / "run", tmp_path / "out")
    weights = _weights(tmp_path / "out")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert "cls.predictions.decoder.weight" not in weights
    written = (tmp_path / "out" / "model.safetensors").stat()
    assert (written.st_size, written.st_mode & 0o777) == (size, 0o644)
    ids = torch.tensor([[CLS, *encode("ACGTNACGT").tolist(), SEP]])
    theirs = BertForMaskedLM.from_pretrained(tmp_path / "out")
    theirs.train(False)
    model.train(False)
    assert theirs.dtype == torch.float32
    with torch.no_grad():
        ours = load_masked_lm(tmp_path / "out").network(ids)
        torch.testing.assert_close(ours, theirs(ids).logits, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours, model(ids).logits, atol=0.01, rtol=0)


def test_export_refuses_what_is_no_model_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        exporting.export(tmp_path, tmp_path / "out")
    new_model(TINY).save_pretrained(tmp_path / "run")
    monkeypatch.setattr(exporting, "MAX_BYTES", 1000)
    with pytest.raises(OutputError, match="the limit is 1000"):
        exporting.export(tmp_path / "run", tmp_path / "out")


# Command line


def test_commands_from_genome_to_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fasta = tmp_path / "toy.fa"
    fasta.write_text("".join(f">{name}\n{''.join(rng.choice(list('ACGT'), 900))}\n" for name in ("chr1", "chr2")))
    pysam.faidx(str(fasta))
    (tmp_path / "toy.gtf").write_text(
        "".join(f'{c}\tx\texon\t1\t900\t.\t+\t.\tgene_id "{c}"; transcript_id "{c}";\n' for c in ("chr1", "chr2"))
    )
    (tmp_path / "genomes.tsv").write_text("# species\ntoy\ttoy.fa\ttoy.gtf\n")
    genomes = ["--genomes", str(tmp_path / "genomes.tsv"), "--hold-out", "chr2"]
    size = "--hidden-size 64 --layers 1 --heads 2 --ffn 32 --max-nt 62 --dropout 0"
    schedule = "--sequence-length 62 --batch-tokens 256 --init offset-heads --max-steps 3 --threads 1"
    run, model = str(tmp_path / "run"), str(tmp_path / "model")
    for arguments in (
        ["pretrain", *genomes, "-o", run, *size.split(), *schedule.split()],
        ["export", run, model],
        ["evaluate", model, *genomes, "--length", "60", "--threads", "1", "--json", str(tmp_path / "scores.json")],
    ):
        result = CliRunner().invoke(train, arguments, catch_exceptions=False)
        assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["toy"] * 4 + ["all"] * 4
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert [score["model"] for score in scores[:4]] == ["model", *COUNT_MODELS]
    assert {score["windows"] for score in scores} == {15}
    assert scores[0]["cross_entropy"] == pytest.approx(math.log(4), abs=0.3)


def test_genomes_come_from_pairs_and_tables(tmp_path: Path) -> None:
    table = tmp_path / "genomes.tsv"
    table.write_text("fly\tfly.fa\t/abs/fly.gff3\n\n# comment\n")
    found = read_genomes(((Path("x/worm.v1.fa"), Path("x/worm.gtf")),), table)
    assert [genome.species for genome in found] == ["worm", "fly"]
    assert (found[1].fasta, found[1].annotation) == (tmp_path / "fly.fa", Path("/abs/fly.gff3"))
    table.write_text("fly fly.fa fly.gtf\n")
    with pytest.raises(InputError, match=r"genomes\.tsv:1: expected three"):
        read_genomes((), table)
    with pytest.raises(InputError, match="cannot read"):
        read_genomes((), tmp_path / "absent.tsv")
    with pytest.raises(InputError, match="no genome"):
        read_genomes((), None)


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SbertError, match=r"pip install 'sbert-vcf\[train\]'"):
        CliRunner().invoke(train, ["export", str(tmp_path), str(tmp_path / "out")], catch_exceptions=False)

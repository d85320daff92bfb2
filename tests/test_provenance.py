"""sbert_vcf.provenance: what the header tells of a run, and how it is read again."""

import gzip
from dataclasses import replace
from pathlib import Path

from sbert_vcf import __version__
from sbert_vcf.annotator import Annotator
from sbert_vcf.genes import Genes
from sbert_vcf.provenance import provenance, read_facts, run_facts
from tests.world import build_world


def test_facts_are_read_as_they_are_written(tmp_path: Path) -> None:
    world = build_world(tmp_path)
    odd = world.model.rename(tmp_path / 'a "model", with \\ and =')
    alias = tmp_path / "alias.tsv"
    alias.write_text("chr1\tone\nchr2\ttwo\n")
    scoring = replace(world.scoring(genes=True, strand="auto"), model=str(odd), alias=str(alias))
    with Annotator.open(scoring) as annotator:
        facts = run_facts(annotator)
        lines = provenance(annotator)
    assert read_facts(["##other", *lines, lines[0]]) == [facts]
    assert facts["Version"] == __version__
    assert facts["Model"] == str(odd)
    assert facts["Genes"] == facts["Strand"] == "world.gtf"
    assert facts["StrandMode"] == "auto"
    assert {name for name in facts if name.endswith("SHA256")} == {
        "ModelSHA256",
        "GenesSHA256",
        "ReferenceIndexSHA256",
        "AliasesSHA256",
    }


def test_digest_of_genes_is_that_of_what_they_say(tmp_path: Path) -> None:
    world = build_world(tmp_path)
    zipped, other = tmp_path / "genes.gtf.gz", tmp_path / "other.gtf"
    zipped.write_bytes(gzip.compress(b"# a comment\n" + world.genes.read_bytes()))
    other.write_text(world.genes.read_text().replace("\t1700\t", "\t1701\t"))
    digests = [Genes.open(path, cache=tmp_path / "cache").digest() for path in (world.genes, zipped, other)]
    assert digests[0] == digests[1] != digests[2]
    assert Genes.open(world.genes, cache=tmp_path / "cache").digest() == digests[0]  # from the cache

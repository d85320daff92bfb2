"""The made-up contig: variants that fit it, introns that begin with GT and end with AG, the same every time."""

from pathlib import Path

from sbert_model.tokenizer import decode, encode, reverse_complement
from sbert_vcf.generated import CONTIG, generate
from sbert_vcf.genes import Genes
from sbert_vcf.reference import Reference


def test_the_same_every_time(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made = generate(tmp_path / name, 50)
        files.append((made.fasta.read_bytes(), made.genes.read_bytes(), made.sites))
    assert files[0] == files[1]


def test_variants_fit_the_contig(tmp_path: Path) -> None:
    made = generate(tmp_path, 300)
    with Reference(made.fasta) as reference:
        for site in made.sites:
            assert reference.letters(CONTIG, site.start, site.start + len(site.ref)) == site.ref
            assert site.alts != (site.ref,)
    assert [site.start for site in made.sites] == sorted(site.start for site in made.sites)
    indels = sum(len(site.ref) != len(site.alts[0]) for site in made.sites)
    assert 15 <= indels <= 45


def test_introns_are_canonical_and_every_variant_is_in_a_gene(tmp_path: Path) -> None:
    made = generate(tmp_path, 300)
    genes = Genes.open(made.genes, cache=tmp_path)
    strands = set()
    with Reference(made.fasta) as reference:
        for site in made.sites:
            (transcript,) = genes.transcripts_overlapping(CONTIG, site.start, site.start + 1)
            strands.add(transcript.strand)
            for (_, start), (end, _) in zip(transcript.exons[:-1], transcript.exons[1:], strict=True):
                intron = reference.letters(CONTIG, start, end)
                if transcript.strand == "-":
                    intron = decode(reverse_complement(encode(intron)))
                assert (intron[:2], intron[-2:]) == ("GT", "AG")
    assert strands == {"+", "-"}

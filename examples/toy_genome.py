"""A made-up chromosome whose genes have splice sites, branchpoints and exons like real ones."""

import random
from dataclasses import dataclass
from itertools import product

CONTIG = "chrToy"
SEED = 20240

# Position weights in the order A, C, G, T: the donor is (A/C)AG|GTRAGT, in three exon and six intron bases.
DONOR_EXON = ((35, 35, 19, 11), (60, 13, 12, 15), (9, 3, 80, 8))
DONOR_INTRON = ((0, 0, 1, 0), (0, 0, 0, 1), (60, 3, 34, 3), (70, 8, 12, 10), (8, 6, 78, 8), (17, 16, 20, 47))
ACCEPTOR_EXON = (25, 14, 50, 11)
TRACT = (4, 33, 4, 59)
# yUnAy with the branchpoint A in lower case.
BRANCHPOINTS = ("TACTAaC", "TGCTAaC", "TGCTGaC", "CTaAC", "CTGaC", "CTTaC", "CTaAT", "TTCTaAT")
BRANCHPOINT_WEIGHTS = (4, 2, 4, 2, 4, 2, 2, 1)
INTRON = (28, 19, 20, 33)
INTERGENIC = (30, 20, 20, 30)
# Weights by position in the codon: G first, C or G last, as in human coding sequence.
CODON_POSITIONS = ((26, 25, 32, 17), (31, 24, 19, 26), (15, 31, 33, 21))
STOPS = ("TAA", "TAG", "TGA")
COMPLEMENT = str.maketrans("ACGT", "TGCA")


@dataclass(frozen=True)
class ToyGene:
    """A gene at [start, end) of the chromosome; the rest counts bases in its sense direction from its own start."""

    number: int
    strand: str
    start: int
    end: int
    exons: tuple[tuple[int, int], ...]
    branchpoints: tuple[int, ...]
    coding: tuple[int, int]

    @property
    def symbol(self) -> str:
        """The gene's name."""
        return f"TOY{self.number}"

    @property
    def gene_id(self) -> str:
        """The gene's stable ID."""
        return f"TOYG{self.number:05d}"

    @property
    def transcript_id(self) -> str:
        """The stable ID of its one transcript."""
        return f"TOYT{self.number:05d}"

    @property
    def introns(self) -> tuple[tuple[int, int], ...]:
        """The intervals between the exons."""
        return tuple((left[1], right[0]) for left, right in zip(self.exons[:-1], self.exons[1:], strict=True))

    def interval(self, start: int, end: int) -> tuple[int, int]:
        """Return the place on the chromosome of the sense interval [start, end)."""
        if self.strand == "+":
            return self.start + start, self.start + end
        return self.end - end, self.end - start


@dataclass(frozen=True)
class ToyGenome:
    """The chromosome and its genes, by position."""

    sequence: str
    genes: tuple[ToyGene, ...]

    def sense(self, gene: ToyGene, start: int, end: int) -> str:
        """Return the bases of a sense interval of a gene, in sense direction."""
        left, right = gene.interval(start, end)
        bases = self.sequence[left:right]
        return bases if gene.strand == "+" else reverse_complement(bases)


def reverse_complement(bases: str) -> str:
    """Return the other strand, from its 5' end."""
    return bases.translate(COMPLEMENT)[::-1]


def build_genome() -> ToyGenome:
    """Return the chromosome: genes on alternating strands between stretches without genes."""
    numbers = random.Random(SEED)
    sequence = _background(numbers, INTERGENIC, 5000)
    genes = []
    for number, (strand, exons) in enumerate(zip("+-+-+-", (5, 4, 7, 6, 4, 8), strict=True), 1):
        bases, gene = _gene(numbers, number, strand, exons, len(sequence))
        sequence += bases + _background(numbers, INTERGENIC, numbers.randint(4500, 8000))
        genes.append(gene)
    return ToyGenome(sequence, tuple(genes))


def _gene(numbers: random.Random, number: int, strand: str, exons: int, start: int) -> tuple[str, ToyGene]:
    """Build in sense direction: untranslated start, ATG, codons in whole exons, stop, untranslated end."""
    sense = _background(numbers, CODON_POSITIONS[2], numbers.randint(60, 150))
    coding_start = len(sense)
    places, branchpoints = [], []
    exon_start = 0
    for index in range(exons):
        first, last = index == 0, index == exons - 1
        sense += _coding(numbers, numbers.randint(25, 60), first, last)
        if last:
            coding_end = len(sense)
            sense += _background(numbers, INTERGENIC, 200) + "AATAAA" + _background(numbers, INTERGENIC, 18)
        places.append((exon_start, len(sense)))
        if not last:
            intron, branchpoint = _intron(numbers)
            branchpoints.append(len(sense) + branchpoint)
            sense += intron
            exon_start = len(sense)
    gene = ToyGene(
        number, strand, start, start + len(sense), tuple(places), tuple(branchpoints), (coding_start, coding_end)
    )
    return sense if strand == "+" else reverse_complement(sense), gene


def _coding(numbers: random.Random, codons: int, first: bool, last: bool) -> str:
    """Return codons without a stop, with ATG or an acceptor's first base before and a donor's or a stop behind."""
    words = ["".join(word) for word in product("ACGT", repeat=3) if "".join(word) not in STOPS]
    weights = [
        CODON_POSITIONS[0]["ACGT".index(word[0])]
        * CODON_POSITIONS[1]["ACGT".index(word[1])]
        * CODON_POSITIONS[2]["ACGT".index(word[2])]
        for word in words
    ]
    body = numbers.choices(words, weights, k=codons)
    if first:
        body[0] = "ATG"
    else:
        begin = _base(numbers, ACCEPTOR_EXON)
        fitting = [word for word in words if word[0] == begin]
        body[0] = numbers.choices(fitting, [weights[words.index(word)] for word in fitting])[0]
    body[-1] = numbers.choice(STOPS) if last else _donor_codon(numbers)
    return "".join(body)


def _donor_codon(numbers: random.Random) -> str:
    while (codon := "".join(_base(numbers, weights) for weights in DONOR_EXON)) in STOPS:
        pass
    return codon


def _intron(numbers: random.Random) -> tuple[str, int]:
    """Return an intron and the place of its branchpoint A, which lies 18 to 44 nt before the exon."""
    motif = numbers.choices(BRANCHPOINTS, BRANCHPOINT_WEIGHTS)[0]
    tract = "".join(_base(numbers, TRACT) for _ in range(numbers.randint(15, 30)))
    tract = tract.replace("AG", "AT")  # no AG between the branchpoint and the acceptor's own
    left = "".join(_base(numbers, weights) for weights in DONOR_INTRON)
    left += _background(numbers, INTRON, numbers.randint(300, 1500))
    branchpoint = len(left) + motif.index("a")
    return f"{left}{motif.upper()}{tract}{numbers.choice('CT')}{numbers.choice('CCT')}AG", branchpoint


def _background(numbers: random.Random, weights: tuple[int, ...], length: int) -> str:
    """Return bases drawn by weight, with CG a quarter as frequent as chance would have it."""
    bases: list[str] = []
    after_c = (weights[0], weights[1], weights[2] // 4, weights[3])
    while len(bases) < length:
        bases.append(_base(numbers, after_c if bases[-1:] == ["C"] else weights))
    return "".join(bases)


def _base(numbers: random.Random, weights: tuple[int, ...]) -> str:
    return numbers.choices("ACGT", weights)[0]

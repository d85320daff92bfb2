"""Variants on the toy chromosome, annotated as Ensembl VEP would: easy ones, hard ones and two that are wrong."""

import re
from dataclasses import dataclass, replace

from toy_genome import COMPLEMENT, ToyGene, ToyGenome, reverse_complement

CSQ_COLUMNS = (
    "Allele|Consequence|IMPACT|SYMBOL|Gene|Feature_type|Feature|BIOTYPE|EXON|INTRON|HGVSc|ALLELE_NUM|DISTANCE|STRAND"
)
SAMPLE = "toy_sample"
IMPACTS = {
    "splice_donor_variant": "HIGH",
    "splice_acceptor_variant": "HIGH",
    "transcript_ablation": "HIGH",
    "frameshift_variant": "HIGH",
    "splice_donor_5th_base_variant": "LOW",
    "synonymous_variant": "LOW",
}
TRANSITION = str.maketrans("ACGT", "GTAC")


@dataclass(frozen=True)
class Record:
    """One line of the VCF; start is 0-based."""

    name: str
    start: int
    ref: str
    alt: str
    info: str
    genotype: str


class Planter:
    """Makes records at places given in the sense direction of a gene."""

    def __init__(self, genome: ToyGenome) -> None:
        self.genome = genome

    def substitution(self, name: str, gene: ToyGene, place: int, consequence: str, genotype: str = "0/1") -> Record:
        """Return the transition of one base."""
        start, end = gene.interval(place, place + 1)
        ref = self.genome.sequence[start:end]
        alt = ref.translate(TRANSITION)
        change = (ref, alt) if gene.strand == "+" else (ref.translate(COMPLEMENT), alt.translate(COMPLEMENT))
        hgvs = f"{gene.transcript_id}:c.{coding_position(gene, place)}{change[0]}>{change[1]}"
        return Record(name, start, ref, alt, csq([entry(gene, place, alt, consequence, 1, hgvs)]), genotype)

    def replacement(self, name: str, gene: ToyGene, start: int, end: int, sense: str, consequence: str) -> Record:
        """Return the change of the sense bases [start, end) into others, with the base before them if one is empty."""
        left, right = gene.interval(start, end)
        alt = sense if gene.strand == "+" else reverse_complement(sense)
        csq_allele = alt or "-"
        if left == right or not alt:
            left -= 1
            alt = self.genome.sequence[left] + alt
        ref = self.genome.sequence[left:right]
        return Record(name, left, ref, alt, csq([entry(gene, start, csq_allele, consequence, 1)]), "0/1")


def plant_variants(genome: ToyGenome) -> list[Record]:
    """Return all the records."""
    plant = Planter(genome)
    one, two, three, four, five, six = genome.genes
    intron = "intron_variant"
    records = [
        plant.substitution("donor_1_plus", one, one.exons[1][1], "splice_donor_variant"),
        plant.substitution("donor_1_minus", two, two.exons[0][1], "splice_donor_variant", "1/1"),
        plant.substitution("acceptor_1_minus", two, two.exons[2][0] - 1, "splice_acceptor_variant"),
        plant.substitution("acceptor_2_plus", three, three.exons[3][0] - 2, "splice_acceptor_variant"),
        plant.substitution("synonymous_plus", three, synonymous_place(genome, three, 4), "synonymous_variant", "1/1"),
        plant.substitution("synonymous_minus", four, synonymous_place(genome, four, 2), "synonymous_variant"),
        plant.substitution("deep_intronic_plus", one, (one.exons[2][1] + one.exons[3][0]) // 2, intron),
        plant.substitution("deep_intronic_minus", four, (four.exons[0][1] + four.exons[1][0]) // 2, intron),
        plant.substitution("branchpoint_plus", five, five.branchpoints[1], intron),
        plant.substitution("branchpoint_minus", six, six.branchpoints[3], intron),
        plant.replacement(
            "deletion_branchpoint_minus", six, six.branchpoints[5] - 3, six.branchpoints[5] + 3, "", intron
        ),
    ]
    return records + hard_records(plant, genome) + unscored_records(plant, genome)


def hard_records(plant: Planter, genome: ToyGenome) -> list[Record]:
    """Return alleles whose notation matters."""
    three, four, five = genome.genes[2:5]
    donor = five.exons[0][1]
    deletion = plant.replacement("deletion_donor_plus", five, donor - 2, donor + 2, "", "splice_donor_variant")
    star_start, _ = five.interval(donor, donor + 1)
    snv = entry(five, donor, "A", "splice_donor_variant", 1)
    star = Record("star_in_multi_alt", star_start, genome.sequence[star_start], "A,*", csq([snv]), "1/2")
    middle = sum(four.exons[3]) // 2
    was = genome.sense(four, middle, middle + 3)
    now = (was[0] + was[2]).translate(TRANSITION)
    delins = plant.replacement("delins_minus", four, middle, middle + 3, now, "frameshift_variant")
    return [deletion, star, delins, right_shifted_insertion(genome, three), two_alts(genome, four)]


def right_shifted_insertion(genome: ToyGenome, gene: ToyGene) -> Record:
    """Return one more base for a run of one base in the first intron, written at the run's last base."""
    start, end = gene.interval(*gene.introns[0])
    runs = re.finditer(r"(.)\1*", genome.sequence[start + 20 : end - 60])
    longest = max(runs, key=lambda run: len(run.group()))
    last, base = start + 20 + longest.end() - 1, longest.group(1)
    consequences = csq([entry(gene, last - gene.start, base, "intron_variant", 1)])
    return Record("insertion_in_repeat", last, base, base * 2, consequences, "0/1")


def two_alts(genome: ToyGenome, gene: ToyGene) -> Record:
    """Return a deletion and a substitution in one record: VEP leaves their common first base out of both names."""
    place = gene.exons[1][1] + 5
    start, _ = gene.interval(place, place + 1)
    ref = genome.sequence[start : start + 3]
    alts = (ref[0], ref[0] + ref[1].translate(TRANSITION) + ref[2])
    names = [alt[1:] or "-" for alt in alts]
    consequence = "splice_donor_5th_base_variant&intron_variant"
    entries = [entry(gene, place, name, consequence, number) for number, name in enumerate(names, 1)]
    return Record("two_alts_minus", start, ref, ",".join(alts), csq(entries), "1/2")


def unscored_records(plant: Planter, genome: ToyGenome) -> list[Record]:
    """Return what cannot be scored, each for another reason."""
    one, two, six = genome.genes[0], genome.genes[1], genome.genes[5]
    between = (one.end + two.start) // 2
    base = genome.sequence[between]
    other = base.translate(TRANSITION)
    nowhere = {"Allele": other, "Consequence": "intergenic_variant", "IMPACT": "MODIFIER", "ALLELE_NUM": "1"}
    outside = Record("intergenic", between, base, other, csq([csq_entry(nowhere)]), "0/1")
    start, end = six.interval(six.exons[2][0] - 200, six.exons[2][1] + 200)
    broken = entry(six, six.exons[2][0], "deletion", "splice_acceptor_variant&splice_donor_variant&intron_variant", 1)
    info = f"END={end};SVTYPE=DEL;{csq([broken])}"
    symbolic = Record("symbolic_deletion", start - 1, genome.sequence[start - 1], "<DEL>", info, "0/1")
    right = plant.substitution("reference_mismatch", two, two.exons[1][1] + 40, "intron_variant")
    mismatch = replace(right, ref=right.ref.translate(COMPLEMENT))
    place, _ = one.interval(one.exons[1][0] + 9, one.exons[1][0] + 10)
    return [outside, symbolic, mismatch, Record("no_alt", place, genome.sequence[place], ".", ".", "0/0")]


def synonymous_place(genome: ToyGenome, gene: ToyGene, exon: int) -> int:
    """Return the third base of a codon in the middle of the exon that may change between C and T."""
    start, end = gene.exons[exon]
    middle = start + (end - start) // 6 * 3
    return next(at for at in range(middle + 2, end, 3) if genome.sense(gene, at, at + 1) in "CT")


def coding_position(gene: ToyGene, place: int) -> str:
    """Return the HGVS coding position of a sense place within the coding part or an intron (`97`, `97+1`, `98-2`)."""
    before = 1 - gene.coding[0]
    for index, (start, end) in enumerate(gene.exons):
        if place < end:
            return str(before + place - start)
        before += end - start
        following = gene.exons[index + 1][0]
        if place < following:
            behind, ahead = place - end + 1, following - place
            return f"{before - 1}+{behind}" if behind <= ahead else f"{before}-{ahead}"
    raise ValueError(f"{place} lies behind {gene.symbol}")


def entry(gene: ToyGene, place: int, allele: str, consequence: str, number: int, hgvs: str = "") -> str:
    """Return one CSQ entry for a change at a sense place of a gene."""
    values = {
        "Allele": allele,
        "Consequence": consequence,
        "IMPACT": IMPACTS.get(consequence.split("&")[0], "MODIFIER"),
        "SYMBOL": gene.symbol,
        "Gene": gene.gene_id,
        "Feature_type": "Transcript",
        "Feature": gene.transcript_id,
        "BIOTYPE": "protein_coding",
        "EXON": rank(gene.exons, place),
        "INTRON": rank(gene.introns, place),
        "HGVSc": hgvs,
        "ALLELE_NUM": str(number),
        "STRAND": "1" if gene.strand == "+" else "-1",
    }
    return csq_entry(values)


def rank(parts: tuple[tuple[int, int], ...], place: int) -> str:
    """Return which of the exons or introns holds the place, as `2/5`, or nothing."""
    return next((f"{at}/{len(parts)}" for at, (start, end) in enumerate(parts, 1) if start <= place < end), "")


def csq_entry(values: dict[str, str]) -> str:
    """Return the values in the columns' order; a column without a value is empty."""
    return "|".join(values.get(column, "") for column in CSQ_COLUMNS.split("|"))


def csq(entries: list[str]) -> str:
    """Return the INFO field."""
    return "CSQ=" + ",".join(entries)

"""Branchpoint regions and the windows that a branchpoint model reads around them, in training and in annotation.

Source: Chen et al. 2024 (Briefings in Bioinformatics 25(3), bbae163), branchpoint prediction, and the code published
with it; the regions are those in which Mercer et al. 2015 (Genome Research 25:290) looked for branchpoints.
"""

from typing import Final

WINDOW: Final = 510
"""Nucleotides that a branchpoint model reads."""
REGION: Final = range(-44, -17)
"""Branchpoint region: 44 to 18 nt upstream of an acceptor, counted from the first exon base (0) in sense direction."""
BRANCHPOINT: Final = 1
"""The class of a branchpoint; class 0 is every other base."""


def region_of(acceptor: int, strand: str) -> tuple[int, int]:
    """Return the branchpoint region [start, end) of the acceptor whose first exon base has this 0-based coordinate."""
    if strand == "+":
        return acceptor + REGION.start, acceptor + REGION.stop
    return acceptor + 1 - REGION.stop, acceptor + 1 - REGION.start


def window_around(start: int, end: int, strand: str = "+") -> tuple[int, int]:
    """Return the interval of 510 nt around the region [start, end), which lies in its middle.

    What cannot be halved lies downstream: 241 nt before a region of 27 nt and 242 nt after it, on the sense strand. The
    coordinates are the genome's, or those of a sense-strand sequence (then strand is '+').
    """
    upstream = (WINDOW - (end - start)) // 2
    first = start - upstream if strand == "+" else end + upstream - WINDOW
    return first, first + WINDOW

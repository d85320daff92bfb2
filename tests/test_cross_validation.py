import numpy as np
import pytest

from sbert_model.errors import InputError
from sbert_train.cross_validation import balanced_folds, check_folds, loci, splits


def test_each_fold_is_tested_once_and_the_next_one_chooses_the_epochs() -> None:
    fold_of = np.array([0, 1, 2, 2, 1, 0])
    found = splits(fold_of, 3)
    assert [part.test.tolist() for part in found] == [[0, 5], [1, 4], [2, 3]]
    assert [part.validation.tolist() for part in found] == [[1, 4], [2, 3], [0, 5]]
    assert [part.training.tolist() for part in found] == [[2, 3], [0, 5], [1, 4]]


def test_loci_are_chains_of_neighbours_on_a_contig() -> None:
    contigs = ["a", "b", "a", "a", "a"]
    starts = [100, 110, 300, 150, 200]
    # On a: 100, 150, 200 are 50 apart each; 300 is 100 from 200. On b: alone, however near its number.
    assert loci(contigs, starts, 50) == [0, 2, 1, 0, 0]
    assert loci(contigs, starts, 100) == [0, 1, 0, 0, 0]


def test_folds_are_balanced_and_never_share_a_group() -> None:
    groups = ["big"] * 5 + ["x", "y", "z", "x", "y", "v"]
    fold_of = balanced_folds(groups, 3)
    assert np.bincount(fold_of).tolist() == [5, 3, 3]
    for group in set(groups):
        assert len({fold for fold, name in zip(fold_of.tolist(), groups, strict=True) if name == group}) == 1
    np.testing.assert_array_equal(fold_of, balanced_folds(groups, 3))
    with pytest.raises(InputError, match="6 folds need as many groups of examples, there are 5"):
        balanced_folds(groups, 6)


def test_a_fold_without_positives_is_named() -> None:
    fold_of = np.array([0, 0, 1, 1])
    check_folds(fold_of, 2, np.array([False, True, True, False]))
    with pytest.raises(InputError, match="fold 1 of 2 has no positive among its 2 examples; take fewer --folds"):
        check_folds(fold_of, 2, np.array([False, True, False, False]))

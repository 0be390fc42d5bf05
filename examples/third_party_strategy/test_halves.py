"""Halves: the contract, and the facts."""

from acme_halves import Halves
from maskkit_jepa.testing import check_strategy


def test_contract():
    check_strategy(Halves)


def test_either_half_is_predicted_as_often():
    """Of 1,000 images 500, give or take four standard deviations."""
    left = Halves(seed=0).build().sample(range(1000)).arrays[1][:, 0, 0]
    assert abs(left.sum() - 500) < 4 * 250**0.5

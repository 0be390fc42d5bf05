"""Checkerboard: the contract, and the facts."""

from acme_checkerboard import Checkerboard
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(Checkerboard)


def test_neighbours_differ():
    """A query that sees a key does not see the next one."""
    allowed = Checkerboard(seq_len=8).allowed()
    assert (allowed[:, 1:] != allowed[:, :-1]).all()

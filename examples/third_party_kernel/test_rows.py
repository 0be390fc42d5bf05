"""Rows: the contract, and the facts."""

from acme_rows import Rows
import maskkit
from maskkit.testing import check_kernel


def test_contract():
    check_kernel(Rows)


def test_memory_follows_the_rows_that_are_held():
    problem = maskkit.Problem(queries=4096, keys=4096, heads=2, kv_heads=2, head_dim=8, value_dim=8)
    assert Rows(rows=16).fits(problem).nbytes == 8 * 2 * 16 * 4096

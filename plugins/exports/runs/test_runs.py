"""Runs are those of the flattened array, and give it back."""

from itertools import groupby

import numpy as np
import pytest
import maskkit
from maskkit.testing import check_exporter
from maskkit_runs import Runs


def test_contract():
    check_exporter(Runs(), meaning=lambda form, mask: Runs().read(form, axes=mask.axes).allowed())


@pytest.mark.parametrize("order", ["row", "column"])
@pytest.mark.parametrize(
    "expression", ["causal", "~causal", "sink(window_size=3)", "causal & ~causal", "causal | ~causal"]
)
def test_runs_are_those_of_the_array(expression, order):
    mask = maskkit.parse(expression, seq_len=9)
    form = mask.export("runs", order=order)
    flat = mask.allowed().ravel(order="C" if order == "row" else "F").tolist()
    expected = [len(list(run)) for _, run in groupby(flat)]
    assert form == {"size": [9, 9], "counts": [0, *expected] if flat[0] else expected}
    np.testing.assert_array_equal(maskkit.from_form("runs", form, order=order).allowed(), mask.allowed())


def test_counts_that_do_not_add_up_are_refused():
    with pytest.raises(maskkit.ConfigError, match="counts must add up to the 9 positions of size, got 8"):
        maskkit.from_form("runs", {"size": [3, 3], "counts": [8]})


def test_columns_are_of_two_axes():
    mask = maskkit.create("key_padding", lengths=[3, 4], seq_len=4)
    with pytest.raises(maskkit.ConfigError, match="order must be 'row', or 'column' of two axes, got 'column' of 3"):
        mask.export("runs", order="column")

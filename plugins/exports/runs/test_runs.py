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
    "expression",
    ["causal", "~causal", "sink(window_size=3)", "causal & ~causal", "causal | ~causal", "random(seed=1)"],
)
def test_runs_are_those_of_the_array(expression, order):
    mask = maskkit.parse(expression, seq_len=9)
    form = mask.export("runs", order=order)
    flat = mask.allowed().ravel(order="C" if order == "row" else "F").tolist()
    expected = [len(list(run)) for _, run in groupby(flat)]
    assert form == {"size": [9, 9], "counts": [0, *expected] if flat[0] else expected}
    np.testing.assert_array_equal(maskkit.from_form("runs", form, order=order).allowed(), mask.allowed())


def test_runs_of_a_long_mask_are_found_in_its_spans():
    """Of 10,000,000,000 positions no array is made."""
    form = maskkit.create("sliding_window", seq_len=100_000, window_size=64).export("runs")
    assert sum(form["counts"]) == 100_000**2
    assert form["counts"][:4] == [0, 1, 99_999, 2]
    assert len(form["counts"]) == 2 * 100_000


def test_runs_of_samples_go_on_from_one_to_the_next():
    mask = maskkit.create("key_padding", lengths=[3, 4, 0, 1], seq_len=4)
    runs = [len(list(run)) for _, run in groupby(mask.allowed().ravel())]
    assert mask.export("runs")["counts"] == [0, *runs]


def test_counts_that_do_not_add_up_are_refused():
    with pytest.raises(maskkit.ConfigError, match="counts must add up to the 9 positions of size, got 8"):
        maskkit.from_form("runs", {"size": [3, 3], "counts": [8]})


def test_columns_are_of_two_axes():
    mask = maskkit.create("key_padding", lengths=[3, 4], seq_len=4)
    with pytest.raises(maskkit.ConfigError, match="order must be 'row', or 'column' of two axes, got 'column' of 3"):
        mask.export("runs", order="column")

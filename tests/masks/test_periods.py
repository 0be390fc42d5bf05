"""Masks that repeat: what is made of a few rows is what the predicate says."""

import numpy as np
import pytest
import maskkit


@pytest.fixture
def causal():
    return maskkit.create("causal", seq_len=6)


@pytest.mark.parametrize(
    "expression",
    ["causal", "banded(band_width=5)", "dilated(window_size=4, dilation=3) | ~sliding_window(window_size=9)"],
)
@pytest.mark.parametrize("cut", [(), (slice(3, None),), (slice(None), slice(7)), (slice(None, None, 2),) * 2])
def test_masks_of_the_distance_alone_slide(expression, cut):
    """So do their combinations and most of their views; one of every second row alone does not."""
    mask = maskkit.parse(expression, seq_len=40)
    seen, dense = mask[cut], mask.allows(*np.ogrid[:40, :40])[cut]
    assert seen.period == 1
    np.testing.assert_array_equal(seen.allowed(), dense)
    np.testing.assert_array_equal(seen.blocked("torch"), ~dense)
    assert not mask[::2, :].period
    assert not (mask & maskkit.create("document", lengths=[20, 20])).period


def test_what_slides_is_asked_for_two_rows(causal, monkeypatch):
    asked = []
    spans = type(causal).spans
    monkeypatch.setattr(type(causal), "spans", lambda self, q: asked.extend(q.tolist()) or spans(self, q))
    maskkit.create("causal", seq_len=1000).bias()
    assert asked == [999, 0]


@pytest.mark.parametrize("block_size", [1, 2, 3, 4, 6, 8, 12])
@pytest.mark.parametrize("cut", [slice(None), slice(5, None), slice(None, None, 3), slice(None, None, -1)])
@pytest.mark.parametrize(
    "expression", ["axial", "~axial", "axial & causal(seq_len=96)", "axial ^ strided(seq_len=96, stride=8)"]
)
def test_block_maps_of_what_repeats(expression, cut, block_size):
    mask = maskkit.parse(expression.replace("axial", "axial(height=12, width=8)"))[cut, cut]
    rows, keys = (-(-size // block_size) for size in mask.shape)
    dense = np.zeros((rows * block_size, keys * block_size), bool)
    dense[: mask.shape[0], : mask.shape[1]] = mask.allows(*np.ogrid[: mask.shape[0], : mask.shape[1]])
    tiles = dense.reshape(rows, block_size, keys, block_size)
    expected = tiles.any(axis=(1, 3)) + tiles.all(axis=(1, 3)).astype(int)
    np.testing.assert_array_equal(mask.blocks(block_size).dense(), expected)


def test_a_block_map_of_what_repeats_asks_for_two_periods(monkeypatch):
    """Without spans too: here they are forbidden, and the predicate is asked for no other rows."""
    mask = maskkit.create("axial", height=40, width=8)
    with_spans, asked = mask.blocks(8), []
    allows = type(mask).allows
    monkeypatch.setattr(type(mask), "spans", lambda self, q: None)
    monkeypatch.setattr(type(mask), "allows", lambda self, q, k: asked.extend(np.ravel(q)) or allows(self, q, k))
    np.testing.assert_array_equal(mask.blocks(8).dense(), with_spans.dense())
    assert sorted({*asked}) == [*range(8), *range(312, 320)]

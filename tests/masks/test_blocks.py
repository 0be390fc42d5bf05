"""Block maps, at sizes where no dense array could tell."""

import numpy as np
import pytest
import maskkit


def test_block_map_of_a_million_tokens():
    """Causal: the blocks on the diagonal are partial, those under it full."""
    n = 2**20
    blocks = maskkit.create("causal", seq_len=n).blocks()
    side = n // 128
    assert blocks.shape == (side, side)
    assert blocks.counts() == {"empty": side * (side - 1) // 2, "partial": side, "full": side * (side - 1) // 2}


@pytest.mark.parametrize("size", [1, 7, 64, 100, 101, 1000])
def test_block_maps_equal_the_cells(size):
    for expression in ("causal", "causal & ~banded(band_width=21)", "random(seed=5, mask_probability=0.9)"):
        mask = maskkit.parse(expression, seq_len=100)
        cells = np.zeros([-(-100 // size) * size] * 2, bool)
        cells[:100, :100] = mask.allowed()
        tiles = cells.reshape(len(cells) // size, size, -1, size)
        expected = tiles.any((1, 3)).astype(int) + tiles.all((1, 3))
        np.testing.assert_array_equal(mask.blocks(size).dense(), expected)


def test_block_size_must_be_a_positive_integer():
    mask = maskkit.create("causal", seq_len=8)
    for bad in (0, -1, 2.5, True, "8"):
        with pytest.raises(maskkit.ConfigError, match="block_size must be a positive integer"):
            mask.blocks(bad)


@pytest.mark.parametrize("expression", ["causal", "random(seed=5, mask_probability=0.9)"])
def test_blocks_larger_than_the_mask_are_as_cheap_as_small_ones(expression):
    blocks = maskkit.parse(expression, seq_len=100).blocks(2**62)
    assert (blocks.block_size, blocks.counts()) == (2**62, {"empty": 0, "partial": 1, "full": 0})


def test_blocks_of_many_rows_without_spans_are_refused():
    with pytest.raises(maskkit.TooLarge, match="dense part"):
        maskkit.create("random", seq_len=2**29, seed=1).blocks(2**20)


def test_dense_block_maps_obey_the_limit(monkeypatch):
    blocks = maskkit.create("causal", seq_len=2**20).blocks()
    monkeypatch.setattr(maskkit.limits, "dense_bytes", 2**20)
    with pytest.raises(maskkit.TooLarge, match="dense block map"):
        blocks.dense()

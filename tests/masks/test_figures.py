"""Block maps and statistics, at sizes where no dense array could tell."""

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


def test_stats_of_a_composed_mask_of_a_million_tokens():
    n, width = 2**20, 1001
    stats = maskkit.parse("causal & banded", seq_len=n, band_width=width).stats()
    reach = width // 2
    assert stats.allowed == n * (reach + 1) - reach * (reach + 1) // 2
    assert stats.blocked_rows == 0
    assert stats.intervals == 1
    assert stats.bytes["dense bool"] == n * n
    assert stats.flops_per_channel == 4 * stats.allowed
    assert sum(stats.blocks.values()) == (n // 128) ** 2


def test_rows_without_keys_are_counted():
    stats = maskkit.parse("causal & ~banded(band_width=5)", seq_len=100).stats()
    assert stats.blocked_rows == 3
    assert stats.allowed == 97 * 98 // 2


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


def test_dense_block_maps_obey_the_limit(monkeypatch):
    blocks = maskkit.create("causal", seq_len=2**20).blocks()
    monkeypatch.setattr(maskkit.limits, "dense_bytes", 2**20)
    with pytest.raises(maskkit.TooLarge, match="dense block map"):
        blocks.dense()


def test_masks_without_spans_use_the_same_figures():
    mask = maskkit.create("random", seq_len=300, mask_probability=0.25, seed=11)
    stats = mask.stats()
    assert stats.intervals is None
    assert "spans" not in stats.bytes
    assert stats.allowed == np.asarray(mask).sum()
    assert stats.density == pytest.approx(0.75, abs=0.01)

"""Statistics, at sizes where no dense array could tell."""

import numpy as np
import pytest
import maskkit


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


def test_masks_without_spans_use_the_same_figures():
    mask = maskkit.create("random", seq_len=300, mask_probability=0.25, seed=11)
    stats = mask.stats()
    assert stats.intervals is None
    assert "spans" not in stats.bytes
    assert stats.allowed == np.asarray(mask).sum()
    assert stats.density == pytest.approx(0.75, abs=0.01)

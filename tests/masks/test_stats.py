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


def test_counts_beyond_64_bits_are_exact():
    keys = 2**53 - 1
    mask = maskkit.create("causal", seq_len=keys)[-4096:, :]
    stats = mask.stats()
    assert stats.allowed == 4096 * keys - 4096 * 4095 // 2 > 2**63
    assert 0.999 < stats.density < 1
    assert mask.blocks(1).counts() == {"empty": 4096 * 4095 // 2, "partial": 0, "full": stats.allowed}


@pytest.mark.parametrize("expression", ["causal", "causal & random(seed=1)", "~sliding_window(window_size=9)"])
def test_what_would_take_forever_is_refused_with_what_to_do(expression):
    mask = maskkit.parse(expression, seq_len=10**12)
    for call in (mask.stats, mask.blocks, mask.allowed):
        with pytest.raises(maskkit.TooLarge, match=r"slice|some of them"):
            call()


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

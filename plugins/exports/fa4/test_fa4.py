"""The lists of blocks are those of the dense array."""

import numpy as np
import pytest
import maskkit


@pytest.mark.parametrize("expression", ["causal", "sliding_window(window_size=9)", "sink(window_size=6)", "~causal"])
def test_blocks_are_those_of_the_array(expression):
    mask = maskkit.parse(expression, seq_len=32)
    form = mask.export("fa4", block_size=8)
    tiles = mask.allowed().reshape(4, 8, 4, 8).swapaxes(1, 2).reshape(4, 4, 64)
    kinds = {"full": tiles.all(-1), "mask": tiles.any(-1) & ~tiles.all(-1)}
    for kind, expected in kinds.items():
        counts, indices = (form[f"{kind}_block_{what}"][0, 0].numpy() for what in ("cnt", "idx"))
        assert counts.dtype == indices.dtype == np.int32
        for row, (count, found) in enumerate(zip(counts, indices, strict=True)):
            assert sorted(found[:count].tolist()) == np.flatnonzero(expected[row]).tolist()


def test_it_is_not_read_back():
    with pytest.raises(maskkit.ConfigError, match="'fa4' holds no whole mask to read"):
        maskkit.from_form("fa4", {})


def test_a_mask_of_pixels_is_refused():
    with pytest.raises(maskkit.ConfigError, match="is no mask of queries and keys"):
        maskkit.create("mask.spatial", height=4, width=4).export("fa4")

"""One mask for each head or sample."""

import numpy as np
import pytest
from attrs import field, frozen
import maskkit
from maskkit import AttentionMask
from maskkit.testing import check_mask

CAUSAL = maskkit.create("causal", seq_len=6)
WINDOW = maskkit.create("sliding_window", seq_len=6, window_size=2)
PADDING = maskkit.create("key_padding", lengths=[3, 6], seq_len=6)
RANDOM = maskkit.create("random", seq_len=6, seed=1)


@pytest.mark.parametrize("axis", ["head", "batch"])
def test_a_stack_is_its_masks(axis):
    mask = maskkit.stack([CAUSAL, WINDOW, RANDOM, CAUSAL], axis=axis)
    assert mask.axes == (axis, "query", "key")
    np.testing.assert_array_equal(mask, np.stack([CAUSAL, WINDOW, RANDOM, CAUSAL]))
    assert mask[2].axes == ("query", "key")
    np.testing.assert_array_equal(mask[2], RANDOM)
    check_mask(mask)


def test_heads_of_a_batch():
    """Whatever is stacked first, the batch stands before the heads."""
    mask = maskkit.stack([PADDING, CAUSAL])
    assert mask.axes == ("batch", "head", "query", "key")
    expected = np.stack([np.asarray(PADDING), np.broadcast_to(CAUSAL, (2, 6, 6))], axis=1)
    np.testing.assert_array_equal(mask, expected)
    again = maskkit.stack([maskkit.stack([PADDING[b], CAUSAL]) for b in range(2)], axis="batch")
    np.testing.assert_array_equal(again, expected)
    np.testing.assert_array_equal(mask[:, 1], expected[:, 1])
    for one in (mask, again, mask[1], mask[:, 0], mask & CAUSAL, ~mask):
        check_mask(one, backends=["torch"])


def test_equal_masks_are_computed_once():
    """32 heads of two kinds ask each kind for its rows as often as a stack of two does."""
    asked = []

    @frozen(kw_only=True)
    class Counted(AttentionMask):
        name = "counted"
        seq_len: int = field()

        def allows(self, q, k):
            return k <= q

        def spans(self, q):
            asked.append(np.shape(q))
            return maskkit.Spans.interval(0, q + 1)

    mask = Counted(seq_len=300)

    def calls(heads):
        asked.clear()
        stacked = maskkit.stack([mask, CAUSAL_300] * (heads // 2))
        assert stacked.to_flex().kv_num_blocks.shape[:2] == (1, heads)
        stacked.allowed(), stacked.stats(), stacked.blocks()
        return len(asked)

    assert calls(32) == calls(2)


CAUSAL_300 = maskkit.create("causal", seq_len=300)


@pytest.mark.parametrize(
    ("masks", "axis", "words"),
    [
        ([], "head", "stack needs at least one mask, one for each of the axis 'head', got none"),
        ([CAUSAL, maskkit.create("causal", seq_len=5)], "head", "5 along the axis 'query', where others have 6"),
        (
            [CAUSAL, PADDING, maskkit.create("key_padding", lengths=[1] * 3, seq_len=6)],
            "head",
            "along the axis 'batch'",
        ),
        ([PADDING, PADDING], "batch", r"has the axis 'batch' already; stack what mask\[i\] gives"),
        ([CAUSAL], "query", "axis must be one of 'batch', 'head', got 'query'"),
        ([CAUSAL, np.ones((6, 6), bool)], "head", "stack takes masks of queries and keys, got an array of shape"),
        ([CAUSAL, maskkit.PaddingMask(lengths=[3], seq_len=6)], "head", "stack takes masks of queries and keys"),
    ],
)
def test_what_does_not_stack(masks, axis, words):
    with pytest.raises(maskkit.ConfigError, match=words):
        maskkit.stack(masks, axis=axis)


def test_saved_once_for_each_kind():
    mask = maskkit.stack([CAUSAL, WINDOW] * 16)
    saved = maskkit.to_dict(mask)
    assert len(saved["stack"]) == 2
    assert saved["of"] == [0, 1] * 16
    assert maskkit.from_dict(saved) == mask
    with pytest.raises(maskkit.ConfigError, match="'of' must say for each head which of the 2 masks it has"):
        maskkit.from_dict({**saved, "of": [0, 2]})


def test_a_part_of_one_token_serves_all():
    mask = maskkit.stack([maskkit.create("causal", seq_len=3), maskkit.create("banded", seq_len=1, band_width=1)])
    assert mask.allowed()[1].all()

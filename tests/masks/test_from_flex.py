"""A BlockMask becomes the mask that FlexAttention computes under it."""

import gc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import BlockMask, and_masks, create_block_mask, create_mask, noop_mask
import maskkit
from maskkit.masks import from_flex as module
from maskkit.testing import check_mask

DOCUMENTS = torch.arange(300) // 70
OF_SAMPLE = torch.stack([DOCUMENTS, torch.arange(300) // 41])


def causal(b, h, q, k):
    return q >= k


def window(b, h, q, k):
    return (q - k < 40) & (q >= k)


def documents(b, h, q, k):
    return DOCUMENTS[q] == DOCUMENTS[k]


def scattered(b, h, q, k):
    return (q * 7919 + k * k) % 5 == 0


def by_head(b, h, q, k):
    return (q >= k) & (q - k < 20 + 30 * h)


def by_sample(b, h, q, k):
    return OF_SAMPLE[b, q] == OF_SAMPLE[b, k]


def dense(block_mask):
    """What the kernels of FlexAttention compute, block by block."""
    (queries, keys), (rows, columns) = block_mask.seq_lengths, block_mask.BLOCK_SIZE
    batch, heads = block_mask.kv_num_blocks.shape[:2]
    said = create_mask(block_mask.mask_mod, batch, heads, queries, keys, "cpu")
    out = np.zeros((batch, heads, queries, keys), bool)
    for kind in ("", "full_"):
        counts, indices = (getattr(block_mask, f"{kind}kv_{name}") for name in ("num_blocks", "indices"))
        for b, h, row in np.ndindex(*counts.shape) if counts is not None else ():
            for column in indices[b, h, row, : counts[b, h, row]].tolist():
                place = (b, h, slice(row * rows, (row + 1) * rows), slice(column * columns, (column + 1) * columns))
                out[place] = True if kind else said[place]
    return out


@pytest.mark.parametrize("block_size", [128, 32, (64, 16)], ids=str)
@pytest.mark.parametrize("lengths", [(256, 256), (300, 300), (100, 270), (1, 300)], ids=str)
@pytest.mark.parametrize("mask_mod", [causal, window, documents, scattered, noop_mask, and_masks(causal, documents)])
def test_it_allows_what_mask_mod_says(mask_mod, lengths, block_size):
    block_mask = create_block_mask(mask_mod, None, None, *lengths, "cpu", block_size)
    mask = maskkit.from_flex(block_mask)
    assert mask.axes == ("query", "key")
    np.testing.assert_array_equal(mask, create_mask(mask_mod, 1, 1, *lengths, "cpu")[0, 0])


@pytest.mark.parametrize(
    ("mask_mod", "batch", "heads", "axes"),
    [
        (by_sample, 2, None, ("batch", "query", "key")),
        (by_head, None, 3, ("head", "query", "key")),
        (by_head, 2, 3, ("batch", "head", "query", "key")),
        (causal, 2, 3, ("batch", "head", "query", "key")),
    ],
)
def test_samples_and_heads_have_masks_of_their_own(mask_mod, batch, heads, axes):
    mask = maskkit.from_flex(create_block_mask(mask_mod, batch, heads, 300, 300, "cpu"))
    assert mask.axes == axes
    expected = create_mask(mask_mod, batch, heads, 300, 300, "cpu")
    np.testing.assert_array_equal(np.broadcast_to(mask.allowed(form="heads"), expected.shape), expected)


@pytest.mark.parametrize(
    ("mask_mod", "axes"),
    [(by_sample, ("batch", "query", "key")), (and_masks(by_head, causal), ("head", "query", "key"))],
)
def test_an_index_that_mask_mod_reads_keeps_its_axis(mask_mod, axes):
    """Else a mask of the first sample would serve all of them, in silence."""
    mask = maskkit.from_flex(create_block_mask(mask_mod, None, None, 300, 300, "cpu"))
    assert (mask.axes, mask.shape) == (axes, (1, 300, 300))


@pytest.mark.parametrize("expression", ["sliding_window(window_size=40)", "sink(window_size=9)", "bigbird(seed=1)"])
def test_it_takes_back_what_to_flex_gives(expression):
    mask = maskkit.parse(expression, seq_len=200)
    np.testing.assert_array_equal(maskkit.from_flex(mask.to_flex(32)), mask)


def test_full_blocks_are_not_asked_and_others_not_computed():
    """As FlexAttention has it: mask_mod speaks of the partial blocks alone."""
    one = torch.ones(1, 1, 2, dtype=torch.int32)
    first, second = (torch.tensor([[[[0, 1], [0, 1]]]], dtype=torch.int32).flip(-1) * flip for flip in (1, 0))
    block_mask = BlockMask.from_kv_blocks(one, first, one, second, BLOCK_SIZE=16, mask_mod=causal, seq_lengths=(30, 25))
    np.testing.assert_array_equal(maskkit.from_flex(block_mask), dense(block_mask)[0, 0])
    np.testing.assert_array_equal(maskkit.from_flex(block_mask)[:16, :16], np.ones((16, 16), bool))
    assert not np.asarray(maskkit.from_flex(block_mask)[:16, 16:]).any()


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_any_block_mask_is_read_as_the_kernels_read_it(data):
    """Whatever blocks are listed as partial or as full, in whatever order, and whatever mask_mod says."""
    queries, keys, rows, columns = (data.draw(st.integers(1, most)) for most in (20, 20, 9, 9))
    batch, heads = (data.draw(st.integers(1, 2)) for _ in range(2))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    table = torch.from_numpy(rng.random((batch, heads, queries, keys)) < rng.random())
    kinds = rng.integers(0, 3, (batch, heads, -(-queries // rows), -(-keys // columns)))
    listed = []
    for kind in (1, 2):
        order = np.argsort((kinds != kind) + rng.random(kinds.shape) / 2, axis=-1)
        listed += [(kinds == kind).sum(-1), order]
    block_mask = BlockMask.from_kv_blocks(
        *(torch.from_numpy(x.astype(np.int32)) for x in listed),
        BLOCK_SIZE=(rows, columns),
        mask_mod=lambda b, h, q, k: table[b, h, q, k],
        seq_lengths=(queries, keys),
    )
    np.testing.assert_array_equal(maskkit.from_flex(block_mask).allowed(form="heads"), dense(block_mask))


def test_tables_may_be_as_narrow_as_their_counts():
    counts, indices = torch.tensor([[[1, 2]]], dtype=torch.int32), torch.tensor([[[[0, 0], [0, 2]]]], dtype=torch.int32)
    block_mask = BlockMask.from_kv_blocks(
        counts, indices, BLOCK_SIZE=16, mask_mod=noop_mask, seq_lengths=(32, 48), compute_q_blocks=False
    )
    expected = np.zeros((32, 48), bool)
    expected[:, :16] = expected[16:, 32:] = True
    np.testing.assert_array_equal(maskkit.from_flex(block_mask), expected)


def test_few_intervals_are_kept_as_intervals():
    """So that it costs what it allows, saves, and equals what is made in the same way."""
    mask, other = (maskkit.from_flex(create_block_mask(window, None, None, 90, 70, "cpu", 16)) for _ in range(2))
    assert mask == other
    assert len(mask.spans(np.arange(90))) == 1
    assert maskkit.from_dict(maskkit.to_dict(mask)) == mask
    check_mask(mask)
    check_mask(maskkit.from_flex(create_block_mask(scattered, None, None, 20, 180, "cpu", 16)))


def test_long_rows_are_asked_in_parts(monkeypatch):
    monkeypatch.setattr(module, "_CELLS", 1000)
    block_mask = create_block_mask(and_masks(window, documents), None, None, 300, 300, "cpu")
    np.testing.assert_array_equal(maskkit.from_flex(block_mask), dense(block_mask)[0, 0])


def test_it_is_made_once_while_the_block_mask_lives():
    block_mask = create_block_mask(causal, None, None, 64, 64, "cpu")
    mask, before = maskkit.from_flex(block_mask), len(module._made)
    assert maskkit.from_flex(block_mask) is mask
    block_mask.mask_mod = window
    np.testing.assert_array_equal(maskkit.from_flex(block_mask), dense(block_mask)[0, 0])
    del block_mask
    gc.collect()
    assert len(module._made) == before - 1


def test_what_is_no_block_mask_is_refused():
    with pytest.raises(TypeError, match="from_flex takes a BlockMask"):
        maskkit.from_flex(torch.ones(4, 4, dtype=torch.bool))
    block_mask = create_block_mask(causal, None, None, 64, 64, "cpu", 16)
    block_mask.seq_lengths = (128, 64)
    with pytest.raises(maskkit.ConfigError, match=r"block_mask must list 8 x 4 blocks .* \(128, 64\) say"):
        maskkit.from_flex(block_mask)
    with pytest.raises(RuntimeError, match="Cannot use mask_mod from a sliced BlockMask"):
        maskkit.from_flex(create_block_mask(causal, None, None, 64, 64, "cpu", 16)[:1])

"""Masks beside each other: along the diagonal, and in a grid."""

import numpy as np
import pytest
import maskkit
from maskkit.testing import check_mask

A = maskkit.create("causal", seq_len=3)
B = maskkit.create("sliding_window", seq_len=4, window_size=2)
WIDE = maskkit.create("banded", seq_len=4, band_width=3)[:3, :]
TALL = maskkit.create("random", seq_len=4, seed=1)[:, :3]
PADDING = maskkit.create("key_padding", lengths=[1, 3], seq_len=3)


def zeros(*shape):
    return np.zeros(shape, bool)


def test_a_direct_sum_allows_nothing_between_its_masks():
    mask = maskkit.direct_sum([A, B, A])
    a, b = np.asarray(A), np.asarray(B)
    expected = np.block([[a, zeros(3, 7)], [zeros(4, 3), b, zeros(4, 3)], [zeros(3, 7), a]])
    np.testing.assert_array_equal(mask, expected)
    check_mask(mask)


def test_a_direct_sum_of_causal_documents_is_what_it_says():
    lengths = [3, 1, 5]
    mask = maskkit.direct_sum([maskkit.create("causal", seq_len=n) for n in lengths])
    packed = maskkit.parse(f"causal & document(lengths={lengths})", seq_len=9)
    np.testing.assert_array_equal(mask, packed)
    assert mask.cu_seqlens(causal=True).tolist() == [0, 3, 4, 9]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([[A, WIDE], [TALL, B]], np.block([[np.asarray(A), np.asarray(WIDE)], [np.asarray(TALL), np.asarray(B)]])),
        ([[A, None], [TALL, B]], np.block([[np.asarray(A), zeros(3, 4)], [np.asarray(TALL), np.asarray(B)]])),
        ([[None, WIDE], [TALL, None]], np.block([[zeros(3, 3), np.asarray(WIDE)], [np.asarray(TALL), zeros(4, 4)]])),
        ([[A, A, None], [None, A, A]], np.kron([[1, 1, 0], [0, 1, 1]], np.asarray(A)).astype(bool)),
        ([[A]], np.asarray(A)),
    ],
)  # fmt: skip
def test_a_grid_is_its_quadrants(cells, expected):
    mask = maskkit.grid(cells)
    np.testing.assert_array_equal(mask, expected)
    assert maskkit.from_dict(maskkit.to_dict(mask)) == mask
    check_mask(mask, backends=["torch"])


def test_a_batch_and_heads_meet_by_name():
    mask = maskkit.grid([[PADDING, None], [maskkit.stack([A, ~A]), A]])
    assert mask.axes == ("batch", "head", "query", "key")
    left = [
        np.broadcast_to(np.asarray(PADDING)[:, None], (2, 2, 3, 3)),
        np.broadcast_to(np.stack([A, ~A]), (2, 2, 3, 3)),
    ]
    right = [zeros(2, 2, 3, 3), np.broadcast_to(A, (2, 2, 3, 3))]
    expected = np.concatenate([np.concatenate(half, -2) for half in (left, right)], -1)
    np.testing.assert_array_equal(mask, expected)
    check_mask(mask, backends=["torch"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: maskkit.direct_sum([]), "direct_sum needs at least one mask, got none"),
        (lambda: maskkit.direct_sum([A, maskkit.PaddingMask(lengths=[1], seq_len=2)]), "must be of queries and keys"),
        (lambda: maskkit.grid([[A, B]]), "row 0 of the grid has 3 and 4 along the axis 'query'"),
        (lambda: maskkit.grid([[A], [B]]), "column 0 of the grid has 3 and 4 along the axis 'key'"),
        (lambda: maskkit.grid([[A, A], [A]]), r"the rows of a grid must be of equal length, got \[2, 1\] cells"),
        (lambda: maskkit.grid([[A, None], [None, None]]), "row 1 of the grid is all None, which says no length"),
        (lambda: maskkit.grid([[A, None]]), "column 1 of the grid is all None"),
        (lambda: maskkit.grid([]), "grid takes rows of masks, such as"),
        (lambda: maskkit.grid([A]), "grid takes rows of masks, such as"),
        (lambda: maskkit.grid([[A, 3]]), "masks that lie beside each other must be of queries and keys, got 3"),
        (
            lambda: maskkit.direct_sum([PADDING, maskkit.create("key_padding", lengths=[1] * 3, seq_len=2)]),
            r"differ along the axis 'batch': \[2, 3\]",
        ),
    ],
)
def test_what_does_not_lie_beside_each_other(make, words):
    with pytest.raises(maskkit.ConfigError, match=words):
        make()


def test_long_ones_cost_their_rows():
    parts = [maskkit.create("causal", seq_len=n) for n in (20_000, 1, 30_000)]
    stats = maskkit.direct_sum(parts).stats()
    assert stats.allowed == sum(n * (n + 1) // 2 for n in (20_000, 1, 30_000))
    assert stats.intervals == 1

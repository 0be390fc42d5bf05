"""Neighborhood: the contract, and the facts."""

import itertools
from functools import reduce

import numpy as np
import pytest
from maskkit_mask_neighborhood import Neighborhood
import maskkit
from maskkit import limits
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(Neighborhood)


# -- an oracle of lists, one axis at a time ---------------------------------------------------------------------------


def nearest(centre, members, count):
    """So many members, those nearest to a centre."""
    return sorted(members, key=lambda member: abs(member - centre))[:count]


def seen_along(size, kernel_size, stride=1, dilation=1, causal=False, shift=None):
    """What each place of an axis sees, by the words of the papers."""
    seen = np.zeros((size, size), bool)
    for group in range(dilation):
        places = list(range(size))[group::dilation]
        members = list(range(len(places)))
        if shift is not None:
            starts = [0, *(start for start in range(shift or kernel_size, len(members), kernel_size))]
            sharing = [members[start:end] for start, end in itertools.zip_longest(starts, starts[1:])]
        else:
            sharing = [members[start : start + stride] for start in range(0, len(members), stride)]
        for start, queries in zip(itertools.count(0, stride), sharing):
            if shift is not None:
                box = queries
            elif causal:
                leader = min(start + stride - 1, members[-1])
                box = [member for member in members if leader - kernel_size < member]
            else:
                leader = min(start + stride // 2, members[-1])
                box = nearest(leader if kernel_size % 2 else leader - 0.5, members, kernel_size)
            for query in queries:
                seen[places[query], [places[key] for key in box if not causal or key <= query]] = True
    return seen


def boxes(grid, **parameters):
    """The axes, as a product."""
    each = [{name: value[i] for name, value in parameters.items()} for i in range(len(grid))]
    return reduce(np.kron, (seen_along(size, **own) for size, own in zip(grid, each, strict=True)))


PARAMETERS = [
    (size, dict(kernel_size=kernel_size, stride=stride, dilation=dilation, causal=causal, shift=shift))
    for size in (1, 2, 5, 8, 11)
    for kernel_size in (1, 2, 3, 4, 5, 8)
    for dilation in (1, 2, 3)
    if kernel_size * dilation <= size
    for stride in range(1, kernel_size + 1)
    for causal in (False, True)
    for shift in (None, *(range(kernel_size) if stride == kernel_size else ()))
]


def test_every_axis_is_what_the_papers_say():
    """All parameters of short axes."""
    for size, own in PARAMETERS:
        mask = Neighborhood(grid=(size,), **own)
        np.testing.assert_array_equal(mask.allowed(), seen_along(size, **own), err_msg=repr(mask))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_grid_is_the_product_of_its_axes(dimensions):
    """With parameters of each axis drawn by themselves; from spans, and from the predicate."""
    random = np.random.default_rng(dimensions)
    for _ in range(60):
        sizes, owns = zip(*(PARAMETERS[i] for i in random.integers(0, len(PARAMETERS), dimensions)), strict=True)
        tiled = all(own["stride"] == own["kernel_size"] for own in owns)
        each = {name: tuple(own[name] for own in owns) for name in owns[0]}
        each["shift"] = tuple(own["shift"] or 0 for own in owns) if tiled else None
        mask = Neighborhood(grid=sizes, **each)
        expected = boxes(sizes, **(each if tiled else each | {"shift": (None,) * dimensions}))
        np.testing.assert_array_equal(mask.allowed(), expected, err_msg=repr(mask))
        tokens = np.arange(len(expected))
        np.testing.assert_array_equal(mask.allows(tokens[:, None], tokens), expected, err_msg=repr(mask))


# -- the facts --------------------------------------------------------------------------------------------------------

SHAPES = [(1, 1, 1), (3, 3, 3), (4, 6, 1), (4, 6, 3), (8, 5, 5), (5, 9, 4), (7, 7, 7)]


@pytest.mark.parametrize(("height", "width", "kernel_size"), SHAPES)
def test_the_square_is_whole_everywhere(height, width, kernel_size):
    """The edge rule: every token, also in a corner, sees kernel_size**2 tokens, itself included."""
    allowed = Neighborhood(height=height, width=width, kernel_size=kernel_size).allowed()
    assert set(allowed.sum(axis=1).tolist()) == {kernel_size**2}
    assert allowed.diagonal().all()


def test_a_corner_sees_the_corner_square():
    """By hand: 4 x 5 tokens, kernel 3; the top left token, and the one in the bottom right."""
    allowed = Neighborhood(height=4, width=5, kernel_size=3).allowed()
    assert np.flatnonzero(allowed[0]).tolist() == [0, 1, 2, 5, 6, 7, 10, 11, 12]
    assert np.flatnonzero(allowed[19]).tolist() == [7, 8, 9, 12, 13, 14, 17, 18, 19]


def rows(**parameters):
    mask = Neighborhood(**parameters).allowed()
    return ["".join(".#"[cell] for cell in row) for row in mask.astype(int)]


def test_an_even_kernel_leans_to_the_left():
    """By hand: two before the token, one behind it."""
    assert rows(grid=(6,), kernel_size=4) == ["####..", "####..", "####..", ".####.", "..####", "..####"]


def test_queries_of_a_stride_share_the_box_of_their_middle():
    """By hand: the leaders are 1, 3 and 5."""
    assert rows(grid=(6,), kernel_size=3, stride=2) == ["###...", "###...", "..###.", "..###.", "...###", "...###"]


def test_a_causal_axis_ends_at_the_token_and_is_cut_at_the_border():
    assert rows(grid=(5,), kernel_size=3, causal=True) == ["#....", "##...", "###..", ".###.", "..###"]


def test_dilated_tokens_see_those_of_their_own_kind():
    assert rows(grid=(6,), kernel_size=2, dilation=2) == ["#.#...", ".#.#..", "#.#...", ".#.#..", "..#.#.", "...#.#"]


def test_tiles_move_inwards_without_a_shift_and_are_cut_with_one():
    """By hand: 5 tokens in tiles of 2; a shift of 0 is Swin's plain window, of 1 its shifted one."""
    assert rows(grid=(5,), kernel_size=2, stride=2) == ["##...", "##...", "..##.", "..##.", "...##"]
    assert rows(grid=(5,), kernel_size=2, stride=2, shift=0) == ["##...", "##...", "..##.", "..##.", "....#"]
    assert rows(grid=(5,), kernel_size=2, stride=2, shift=1) == ["#....", ".##..", ".##..", "...##", "...##"]


def test_tiles_are_blocks():
    """In one dimension, and where the length is a multiple."""
    expected = maskkit.create("block_diagonal", seq_len=12, block_size=4)
    for shift in (None, 0):
        tiles = Neighborhood(grid=(12,), kernel_size=4, stride=4, shift=shift)
        np.testing.assert_array_equal(tiles, expected)


def test_a_causal_kernel_of_one_axis_is_a_sliding_window():
    mask = Neighborhood(grid=(9,), kernel_size=4, causal=True)
    np.testing.assert_array_equal(mask, maskkit.create("sliding_window", seq_len=9, window_size=4))


def test_frames_may_be_causal_where_planes_are_not():
    """A video of 3 frames: every token sees a square of its own frame and of the one before."""
    mask = Neighborhood(grid=(3, 4, 4), kernel_size=(2, 3, 3), causal=(True, False, False)).allowed()
    assert mask.sum(axis=1).reshape(3, 16).tolist() == [[9] * 16, [18] * 16, [18] * 16]


def test_height_and_width_are_a_grid_of_two_axes():
    one, other = Neighborhood(height=4, width=6, kernel_size=3), Neighborhood(grid=(4, 6), kernel_size=(3, 3))
    np.testing.assert_array_equal(one, other)


def test_height_and_width_may_repeat_the_grid():
    """What an expression shares between masks, and what a layer fills in, is no contradiction."""
    grid = Neighborhood(grid=(2, 4, 6), kernel_size=(1, 3, 3))
    np.testing.assert_array_equal(Neighborhood(grid=(2, 4, 6), height=4, width=6, kernel_size=(1, 3, 3)), grid)


def test_a_kernel_over_the_whole_grid_is_full_attention():
    assert Neighborhood(height=5, width=5, kernel_size=5).allowed().all()


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        (dict(height=4, width=9, kernel_size=5), r"kernel_size must be at most 4, got 5 along axis 0 of the grid"),
        (dict(height=9, width=4, kernel_size=5), r"kernel_size must be at most 4, got 5 along axis 1 of the grid"),
        (dict(grid=(9, 8), kernel_size=3, dilation=3), "kernel_size must be at most 2 with a dilation of 3, got 3"),
        (dict(grid=(9,), kernel_size=3, stride=4), "stride must be at most kernel_size=3, got 4 along axis 0"),
        (dict(grid=(9,), kernel_size=3, shift=1), r"shift must be None unless the stride \(1\) is kernel_size \(3\)"),
        (dict(grid=(9,), kernel_size=3, stride=3, shift=3), "shift must be below kernel_size=3, got 3"),
        (
            dict(grid=(9, 9), kernel_size=(3,)),
            r"kernel_size must have an entry for each axis of the grid \(9, 9\), got",
        ),
        (dict(grid=(9,), kernel_size=3, causal=(True, False)), "causal must have an entry for each axis of the grid"),
        (dict(kernel_size=3), "neighborhood mask has 2 problems.*height required .*width required for neighborhood"),
        (dict(width=3, kernel_size=3), "height required for neighborhood mask"),
        (dict(grid=(4, 4), width=5, kernel_size=3), r"width must be left out where grid is given, .*: \(4, 4\), got 5"),
        (dict(grid=(4,), height=4, kernel_size=3), r"height must be left out where grid is given, .*: \(4,\), got 4"),
        (
            dict(grid=(4, 4, 4, 4), kernel_size=3),
            "grid must be the sizes of 1 to 3 axes, outermost first, or None, got",
        ),
        (dict(grid=(4, 0), kernel_size=3), "grid must be the sizes of 1 to 3 axes"),
        (
            dict(grid=(4,), kernel_size=0),
            "kernel_size must be a positive integer, or one for each axis of the grid, got",
        ),
        (dict(grid=(4,), kernel_size=True), "kernel_size must be a positive integer"),
        (dict(grid=(4,), kernel_size=2.0), "kernel_size must be a positive integer"),
        (dict(grid=(4,), kernel_size=()), "kernel_size must be a positive integer"),
        (dict(grid=(4,), kernel_size=2, causal=1), "causal must be True or False, or one for each axis of the grid"),
        (dict(grid=(4,), kernel_size=2, shift=-1), "shift must be an integer from 0, or one for each axis"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(params, problem):
    with pytest.raises(maskkit.ConfigError, match=f"(?s)^{problem}"):
        Neighborhood(**params)


def test_spans_and_predicate_agree_about_large_kernels(monkeypatch):
    """A kernel over `maskkit.limits.intervals` has no spans; with a higher limit it has, and is the same."""
    monkeypatch.setattr(limits, "few_intervals", 0)
    mask = Neighborhood(height=6, width=7, kernel_size=5)
    dense = mask.allowed()
    assert mask.stats().intervals == 5
    monkeypatch.setattr(limits, "intervals", 4)
    assert mask.stats().intervals is None
    np.testing.assert_array_equal(mask.allowed(), dense)


def test_a_large_grid_counts_without_a_dense_array():
    """65,536 tokens, 49 keys each."""
    assert Neighborhood(height=256, width=256, kernel_size=7).stats().allowed == 65_536 * 49

"""Which sizes a block has, and whether so many fit: exact, against draws and brute force."""

import itertools

import numpy as np
import pytest
from maskkit import ConfigError
from maskkit_jepa import BlockRequest, apart, paint
from maskkit_jepa.blocks.packing import packings
from maskkit_jepa.blocks.sizes import context_sizes, nearest_ranges, rounded_sizes, sizes_inside

GRID = (14, 14)
CASES = [
    ((14, 14), (0.15, 0.2), (0.75, 1.5)),
    ((14, 14), (0.85, 1.0), (0.75, 1.5)),
    ((3, 5), (0.05, 0.9), (0.2, 4.0)),
    ((2, 2), (0.01, 1.0), (0.1, 9.0)),
    ((20, 7), (0.3, 0.3), (1.0, 1.0)),
    ((37, 37), (0.05, 1.0), (0.3, 3.0)),
]


def request(**changes):
    standard = dict(count=4, target_scale=(0.15, 0.2), context_scale=(0.85, 1.0), aspect=(0.75, 1.5))
    return BlockRequest(**{"grid": GRID, **standard, "min_context": 1, "max_attempts": 10, **changes})


@pytest.mark.parametrize(("grid", "scale", "aspect"), CASES)
def test_the_law_of_sizes_is_that_of_drawing_and_rounding(grid, scale, aspect):
    """A million draws, chi-square within five deviations; sizes of probability 0 never come."""
    rng = np.random.default_rng(0)
    n = 1_000_000
    s, a = rng.uniform(*scale, n), rng.uniform(*aspect, n)
    h = np.round(np.sqrt(s * grid[0] * grid[1] / a))
    w = np.clip(np.round(h * a), 1, grid[1]).astype(int)
    h = np.clip(h, 1, grid[0]).astype(int)
    counts = np.bincount(h * 100 + w, minlength=100 * 100)
    law = rounded_sizes(grid, scale, aspect)
    expected = np.zeros(100 * 100)
    expected[[size.height * 100 + size.width for size in law]] = [size.weight * n for size in law]
    assert expected.sum() == pytest.approx(n)
    assert not counts[expected == 0].any()
    cells = expected > 10
    chi2 = ((counts - expected)[cells] ** 2 / expected[cells]).sum()
    assert chi2 < cells.sum() + 5 * np.sqrt(2 * cells.sum())


def test_four_sizes_lie_inside_the_usual_ranges():
    """Areas 30, 35 and 36 of 196 patches are 15.3, 17.9 and 18.4 %."""
    found = sizes_inside(GRID, (0.15, 0.2), (0.75, 1.5))
    assert [(size.height, size.width) for size in found] == [(5, 6), (5, 7), (6, 5), (6, 6)]


@pytest.mark.parametrize("grid", [(14, 14), (7, 20), (5, 3), (16, 9)])
def test_every_size_inside_can_come(grid):
    """The conditional law leaves no admissible rectangle out."""
    scale, aspect = (0.08, 0.4), (0.5, 2.0)
    tokens = grid[0] * grid[1]
    admissible = {
        (h, w)
        for h, w in itertools.product(range(1, grid[0] + 1), range(1, grid[1] + 1))
        if scale[0] <= h * w / tokens <= scale[1] and aspect[0] <= w / h <= aspect[1]
    }
    assert {(size.height, size.width) for size in sizes_inside(grid, scale, aspect)} == admissible


def test_a_context_keeps_its_area_on_a_grid_that_cannot_keep_its_aspect():
    """85-100 % of a 14 x 28 grid is wider than 1.5 : 1."""
    assert not sizes_inside((14, 28), (0.85, 1.0), (0.75, 1.5))
    found = context_sizes((14, 28), (0.85, 1.0), (0.75, 1.5))
    assert found
    assert all(0.85 <= size.area / 392 <= 1 for size in found)


def test_the_nearest_ranges_admit_a_size():
    for grid, scale, aspect in [((14, 14), (0.001, 0.002), (0.75, 1.5)), ((4, 4), (0.15, 0.2), (1.4, 1.45))]:
        assert not sizes_inside(grid, scale, aspect)
        assert sizes_inside(grid, *nearest_ranges(grid, scale, aspect))


# -- packing ----------------------------------------------------------------------------------------------------------


def fits(grid, sizes, count):
    """By trying every set of places."""
    places = [
        np.array([y, x, h, w]) for h, w, _ in sizes for y in range(grid[0] - h + 1) for x in range(grid[1] - w + 1)
    ]
    return any(
        all(apart(a, b) for a, b in itertools.combinations(chosen, 2))
        for chosen in itertools.combinations(places, count)
    )


@pytest.mark.parametrize("grid", [(3, 3), (4, 4), (5, 5), (3, 5)])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [(0.1, 0.2), (0.2, 0.25), (0.22, 0.3), (0.3, 0.5)])
def test_packing_decides_as_brute_force_does(grid, count, scale):
    sizes = sizes_inside(grid, scale, (0.5, 2.0))
    assert any(packings(grid, sizes, count)) == fits(grid, sizes, count)


def test_a_pinwheel_is_found():
    """Four 2 x 3 blocks fit on 5 x 5 only around a hole in the middle: no board of equal blocks does it."""
    sizes = sizes_inside((5, 5), (0.22, 0.25), (0.6, 1.7))
    boxes = np.array(next(packings((5, 5), sizes, 4)))
    painted = paint(boxes, (5, 5)).sum(axis=0)
    assert painted.max() == 1
    assert painted.sum() == 24


# -- plans ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words", "remedy"),
    [
        (dict(target_scale=(0.3, 0.4)), "num_target_masks=2", dict(count=2)),
        (dict(target_scale=(0.3, 0.4)), "target_scale=(0.2448, 0.4)", dict(target_scale=(0.2448, 0.4))),
        (dict(target_scale=(0.3, 0.4)), "overlap='allow'", dict(overlap="allow")),
        (dict(target_scale=(0.001, 0.002)), "(0.001, 0.0052)", dict(target_scale=(0.001, 0.0052))),
        (dict(grid=(2, 2), count=2), "(0.15, 0.25)", dict(target_scale=(0.15, 0.25))),
        (
            dict(aspect=(20.0, 21.0), count=1),
            "(0.0714, 0.2) with aspect_ratio_range=(14, 21)",
            dict(target_scale=(0.0714, 0.2), aspect=(14.0, 21.0)),
        ),
        (
            dict(context_scale=(0.3, 0.301), aspect=(1.0, 1.0), target_scale=(0.04, 0.05)),
            "(0.3, 0.3062)",
            dict(context_scale=(0.3, 0.3062)),
        ),
        (dict(count=300), "at most 196", dict(count=4)),
    ],
)
def test_what_is_impossible_is_refused_and_what_the_message_suggests_is_possible(changes, words, remedy):
    with pytest.raises(ConfigError) as caught:
        request(**changes).plan("disjoint")
    assert words in str(caught.value)
    overlap = remedy.pop("overlap", "disjoint")
    request(**{**changes, **remedy}).plan(overlap)


def test_too_large_a_min_context_is_refused_with_what_is_possible():
    with pytest.raises(ConfigError, match="leave a context of 76 patches at most, got 77"):
        request(min_context=77).plan("disjoint")
    request(min_context=76).plan("disjoint")


def test_a_request_is_crowded_when_its_largest_target_leaves_no_room():
    assert not request(target_scale=(0.1, 0.3)).is_crowded()
    assert request(target_scale=(0.2, 0.6)).is_crowded()
    assert not request(target_scale=(0.2, 0.6), count=1).is_crowded()


def test_clipping_lowers_the_upper_end_until_the_largest_fit_together():
    """Four of 6 x 8 fit on 14 x 14, as a pinwheel; four of 7 x 7 would leave no context."""
    asked = request(target_scale=(0.2, 0.6))
    assert asked.clipped_scale() == (0.2, 48 / 196)

"""The laws of target and context blocks, against exact enumeration and plain loops; and the promises, everywhere."""

import itertools
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from maskkit import ConfigError
from maskkit_jepa import BlockRequest, Blocks, apart, fork, keys
from maskkit_jepa.blocks import placements
from maskkit_jepa.blocks.sizes import sizes_inside
from maskkit_jepa.testing.reference import allow_sample, disjoint_sample, legacy_sample

STANDARD = dict(count=4, target_scale=(0.15, 0.2), context_scale=(0.85, 1.0), aspect=(0.75, 1.5))


def request(**changes):
    return BlockRequest(
        **{"grid": (14, 14), **STANDARD, "min_context": 1, "max_attempts": 10, "blind": (3, 3), **changes}
    )


def draw(plan, size, seed=0):
    return Blocks(plan).draw(keys(seed, 0, np.arange(size)))


def chi2_fits(counts, expected):
    """Whether counts follow expected ones: chi-square within five deviations; small cells go together."""
    order = np.argsort(expected)
    groups = np.floor(np.cumsum(expected[order]) / 10).astype(int)
    a, b = np.bincount(groups, counts[order]), np.bincount(groups, expected[order])
    a, b = a[b > 0], b[b > 0]
    return abs(((a - b) ** 2 / b).sum() - len(a)) < 5 * np.sqrt(2 * len(a))


def wilson_hilferty(a, b):
    """The z of a two-sample chi-square on two tables of counts; neighbours with fewer than 10 expected go together."""
    n, m = a.sum(), b.sum()
    groups = np.floor(np.cumsum((a + b) * min(n, m) / (n + m)) / 10).astype(int)
    a, b = (np.bincount(groups, table) for table in (a, b))
    a, b = a[(a + b) > 0], b[(a + b) > 0]
    df = len(a) - 1
    chi2 = ((np.sqrt(m / n) * a - np.sqrt(n / m) * b) ** 2 / (a + b)).sum()
    return (np.cbrt(chi2 / df) - 1 + 2 / (9 * df)) / np.sqrt(2 / (9 * df))


# -- disjoint targets: the exact law, enumerated ----------------------------------------------------------------------


@cache
def exact_law(grid, scale, aspect, count, tries):
    """Probabilities of sets of places: each block among what is free, by size weight and corner; dead ends start over.

    With `tries`, a block that is not free in so many random tries is a dead end too.
    """
    law = {
        (y, x, s.height, s.width): s.weight / ((grid[0] - s.height + 1) * (grid[1] - s.width + 1))
        for s in sizes_inside(grid, scale, aspect)
        for y in range(grid[0] - s.height + 1)
        for x in range(grid[1] - s.width + 1)
    }
    clear = {(a, b): bool(apart(np.array(a), np.array(b))) for a, b in itertools.product(law, law)}
    found = Counter()

    def go_on(chosen, chance):
        if len(chosen) == count:
            found[frozenset(chosen)] += chance
            return
        free = {p: w for p, w in law.items() if all(clear[p, c] for c in chosen)}
        total = sum(free.values())
        if tries:
            chance *= 1 - (1 - total) ** tries
        for place, weight in free.items():
            go_on((*chosen, place), chance * weight / total)

    go_on((), 1.0)
    total = sum(found.values())
    return {places: chance / total for places, chance in found.items()}


@pytest.mark.parametrize("path", ["picked", "tried"])
@pytest.mark.parametrize(
    ("grid", "scale", "count"),
    [((4, 5), (0.2, 0.3), 2), ((5, 5), (0.14, 0.18), 3), ((5, 5), (0.14, 0.18), 4), ((4, 4), (0.12, 0.19), 5)],
)
def test_disjoint_targets_follow_the_exact_law(grid, scale, count, path, monkeypatch):
    """40,000 samples against all arrangements, each a cell; on large grids a block has 32 tries."""
    if path == "tried":
        monkeypatch.setattr(placements, "_BITSET_PLACES", 0)
    placements.placements.cache_clear()
    asked = request(
        grid=grid, target_scale=scale, aspect=(0.5, 2.0), count=count, context_scale=(0.9, 1.0), max_attempts=200
    )
    boxes = draw(asked.plan("disjoint"), 40_000).boxes
    placements.placements.cache_clear()
    drawn = Counter(frozenset(map(tuple, sample)) for sample in boxes.tolist())
    law = exact_law(grid, scale, (0.5, 2.0), count, 32 if path == "tried" else None)
    assert set(drawn) <= set(law)
    arrangements = list(law)
    expected = 40_000 * np.array([law[a] for a in arrangements])
    assert chi2_fits(np.array([drawn[a] for a in arrangements], float), expected)


def test_disjoint_targets_follow_the_plain_loop():
    """Places and context counts of the usual setting, 500 samples of the loop against 50,000."""
    asked = request()
    rng = np.random.default_rng(0)
    loop = [disjoint_sample(rng, asked) for _ in range(500)]
    context, targets = draw(asked.plan("disjoint"), 50_000).arrays
    looped = np.array([t.reshape(4, -1) for _, t in loop])
    assert wilson_hilferty(targets.sum(axis=(0, 1)), looped.sum(axis=(0, 1))) < 4.5
    ours = np.bincount(context.sum(axis=1), minlength=197)
    assert abs(wilson_hilferty(ours, np.bincount([c.sum() for c, _ in loop], minlength=197))) < 4.5


@pytest.mark.parametrize(
    "changes",
    [dict(), dict(target_scale=(0.2, 0.6), context_scale=(0.9, 1.0)), dict(min_context=85)],
    ids=["multi_block", "level 2", "context drawn again"],
)
def test_targets_that_may_overlap_follow_the_plain_loop(changes):
    """Places of two slots, counts of union and context: 1,500 samples of the loop against 40,000."""
    asked = request(**changes)
    rng = np.random.default_rng(3)
    loop_context, loop_targets = (
        np.array(part).reshape(1500, -1, 196)
        for part in zip(*(allow_sample(rng, asked) for _ in range(1500)), strict=True)
    )
    context, targets = draw(asked.plan("allow"), 40_000).arrays
    found = {
        "first": tables(place_codes(targets[:, 0]), place_codes(loop_targets[:, 0])),
        "last": tables(place_codes(targets[:, 3]), place_codes(loop_targets[:, 3])),
        "pair": tables(joint_codes(targets, 0, 1), joint_codes(loop_targets, 0, 1)),
        "union": tables(targets.any(axis=1).sum(axis=1), loop_targets.any(axis=1).sum(axis=1)),
        "context": tables(context.sum(axis=1), loop_context[:, 0].sum(axis=1)),
    }
    scores = {name: wilson_hilferty(*pair) for name, pair in found.items()}
    assert all(abs(z) < 4.5 for z in scores.values()), scores


def test_targets_are_exchangeable():
    """Sizes and places have the same law in every slot, although the last ones set down are nearer to the rim."""
    _, targets = draw(request().plan("disjoint"), 40_000).arrays
    first = targets[:, 0].sum(axis=0)
    for slot in (1, 2, 3):
        assert abs(first - targets[:, slot].sum(axis=0)).max() < 5 * np.sqrt(2 * first.max())


# -- the law of the first implementation ------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [(40_000, 4_000), pytest.param(200_000, 50_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "changes",
    [
        dict(),
        dict(target_scale=(0.05, 0.15), context_scale=(0.6, 0.75), aspect=(0.85, 1.15), blind=(7, 7)),
        dict(target_scale=(0.1, 0.3), context_scale=(0.75, 0.9), blind=(4, 4)),
        dict(target_scale=(0.2, 0.6), context_scale=(0.9, 1.0), blind=(3, 3)),
    ],
    ids=["multi_block", "level 0", "level 1", "level 2"],
)
def test_legacy_is_the_law_of_the_plain_loop(changes, ours, theirs):
    """Two-sample chi-square: the place of every slot, pairs of slots, counts of union and context, all |z| < 4.5."""
    asked = request(**changes)
    rng = np.random.default_rng(1)
    loop = [legacy_sample(rng, asked) for _ in range(theirs)]
    batch = draw(asked.plan("legacy"), ours)
    context, targets = batch.arrays
    loop_targets = np.array([t.reshape(4, -1) for _, t in loop])
    found = {}
    for slot in range(4):
        found[f"slot {slot}"] = tables(place_codes(targets[:, slot]), place_codes(loop_targets[:, slot]))
    for a, b in ((0, 1), (2, 3)):
        found[f"slots {a}, {b}"] = tables(joint_codes(targets, a, b), joint_codes(loop_targets, a, b))
    found["union"] = tables(targets.any(axis=1).sum(axis=1), loop_targets.any(axis=1).sum(axis=1))
    found["context"] = tables(context.sum(axis=1), np.array([c.sum() for c, _ in loop]))
    scores = {name: wilson_hilferty(*pair) for name, pair in found.items()}
    assert all(abs(z) < 4.5 for z in scores.values()), scores


def place_codes(masks):
    """A number for each mask of one rectangle: its first and its last token."""
    return masks.argmax(axis=1) * 196 + masks[:, ::-1].argmax(axis=1)


def joint_codes(targets, a, b):
    """Two slots, coarsely: the quarters of the grid in which they begin, and their sizes in steps of 12 tokens."""
    codes = 0
    for slot in (a, b):
        first = targets[:, slot].argmax(axis=1)
        codes = (
            codes * 64
            + (first // 14 // 4) * 16
            + (first % 14 // 4) * 4
            + np.minimum(targets[:, slot].sum(axis=1) // 12, 3)
        )
    return codes


def tables(a, b):
    size = int(max(a.max(), b.max())) + 1
    return np.bincount(a, minlength=size), np.bincount(b, minlength=size)


def test_legacy_falls_back_as_often_as_enumeration_says():
    """10.871 % of second targets find no place in ten tries."""
    boxes = draw(request().plan("legacy"), 100_000).boxes
    share = (boxes[:, 1, 2:] == 3).all(axis=1).mean()
    assert abs(share - 0.10871) < 5 * np.sqrt(0.10871 * 0.89129 / 100_000)


# -- promises ---------------------------------------------------------------------------------------------------------


def check_promises(asked, batch, disjoint=True):
    context, targets = batch.arrays
    height, width = batch.boxes[..., 2], batch.boxes[..., 3]
    areas = height * width / (asked.grid[0] * asked.grid[1])
    assert (targets.sum(axis=2) == height * width).all()
    assert areas.min() >= asked.target_scale[0] - 1e-9
    assert areas.max() <= asked.target_scale[1] + 1e-9
    assert (width / height).min() >= asked.aspect[0] - 1e-9
    assert (width / height).max() <= asked.aspect[1] + 1e-9
    assert not (context & targets.any(axis=1)).any()
    assert context.sum(axis=1).min() >= asked.min_context
    if disjoint:
        assert targets.sum(axis=1).max() == 1


@st.composite
def requests(draw):
    low = draw(st.floats(0.01, 0.6))
    context_low = draw(st.floats(0.2, 1.0))
    return BlockRequest(
        grid=(draw(st.integers(1, 20)), draw(st.integers(2, 20))),
        count=draw(st.integers(1, 8)),
        target_scale=(low, draw(st.floats(low, min(1.0, 2 * low)))),
        context_scale=(context_low, draw(st.floats(context_low, 1.0))),
        aspect=draw(st.sampled_from([(0.75, 1.5), (0.3, 3.0), (1.0, 1.0), (0.1, 10.0)])),
        min_context=draw(st.integers(1, 12)),
        max_attempts=draw(st.integers(1, 10)),
    )


@given(requests(), st.integers(0, 2**64 - 1))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_promises_are_kept_or_refused_at_construction(asked, seed):
    for overlap in ("disjoint", "allow"):
        try:
            plan = asked.plan(overlap)
        except ConfigError:
            continue
        check_promises(asked, draw(plan, 40, seed), overlap == "disjoint")


@pytest.mark.parametrize("grid", [(14, 14), (32, 32), (37, 24), (64, 64)])
def test_promises_are_kept_on_grids_of_every_size(grid):
    asked = request(grid=grid)
    check_promises(asked, draw(asked.plan("disjoint"), 300))


@pytest.mark.slow
def test_promises_are_kept_over_a_hundred_thousand_masks():
    for changes in ({}, dict(target_scale=(0.1, 0.3), context_scale=(0.75, 0.9)), dict(min_context=40)):
        asked = request(**changes)
        plan = asked.plan("disjoint")
        for seed in range(20):
            check_promises(asked, draw(plan, 5000, seed))


def test_every_patch_is_predicted_and_all_but_four_are_seen():
    """Each patch is in a target of at least 20 % of the samples, and in the context of at least 1 % of them.

    Four disjoint targets of 15-20 % always cover the patches where rows and columns 4 and 9 cross: see the next test.
    """
    context, targets = draw(request().plan("disjoint"), 20_000).arrays
    assert targets.any(axis=1).mean(axis=0).min() > 0.2
    seen = context.mean(axis=0).reshape(14, 14)
    assert np.argwhere(seen < 0.01).tolist() == [[4, 4], [4, 9], [9, 4], [9, 9]]
    assert not seen[[4, 4, 9, 9], [4, 9, 4, 9]].any()


def test_four_usual_targets_always_cover_four_patches():
    """No arrangement leaves patch (4, 4) out: searched to the end among all places that do not cover it."""
    places = placements.placements((14, 14), tuple(sizes_inside((14, 14), (0.15, 0.2), (0.75, 1.5))))
    cells = places.cells(np.arange(len(places.boxes)))

    def can_be_left_out(patch):
        allowed = places.real & ~cells[:, patch]
        clear = np.array([apart(box, places.boxes) for box in places.boxes]) & allowed & allowed[:, None]
        pairs = clear.astype(np.float32) @ clear > 0
        some = np.argwhere(np.triu(clear))
        return any(
            (clear[np.ix_(both, both)]).any() for i, j in some if (both := clear[i] & clear[j]).sum() and pairs[i, j]
        )

    assert not can_be_left_out(4 * 14 + 4)
    assert can_be_left_out(4 * 14 + 3)


@pytest.mark.parametrize("changes", [dict(count=3), dict(target_scale=(0.1, 0.15))])
def test_fewer_or_smaller_targets_leave_every_patch_in_some_context(changes):
    context, targets = draw(request(**changes).plan("disjoint"), 20_000).arrays
    assert context.mean(axis=0).min() > 0.05
    assert targets.any(axis=1).mean(axis=0).min() > 0.05


# -- termination ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3, 10])
def test_a_sample_makes_so_many_attempts_and_no_more(most, monkeypatch):
    """If every attempt failed, each sample would make `most` of them, and take what is known to fit."""
    blocks = Blocks(request(max_attempts=most).plan("disjoint"))
    made = Counter()

    def hopeless(keys, numbers, sizes=None):
        made.update(zip(keys.tolist(), numbers.tolist(), strict=True))
        return np.zeros((len(keys), 5), np.int64), np.zeros(len(keys), np.bool_)

    monkeypatch.setattr(blocks, "_attempt", hopeless)
    mine = keys(5, 0, np.arange(30))
    check_promises(request(), blocks.draw(mine))
    assert {pair: n for pair, n in made.items() if pair[0] in mine} == {
        (key, number): 1 for key in mine.tolist() for number in range(most)
    }


def test_spare_arrangements_keep_the_promises_and_are_many():
    """Four blocks of 20-24.5 % leave almost no choice; samples without luck still do not all get the same masks."""
    asked = request(target_scale=(0.2, 0.245), max_attempts=1)
    blocks = Blocks(asked.plan("disjoint"))
    batch = blocks.draw(keys(3, 0, np.arange(500)))
    check_promises(asked, batch)
    assert len(np.unique(batch.boxes.reshape(500, -1), axis=0)) > 100


def test_the_schedule_of_attempts_changes_nothing():
    """A plan whose attempts often fail gives each sample the same masks in any batch."""
    plan = request(grid=(9, 9), target_scale=(0.1, 0.25), count=5).plan("disjoint")
    blocks = Blocks(plan)
    assert blocks.feasibility < 0.9
    whole = blocks.draw(keys(0, 0, np.arange(300))).arrays[1]
    for size in (1, 7, 100):
        parts = [blocks.draw(keys(0, 0, np.arange(300)[i : i + size])).arrays[1] for i in range(0, 300, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_context_that_is_drawn_again_follows_its_law():
    """With min_context the context is that of drawing until it is large enough."""
    asked = request(grid=(8, 8), count=2, target_scale=(0.2, 0.3), context_scale=(0.6, 0.9), min_context=22)
    rng = np.random.default_rng(0)
    loop = np.bincount([disjoint_sample(rng, asked)[0].sum() for _ in range(1500)], minlength=65)
    ours = np.bincount(draw(asked.plan("disjoint"), 40_000).arrays[0].sum(axis=1), minlength=65)
    assert abs(wilson_hilferty(ours, loop)) < 4.5


def test_forks_draw_other_masks():
    blocks = Blocks(request().plan("disjoint"))
    k = keys(0, 0, np.arange(50))
    same = (blocks.draw(k).boxes == blocks.draw(fork(k, 1)).boxes).all(axis=(1, 2))
    assert same.mean() < 0.1

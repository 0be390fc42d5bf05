"""V-JEPA: the contract, the law against a plain loop and enumeration, and the options."""

import itertools

import numpy as np
import pytest
import torch
from maskkit_jepa_vjepa import VJepa
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy, wilson_hilferty
from maskkit_jepa.testing.reference_video import video_sample

SMALL = dict(num_frames=8, input_size=64, patch_size=16)  # 4 x 4 x 4 tokens


def one(seed=0, **mask):
    """A strategy with a single mask on the small grid."""
    return maskkit.create("vjepa", masks=[dict(label="m", **mask)], seed=seed, **SMALL)


def cells(strategy, count):
    """What is predicted: (count, slots, rows, columns)."""
    return strategy.sample(range(count))["m"].arrays[1].reshape(count, *strategy.grid)


def test_contract():
    check_strategy(VJepa)


def test_masks_are_pinned():
    """The masks of a seed stay what they are: trainings are resumed years later."""
    drawn = maskkit.create("vjepa", seed=0).sample(range(3)).numpy()
    assert {label: batch.arrays[1].sum(axis=(1, 2)).tolist() for label, batch in drawn.items()} == {
        "short": [984, 736, 1000],
        "long": [1352, 1344, 1424],
    }


def test_the_defaults_are_the_papers():
    """8 blocks of 15 % and 2 of 70 % of the frame, through the whole clip, height / width in 0.75-1.5."""
    strategy = maskkit.create("vjepa", seed=0)
    found = {m.label: (m.num_blocks, m.spatial_scale, m.temporal_scale, m.aspect_ratio_range) for m in strategy.masks}
    assert found == {
        "short": (8, (0.15, 0.15), (1.0, 1.0), (0.75, 1.5)),
        "long": (2, (0.7, 0.7), (1.0, 1.0), (0.75, 1.5)),
    }
    assert strategy.grid == (8, 14, 14)
    masks = strategy(3)
    assert masks["short"].context.shape == (3, 1568)
    assert masks["long"].targets.shape == (3, 1, 1568)
    assert masks["long"].targets.dtype == torch.bool


@pytest.mark.parametrize(
    "mask",
    [
        dict(num_blocks=2, spatial_scale=(0.2, 0.6), temporal_scale=(0.3, 1.0)),
        dict(num_blocks=3, spatial_scale=(0.15, 0.3), temporal_scale=(0.5, 0.5), max_temporal_keep=0.5),
        dict(num_blocks=8, spatial_scale=(0.15, 0.15)),
    ],
)
def test_the_law_is_that_of_a_plain_loop(mask):
    """Sizes of the union, and how often each token is predicted: two-sample chi-square, 4,000 clips a side."""
    strategy = one(seed=5, **mask)
    ours = cells(strategy, 20_000).reshape(20_000, -1)
    generator = torch.Generator().manual_seed(0)
    (request,) = strategy.config.requests()
    loop = torch.stack([video_sample(generator, request)[1] for _ in range(4000)]).flatten(1).numpy()
    assert abs(wilson_hilferty(ours.sum(axis=1), loop.sum(axis=1))) < 4.5
    whole = [rows.reshape(-1, 4, 16).any(axis=1) @ (1 << np.arange(16)) % 997 for rows in (ours, loop)]
    assert wilson_hilferty(*whole) < 4.5
    share = ours.mean(axis=0)
    deviation = np.sqrt(np.maximum(share * (1 - share), 1e-12) * (1 / 4000 + 1 / 20_000))
    assert (np.abs(share - loop.mean(axis=0)) < 5 * deviation + 1e-9).all()


def test_a_block_is_a_box_that_lies_anywhere():
    """1 x 2 x 2 of 4 x 4 x 4 tokens has 4 * 3 * 3 places: chi-square over 36,000 clips."""
    mask = dict(num_blocks=1, spatial_scale=(0.25, 0.25), temporal_scale=(0.25, 0.25), aspect_ratio_range=(1.0, 1.0))
    found = cells(one(**mask), 36_000)
    assert set(found.sum(axis=(1, 2, 3)).tolist()) == {4}
    first = found.reshape(36_000, -1).argmax(axis=1)
    slot, top, left = np.unravel_index(first, (4, 4, 4))
    for row in range(50):
        assert found[row, slot[row], top[row] : top[row] + 2, left[row] : left[row] + 2].all()
    places, counts = np.unique(first, return_counts=True)
    assert len(places) == 36
    assert ((counts - 1000) ** 2 / 1000).sum() < 35 + 5 * np.sqrt(70)


def v_jepas_law(side, scale, aspects=(0.75, 1.5)):
    """Chances of (height, width): the area rounded down, the aspect uniform, both sides rounded, cut to the frame.

    Each size has an interval of aspects, so its chance is a length.
    """
    area, (low, high) = int(side * side * scale), aspects
    chances = {}
    for h, w in itertools.product(range(1, side + 2), repeat=2):
        start = max(low, (h - 0.5) ** 2 / area, area / (w + 0.5) ** 2)
        end = min(high, (h + 0.5) ** 2 / area, area / (w - 0.5) ** 2)
        if end > start:
            cut = min(h, side), min(w, side)
            chances[cut] = chances.get(cut, 0.0) + (end - start) / (high - low)
    return chances


@pytest.mark.parametrize("scale", [0.15, 0.7])
@pytest.mark.parametrize("side", [14, 16, 24])
def test_the_size_of_a_block_has_v_jepas_law(side, scale):
    """At the published settings, whole in time: chi-square, and the distance of 40,000 clips from the law."""
    params = dict(masks={"m": dict(num_blocks=1, spatial_scale=(scale, scale))}, num_frames=2, input_size=16 * side)
    drawn = maskkit.create("vjepa", seed=0, **params).sample(range(40_000))["m"].arrays[1]
    frame = drawn.reshape(40_000, side, side)
    height, width = frame.any(axis=2).sum(axis=1), frame.any(axis=1).sum(axis=1)
    sizes, counts = np.unique(100 * height + width, return_counts=True)
    law = v_jepas_law(side, scale)
    assert sum(law.values()) == pytest.approx(1)
    found = {(size // 100, size % 100): n for size, n in zip(sizes.tolist(), counts.tolist(), strict=True)}
    assert set(found) <= set(law)
    assert sum(abs(found.get(size, 0) / 40_000 - chance) for size, chance in law.items()) / 2 < 0.01
    chi2 = sum((found.get(size, 0) - 40_000 * chance) ** 2 / (40_000 * chance) for size, chance in law.items())
    df = len(law) - 1
    assert chi2 < df + 5 * np.sqrt(2 * df)


def test_what_short_blocks_leave_is_what_v_jepas_leave():
    """Context tokens of a frame, 8 blocks of 15 % anywhere on 14 x 14: mean and chi-square, 20,000 clips a side."""
    masks = {"m": dict(num_blocks=8, spatial_scale=(0.15, 0.15))}
    drawn = maskkit.create("vjepa", masks=masks, num_frames=2, seed=0).sample(range(20_000))["m"].arrays[0]
    generator = np.random.default_rng(0)
    aspect = generator.uniform(0.75, 1.5, (20_000, 1))
    h, w = np.rint(np.sqrt(29 * aspect)), np.rint(np.sqrt(29 / aspect))
    top, left = (np.floor(generator.random((20_000, 8)) * (15 - side)) for side in (h, w))
    row, column = np.arange(14)[:, None], np.arange(14)
    theirs = np.ones((20_000, 14, 14), np.bool_)
    for block in range(8):
        y, x = (corner[:, block, None, None] for corner in (top, left))
        theirs &= ~((row >= y) & (row < y + h[..., None]) & (column >= x) & (column < x + w[..., None]))
    ours, theirs = drawn.sum(axis=1), theirs.sum(axis=(1, 2))
    assert abs(ours.mean() - theirs.mean()) < 4.5 * np.sqrt((ours.var() + theirs.var()) / 20_000)
    assert abs(wilson_hilferty(ours, theirs)) < 4.5


def test_lengths_are_rounded_to_the_nearest_number_of_slots():
    """0.5-1 of 8 slots: 4 and 8 are half as likely as 5, 6 and 7."""
    strategy = maskkit.create(
        "vjepa",
        masks={"m": dict(num_blocks=1, spatial_scale=(0.2, 0.2), temporal_scale=(0.5, 1.0))},
        input_size=64,
        seed=0,
    )
    lengths = cells(strategy, 40_000).any(axis=(2, 3)).sum(axis=1)
    assert np.bincount(lengths) / 40_000 == pytest.approx([0, 0, 0, 0, 1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8], abs=0.01)


def test_a_block_has_one_patch_at_least():
    """Where its share of the frame rounds to none."""
    assert (cells(one(num_blocks=1, spatial_scale=(0.001, 0.01)), 50).sum(axis=(2, 3)) == 1).all()


def test_an_area_is_rounded_before_its_sides_are():
    """2.45 of 7 x 7 patches are 2: never 2 x 2, which the square root of 2.45 alone would round to."""
    masks = {"m": dict(num_blocks=1, spatial_scale=(0.05, 0.05), aspect_ratio_range=(1.0, 1.0))}
    strategy = maskkit.create("vjepa", masks=masks, input_size=112, seed=0)
    assert (cells(strategy, 50).sum(axis=(2, 3)) == 1).all()


def test_all_frames_are_seen_equally_often():
    """V-JEPA's collator hardly shows the last ones in large batches; nor does trimming to equal counts here."""
    strategy = one(num_blocks=2, spatial_scale=(0.3, 0.5), temporal_scale=(0.5, 0.5), seed=1)
    drawn = strategy.sample(range(8000)).numpy()["m"]
    index = drawn.to_indices(count="min")
    seen = np.zeros((8000, 64), np.bool_)
    np.put_along_axis(seen, index.context, index.context_valid, axis=1)
    for shown in (drawn.arrays[0], seen):
        by_slot = shown.reshape(8000, 4, 16).mean(axis=(0, 2))
        assert by_slot[[0, 1]] == pytest.approx(by_slot[[3, 2]], rel=0.03)


def test_the_context_may_be_the_beginning_only():
    found = cells(one(num_blocks=1, spatial_scale=(0.2, 0.4), max_temporal_keep=0.5), 300)
    assert found[:, 2:].all()
    assert not found[:, :2].all(axis=(1, 2, 3)).any()


def test_blocks_may_be_seen_instead():
    plain, inverse = (
        one(num_blocks=2, spatial_scale=(0.2, 0.4), inv_block=inv).sample(range(50))["m"].arrays
        for inv in (False, True)
    )
    np.testing.assert_array_equal(plain[0], inverse[1][:, 0])
    np.testing.assert_array_equal(plain[1][:, 0], inverse[0])


@pytest.mark.parametrize("full", [False, True])
def test_the_context_may_be_cut(full):
    """To 10 tokens at random; what is left out is predicted too, or neither."""
    plain = one(num_blocks=1, spatial_scale=(0.2, 0.4)).sample(range(3000))["m"].arrays
    strategy = one(num_blocks=1, spatial_scale=(0.2, 0.4), max_keep=10, full_complement=full)
    context, targets = strategy.sample(range(3000))["m"].arrays
    assert set(context.sum(axis=1).tolist()) == {10}
    assert not (context & ~plain[0]).any()
    np.testing.assert_array_equal(targets[:, 0], ~context if full else plain[1][:, 0])
    slots = context.reshape(3000, 4, 16).sum(axis=(0, 2)) / 30_000
    assert slots == pytest.approx([0.25] * 4, abs=0.015)


def test_a_draw_always_ends():
    """Where a single attempt mostly leaves too little, all blocks lie where the first one does."""
    strategy = maskkit.create(
        "vjepa",
        masks=[dict(label="m", num_blocks=8, spatial_scale=(0.7, 0.7))],
        min_context=12,
        max_attempts=1,
        seed=0,
        **SMALL,
    )
    assert strategy.sample(range(2000))["m"].arrays[0].sum(axis=1).min() >= 12


def test_large_frames_have_the_same_law():
    """Beyond the tables blocks are painted one by one: a single size covers what it should."""
    strategy = maskkit.create(
        "vjepa",
        num_frames=2,
        input_size=1024,
        patch_size=8,
        masks=[dict(label="m", num_blocks=1, spatial_scale=(0.25, 0.25), aspect_ratio_range=(1.0, 1.0))],
        seed=0,
    )
    found = cells(strategy, 20)
    assert set(found.sum(axis=(1, 2, 3)).tolist()) == {64 * 64}
    assert set(found[:, 0].any(axis=1).sum(axis=1).tolist()) == {64}


def test_the_yaml_block_of_v_jepa_loads(tmp_path):
    """A list of masks without labels, under the names that its files use."""
    (tmp_path / "masks.yaml").write_text(
        """
        type: vjepa
        crop_size: 224
        frames_per_clip: 16
        mask:
        - aspect_ratio: [0.75, 1.5]
          num_blocks: 8
          spatial_scale: [0.15, 0.15]
          temporal_scale: [1.0, 1.0]
          max_temporal_keep: 1.0
          max_keep: null
        - aspect_ratio: [0.75, 1.5]
          num_blocks: 2
          spatial_scale: [0.7, 0.7]
          temporal_scale: [1.0, 1.0]
        seed: 0
        """
    )
    loaded = maskkit.load(tmp_path / "masks.yaml")
    assert list(loaded.sample(0)) == ["mask_0", "mask_1"]
    default = maskkit.create("vjepa", seed=0).sample(range(9))
    for label, other in (("mask_0", "short"), ("mask_1", "long")):
        np.testing.assert_array_equal(loaded.sample(range(9))[label].arrays[0], default[other].arrays[0])


def mask(**params):
    return dict(masks={"a": {"num_blocks": 1, "spatial_scale": (0.1, 0.1), **params}})


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(num_frames=15), r"num_frames must be divisible by tubelet_size 2, got 15 \(14 and 16 are\)"),
        (dict(input_size=200), "input_size must be divisible by patch_size 16, got 200"),
        (dict(masks=[]), "masks must be a mapping of names to settings, or a list of settings"),
        (mask(num_blocks=0), r"masks\['a'\]: num_blocks must be positive, got 0"),
        (mask(spatial_scale=(0.3, 0.2)), r"masks\['a'\]: spatial_scale must be a pair \(low, high\)"),
        (mask(spatial_scale=(1.0, 1.0)), "may leave 0 of 8 x 14 x 14 tokens, and 1 must be left.* 0.93 does"),
        (mask(max_keep=3) | dict(min_context=4), "max_keep must be at least min_context 4, got 3"),
        (mask(inv_block=True) | dict(min_context=1000), "raise spatial_scale or temporal_scale"),
        (mask(inv_block=True, max_temporal_keep=0.5), "max_temporal_keep must be 1 where inv_block=True"),
        (mask(num_block=1), "unknown parameter 'num_block'; did you mean 'num_blocks'"),
        (dict(masks=[dict(label="a", num_blocks=1, spatial_scale=(0.1, 0.1))] * 2), "each label may be given once"),
        (dict(seed=-1), "seed must be in"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("vjepa", **params)

"""I-JEPA: the contract, and the facts."""

from collections import Counter

import numpy as np
import pytest
import torch
from maskkit_jepa_ijepa import IJepa
import maskkit
from maskkit import ConfigError
from maskkit_jepa.blocks.sizes import sizes_inside
from maskkit_jepa.testing import check_strategy, same, wilson_hilferty
from maskkit_jepa.testing.reference_ijepa import ijepa_compat_sample, ijepa_sample


def test_contract():
    check_strategy(IJepa)


def test_shapes_are_those_of_vit_patches():
    context, targets = maskkit.create("ijepa", seed=0)(batch_size=8)
    assert (context.shape, targets.shape) == ((8, 196), (8, 4, 196))
    assert context.dtype == targets.dtype == torch.bool
    assert maskkit.create("ijepa", input_size=(96, 160))(2).targets.shape == (2, 4, 60)


def test_masks_are_pinned():
    """The masks of a seed stay what they are: trainings are resumed years later."""
    drawn = maskkit.create("ijepa", seed=0).sample([0, 1])
    assert drawn.boxes.tolist() == [
        [[1, 6, 5, 6], [4, 6, 5, 6], [6, 4, 5, 6], [1, 3, 5, 6]],
        [[3, 2, 6, 5], [2, 3, 6, 5], [2, 0, 6, 5], [2, 3, 6, 5]],
    ]
    drawn = maskkit.create("ijepa", seed=0, compat=True).sample([0, 1])
    assert drawn.boxes.tolist() == [
        [[7, 6, 6, 6], [6, 1, 6, 6], [4, 5, 6, 6], [1, 2, 6, 6]],
        [[7, 6, 5, 6], [5, 1, 5, 6], [1, 0, 5, 6], [3, 7, 5, 6]],
    ]


def test_targets_are_what_was_asked_for():
    """Areas in 15-20 %, height / width in 0.75-1.5, one size a sample; contexts apart from them and large enough."""
    drawn = maskkit.create("ijepa", seed=3).sample(range(20_000))
    context, targets = drawn.arrays
    height, width = drawn.boxes[..., 2], drawn.boxes[..., 3]
    assert 0.15 <= (height * width / 196).min() <= (height * width / 196).max() <= 0.2
    assert 0.75 <= (height / width).min() <= (height / width).max() <= 1.5
    assert (height == height[:, :1]).all()
    assert (width == width[:, :1]).all()
    assert not (context & targets.any(axis=1)).any()
    assert context.sum(axis=1).min() >= 10


def test_every_patch_is_seen_and_predicted():
    """I-JEPA's code never shows or predicts the last row and column: 27 of 196 patches."""
    context, targets = maskkit.create("ijepa", seed=0).sample(range(20_000)).arrays
    assert context.mean(axis=0).min() > 0.1
    assert targets.any(axis=1).mean(axis=0).min() > 0.03


def test_sizes_follow_their_law():
    """Scale and aspect are independent: shares of the sizes against exact integrals, with height / width uniform."""
    boxes = maskkit.create("ijepa", seed=1).sample(range(40_000)).boxes
    drawn = Counter(map(tuple, boxes[:, 0, 2:].tolist()))
    law = {(w, h): weight for h, w, weight in sizes_inside((14, 14), (0.15, 0.2), (0.75, 1.5))}
    assert set(drawn) == set(law) == {(7, 5), (6, 6), (6, 5), (5, 6)}
    assert all(abs(drawn[size] / 40_000 - share) < 5 * np.sqrt(share / 40_000) for size, share in law.items())


# -- the laws, against plain loops ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [(20_000, 2_000), pytest.param(100_000, 30_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "params",
    [
        dict(),
        dict(input_size=(96, 144), num_target_masks=2, context_scale=(0.4, 0.6), min_context=15),
        dict(compat=True),
        dict(compat=True, target_scale=(0.2, 0.8), context_scale=(0.2, 0.8), aspect_ratio_range=(0.3, 3.0)),
        dict(compat=True, input_size=96, target_scale=(0.2, 0.5), context_scale=(0.4, 0.8), max_attempts=2),
    ],
    ids=["default", "small context", "compat", "compat wide", "compat in need"],
)
def test_the_law_is_that_of_the_plain_loop(params, ours, theirs):
    """Two-sample chi-square: the places of the first target, pairs of targets, counts of union and context, and where
    context is seen; all |z| < 4.5."""
    strategy = maskkit.create("ijepa", seed=5, **params)
    law = ijepa_compat_sample if strategy.compat else ijepa_sample
    generator = torch.Generator().manual_seed(1)
    looped = [law(generator, strategy.config.request()) for _ in range(theirs)]
    context, targets = strategy.sample(range(ours)).arrays
    loop_context, loop_targets = (torch.stack(part).flatten(-2).numpy() for part in zip(*looped, strict=True))
    figures = {
        "first": (place(targets[:, 0]), place(loop_targets[:, 0])),
        "last": (place(targets[:, -1]), place(loop_targets[:, -1])),
        "pair": tuple(place(t[:, 0]) % 13 * 16 + place(t[:, 1]) % 16 for t in (targets, loop_targets)),
        "union": (targets.any(axis=1).sum(axis=1), loop_targets.any(axis=1).sum(axis=1)),
        "context": (context.sum(axis=1), loop_context.sum(axis=1)),
        "shared": tuple(
            (c[:, None] & t).sum(axis=(1, 2)) for c, t in ((context, targets), (loop_context, loop_targets))
        ),
        "first seen": (context.argmax(axis=1), loop_context.argmax(axis=1)),
    }
    scores = {name: wilson_hilferty(*pair) for name, pair in figures.items()}
    assert all(abs(z) < 4.5 for z in scores.values()), scores


def place(masks):
    """A number for each mask of one rectangle: its first and its last token."""
    return masks.argmax(axis=1) * masks.shape[1] + masks[:, ::-1].argmax(axis=1)


def test_compat_has_the_measured_figures_of_the_original():
    """Sizes 7x5 36 %, 5x6 27 %, 6x6 21 %, 6x5 13 %, 8x5 3 %; union 44.5 %; nothing in the last row and column."""
    drawn = maskkit.create("ijepa", compat=True, seed=0).sample(range(20_000))
    context, targets = drawn.arrays
    sizes = Counter(map(tuple, drawn.boxes[:, 0, 2:].tolist()))
    measured = {(7, 5): 0.36, (5, 6): 0.27, (6, 6): 0.21, (6, 5): 0.13, (8, 5): 0.03}
    assert {size: n / 20_000 for size, n in sizes.items()} == pytest.approx(measured, abs=0.015)
    assert drawn.stats()["union_coverage_mean"] == pytest.approx(0.445, abs=0.003)
    used = (context | targets.any(axis=1)).any(axis=0).reshape(14, 14)
    assert not used[-1].any()
    assert not used[:, -1].any()
    assert used[:-1, :-1].all()


def test_compat_drops_exclusions_where_the_original_does():
    """Targets that cover a small context leave it too little: then it may hold patches of targets, and is never small.

    The default law starts over instead, and keeps both promises.
    """
    params = dict(input_size=96, target_scale=(0.4, 0.5), context_scale=(0.4, 0.8), seed=0)
    context, targets = maskkit.create("ijepa", compat=True, **params).sample(range(2000)).arrays
    assert (context & targets.any(axis=1)).any(axis=1).mean() > 0.05
    assert context.sum(axis=1).min() > 10
    context, targets = maskkit.create("ijepa", **params).sample(range(2000)).arrays
    assert not (context & targets.any(axis=1)).any()
    assert context.sum(axis=1).min() >= 10


# -- who shares a size ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compat", [False, True])
def test_samples_of_a_step_share_their_size_on_every_rank(compat):
    strategy = maskkit.create("ijepa", size_per="step", compat=compat, seed=0)
    sizes = []
    for step in range(40):
        ranks = [strategy.at(step, 8, rank, 2) for rank in (0, 1)]
        shared = {tuple(size) for masks in ranks for size in masks.boxes[..., 2:].reshape(-1, 2).tolist()}
        assert len(shared) == 1
        assert not same(*ranks)
        sizes.append(shared.pop())
        ranks[0].to_indices(count="max", target_count="exact")
    assert len(set(sizes)) >= 3


def test_sizes_of_steps_are_those_of_samples():
    """Sizes of 4,000 steps have the law of sizes of samples."""
    strategy = maskkit.create("ijepa", size_per="step", seed=0)
    steps = Counter(tuple(strategy.sample([0], step=step).boxes[0, 0, 2:].tolist()) for step in range(4000))
    samples = Counter(map(tuple, maskkit.create("ijepa", seed=0).sample(range(40_000)).boxes[:, 0, 2:].tolist()))
    assert set(steps) == set(samples)
    assert all(abs(steps[size] / 4000 - n / 40_000) < 0.035 for size, n in samples.items())


def test_calls_go_through_the_steps():
    strategy = maskkit.create("ijepa", size_per="step", seed=0)
    first, second = strategy(4), strategy(4)
    assert same(first, strategy.at(0, 4))
    assert same(second, strategy.at(1, 4))


def test_a_shared_size_needs_the_step():
    with pytest.raises(ConfigError, match=r"size_per='step' needs the step: sample\(ids, epoch, step=...\), or at"):
        maskkit.create("ijepa", size_per="step").sample([0])


def test_without_luck_targets_go_into_a_corner():
    """One attempt where most fail: what is left keeps all promises."""
    strategy = maskkit.create(
        "ijepa",
        input_size=96,
        target_scale=(0.4, 0.5),
        context_scale=(0.5, 0.8),
        max_attempts=1,
        min_context=14,
        seed=0,
    )
    assert strategy.blocks.feasibility < 0.3
    drawn = strategy.sample(range(2000))
    context, targets = drawn.arrays
    assert context.sum(axis=1).min() >= 14
    assert not (context & targets.any(axis=1)).any()
    assert 0.4 <= targets.mean(axis=2).min() <= targets.mean(axis=2).max() <= 0.5


# -- configs ----------------------------------------------------------------------------------------------------------


def test_i_jepas_spellings_load():
    theirs = dict(
        enc_mask_scale=(0.85, 1.0), pred_mask_scale=(0.15, 0.2), aspect_ratio=(0.75, 1.5), min_keep=10, nenc=1, npred=4
    )
    assert maskkit.config("ijepa", **theirs, seed=0) == IJepa(seed=0)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(input_size=200), "input_size must be divisible by patch_size 16, got 200 .192 and 208 are"),
        (dict(input_size=16), "input_size must be larger than one patch of 16"),
        (dict(num_target_masks=0), "num_target_masks must be positive, got 0"),
        (dict(num_target_masks=197), "num_target_masks must be at most 196 on a 14 x 14 grid, got 197"),
        (dict(target_scale=(0.3, 0.2)), "target_scale must be a pair .low, high. with 0 < low <= high <= 1"),
        (dict(target_scale=(0.001, 0.002)), "height / width in .*; the nearest range that one does is .0.001, 0.0052"),
        (dict(aspect_ratio_range=(40.0, 50.0)), "no rectangle .* height / width in .40.0, 50.0.*aspect_ratio_range="),
        (dict(context_scale=(0.001, 0.002)), "context_scale: no rectangle of a 14 x 14 grid covers 0.1-0.2 %"),
        (
            dict(min_context=180),
            "leave a context of 166 patches at most, got 180; lower it to that, lower target_scale",
        ),
        (dict(nenc=2), "num_context_masks must be one of 1, got 2"),
        (dict(size_per="batch"), "size_per must be one of 'sample', 'step', got 'batch'"),
        (dict(compat=True, input_size=(16, 64)), "input_size must give 2 x 2 patches or more with compat=True"),
        (
            dict(compat=True, input_size=64),
            "min_context must be below 9, the patches of the smallest context block on a 4 x 4 grid with compat=True",
        ),
        (dict(compat=True, num_target_masks=197), "num_target_masks must be at most 196 on a 14 x 14 grid"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("ijepa", **params)


@pytest.mark.parametrize("side", [2, 3, 4, 6, 8])
def test_small_images_do_not_hang(side):
    """I-JEPA's code looks for ever for a context on grids of 1, 2, 3 and 4 patches."""
    for compat in (False, True):
        try:
            strategy = maskkit.create("ijepa", input_size=16 * side, min_context=2, compat=compat, seed=0)
        except ConfigError as error:
            assert "nearest" in str(error) or "lower it" in str(error)  # noqa: PT017 - both ways are right, and each is checked
            continue
        assert strategy.sample(range(500)).arrays[0].sum(axis=1).min() >= 2

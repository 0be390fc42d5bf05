"""Tubes: the contract, and the facts."""

import itertools

import numpy as np
import pytest
from maskkit_jepa_tube import Tube
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy


def test_contract():
    check_strategy(Tube)


def test_masks_are_pinned():
    """The masks of a seed stay what they are: trainings are resumed years later."""
    drawn = maskkit.create("tube", num_frames=4, input_size=64, ratio=0.75, seed=0).sample([0, 1]).numpy()
    assert drawn.to_indices().context.tolist() == [[4, 5, 7, 13, 20, 21, 23, 29], [6, 8, 13, 14, 22, 24, 29, 30]]


def test_nine_tenths_of_every_frame_are_predicted():
    """176 of 196 patches, the same in all 8 slots, of every one of 1,000 clips; the rest is seen."""
    context, targets = maskkit.create("tube", seed=0).sample(range(1000)).arrays
    frames = targets.reshape(1000, 8, 196)
    assert set(frames.sum(axis=2).ravel().tolist()) == {176}
    assert (frames == frames[:, :1]).all()
    assert (context ^ targets[:, 0]).all()


@pytest.mark.parametrize(
    ("rounding", "formula"),
    [("floor", lambda n, ratio: int(n * ratio)), ("ceil", lambda n, ratio: n - int(n * (1 - ratio)))],
)
def test_the_count_is_that_of_the_authors_code(rounding, formula):
    """VideoMAE's and V-JEPA's, in binary floating point: 2 to 400 patches of a frame, ratios in steps of 0.05."""
    for n, ratio in itertools.product(range(2, 401), (k / 20 for k in range(1, 20))):
        params = dict(input_size=(16, 16 * n), ratio=ratio, rounding=rounding)
        expected = formula(n, ratio)
        if 0 < expected < n:
            assert maskkit.config("tube", **params).count() == expected
        else:
            with pytest.raises(ConfigError, match=f"which masks {expected}; .* is the nearest that does"):
                maskkit.config("tube", **params)


@pytest.mark.parametrize(("rounding", "masked"), [("floor", 176), ("ceil", 177)])
def test_of_196_patches_videomae_masks_176_and_v_jepa_177(rounding, masked):
    targets = maskkit.create("tube", rounding=rounding, seed=0).sample(range(5)).arrays[1]
    assert set(targets.reshape(5, 8, 196).sum(axis=2).ravel().tolist()) == {masked}


def test_all_sets_of_patches_are_equally_likely():
    """2 of 2 x 3 patches: chi-square over the 15 sets, 30,000 clips."""
    strategy = maskkit.create("tube", num_frames=2, input_size=(32, 48), ratio=1 / 3, seed=0)
    masked = strategy.sample(range(30_000)).arrays[1][:, 0]
    _, counts = np.unique(masked @ (1 << np.arange(6)), return_counts=True)
    assert len(counts) == 15
    assert ((counts - 2000) ** 2 / 2000).sum() < 14 + 5 * np.sqrt(28)


def test_tokens_are_tubelets():
    """An odd tubelet and frames that are not square: slots x rows x columns."""
    strategy = maskkit.create("tube", num_frames=9, tubelet_size=3, input_size=(32, 48), patch_size=8)
    assert strategy.grid == (3, 4, 6)
    assert strategy(2).context.shape == (2, 72)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(ratio=1.0), "ratio must be between 0.0 and 1.0, and neither, got 1.0"),
        (dict(ratio=0.001), "ratio must leave and mask at least one of 196 tokens.*0.005103 is the nearest"),
        (dict(ratio=0.999, rounding="ceil"), "ratio must leave and mask at least one of 196 tokens.*0.9948 is the"),
        (dict(rounding="nearest"), "rounding must be one of 'floor', 'ceil', got 'nearest'"),
        (dict(num_frames=3), r"num_frames must be divisible by tubelet_size 2, got 3 \(2 and 4 are\)"),
        (dict(input_size=100), r"input_size must be divisible by patch_size 16, got 100 \(96 and 112 are\)"),
        (dict(input_size=16), "input_size must be larger than one patch of 16, got 16"),
        (dict(num_frames=0), "num_frames must be positive, got 0"),
        (dict(raito=0.5), "unknown parameter 'raito'; did you mean 'ratio'"),
        (dict(seed=-1), "seed must be in"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("tube", **params)

"""Multi-block: the contract, and the facts."""

import matplotlib.image
import numpy as np
import pytest
import torch
from maskkit_jepa_multi_block import MultiBlock, MultiBlockMaskGenerator
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy


def test_contract():
    check_strategy(MultiBlock)


def test_shapes_are_those_of_vit_patches():
    context, targets = maskkit.create("multi_block")(batch_size=8, device="cpu")
    assert (context.shape, targets.shape) == ((8, 196), (8, 4, 196))
    assert context.dtype == targets.dtype == torch.bool
    assert maskkit.create("multi_block", input_size=384)(2).context.shape == (2, 576)
    assert maskkit.create("multi_block", input_size=(96, 160))(2).context.shape == (2, 60)


def test_the_generator_takes_the_same_parameters_and_draws_the_same_masks():
    generator = MultiBlockMaskGenerator(input_size=112, patch_size=8, num_target_masks=3, seed=6)
    strategy = maskkit.create("multi_block", input_size=112, patch_size=8, num_target_masks=3, seed=6)
    assert type(strategy) is MultiBlockMaskGenerator
    assert (generator.num_patches_h, generator.num_patches_w, generator.num_patches) == (14, 14, 196)
    assert generator.target_scale == (0.15, 0.2)
    assert torch.equal(generator(5).targets, strategy(5).targets)


def test_masks_are_pinned():
    """The masks of a seed stay what they are: trainings are resumed years later."""
    drawn = maskkit.create("multi_block", seed=0).sample([0, 1])
    assert drawn.boxes.tolist() == [
        [[7, 8, 6, 5], [1, 0, 5, 6], [7, 2, 5, 6], [1, 7, 5, 7]],
        [[1, 0, 6, 5], [9, 2, 5, 6], [9, 8, 5, 6], [3, 5, 5, 7]],
    ]


def test_targets_are_what_was_asked_for():
    """20,000 samples: areas in 15-20 %, width / height in 0.75-1.5, no patch twice, context apart and never small."""
    drawn = maskkit.create("multi_block", seed=3).sample(range(20_000))
    context, targets = drawn.arrays
    height, width = drawn.boxes[..., 2], drawn.boxes[..., 3]
    assert 0.15 <= (height * width / 196).min() <= (height * width / 196).max() <= 0.2
    assert 0.75 <= (width / height).min() <= (width / height).max() <= 1.5
    assert (targets.sum(axis=1) + context).max() == 1
    assert context.sum(axis=1).min() >= 168 - 4 * 36


@pytest.mark.slow
def test_targets_are_what_was_asked_for_over_a_hundred_thousand_samples():
    strategy = maskkit.create("multi_block", seed=11, min_context=40)
    for start in range(0, 100_000, 5000):
        drawn = strategy.sample(range(start, start + 5000))
        context, targets = drawn.arrays
        height, width = drawn.boxes[..., 2], drawn.boxes[..., 3]
        assert 0.15 <= (height * width / 196).min() <= (height * width / 196).max() <= 0.2
        assert 0.75 <= (width / height).min() <= (width / height).max() <= 1.5
        assert (targets.sum(axis=1) + context).max() == 1
        assert context.sum(axis=1).min() >= 40


def test_min_context_is_kept_where_it_must_be_asked_for():
    assert maskkit.create("multi_block", seed=0).sample(range(5000)).arrays[0].sum(axis=1).min() < 60
    drawn = maskkit.create("multi_block", seed=0, min_context=60).sample(range(5000))
    assert drawn.arrays[0].sum(axis=1).min() == 60


def test_allow_lets_targets_overlap_and_keeps_the_rest():
    drawn = maskkit.create("multi_block", overlap="allow", seed=0).sample(range(2000))
    stats = drawn.stats()
    assert stats["target_overlap_mean"] > 0
    assert stats["overlap_max"] == 0
    assert 0.15 <= stats["target_coverage_min"] <= stats["target_coverage_max"] <= 0.2


def test_legacy_has_the_measured_figures_of_the_first_implementation():
    """Mean target 12.75 %, visible context 42.3 %, union 48.1 %, targets that share patches in 77.7 % of samples."""
    drawn = maskkit.create("multi_block", overlap="legacy", seed=0).sample(range(20_000))
    stats = drawn.stats()
    assert stats["target_coverage_mean"] == pytest.approx(0.1275, abs=0.0010)
    assert stats["target_coverage_std"] == pytest.approx(0.0624, abs=0.0010)
    assert stats["context_coverage_mean"] == pytest.approx(0.423, abs=0.004)
    assert stats["union_coverage_mean"] == pytest.approx(0.481, abs=0.003)
    assert (drawn.arrays[1].sum(axis=1).max(axis=1) > 1).mean() == pytest.approx(0.777, abs=0.015)


# -- configs ----------------------------------------------------------------------------------------------------------

SEED_YAML = """
masking:
  type: "multi_block"
  num_masks: 4
  mask_scale: [0.15, 0.2]
  aspect_ratio: [0.75, 1.5]
  num_context_masks: 1
  context_scale: [0.85, 1.0]
"""


def test_h_jepas_yaml_loads(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(SEED_YAML)
    loaded = maskkit.load(path, key="masking").config
    assert loaded == MultiBlock(seed=loaded.seed)


def test_every_spelling_means_the_same():
    spelt = [
        dict(num_masks=2, mask_scale=(0.1, 0.2), aspect_ratio=(1.0, 1.5)),
        dict(num_target_masks=2, target_mask_scale=(0.1, 0.2), aspect_ratio_range=(1.0, 1.5)),
        dict(num_target_masks=2, target_scale=(0.1, 0.2), aspect_ratio=(1.0, 1.5), context_mask_scale=(0.85, 1.0)),
    ]
    assert len({maskkit.config("multi_block", **params, seed=0) for params in spelt}) == 1


def test_two_types_in_one_block_are_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(SEED_YAML + '  type: "hierarchical"\n')
    with pytest.raises(ConfigError, match="duplicate key 'type'"):
        maskkit.load(path, key="masking")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(num_maks=4), "unknown parameter 'num_maks'; did you mean 'num_masks'"),
        (dict(num_masks=2, num_target_masks=2), "'num_masks' and 'num_target_masks' are the same parameter"),
        (dict(num_context_masks=2), "num_context_masks must be one of 1, got 2"),
        (dict(input_size=200), "input_size must be divisible by patch_size 16, got 200 .192 and 208 are"),
        (dict(input_size=(224, 8)), "input_size must be divisible by patch_size 16, got 8 .16 is"),
        (dict(input_size=(224, 224, 3)), "input_size must be an integer or a list of 2 integers"),
        (dict(input_size=16), "input_size must be larger than one patch of 16"),
        (dict(num_target_masks=0), "num_target_masks must be positive, got 0"),
        (dict(num_target_masks=197), "num_target_masks must be at most 196 on a 14 x 14 grid, got 197"),
        (dict(target_scale=(0.3, 0.2)), "target_scale must be a pair .low, high. with 0 < low <= high <= 1"),
        (dict(target_scale=(0.3, 0.4)), "4 targets of 30-40 % cannot be disjoint on a 14 x 14 grid"),
        (dict(target_scale=(0.001, 0.002)), "the nearest range that one does is .0.001, 0.0052"),
        (dict(min_context=77), "leave a context of 76 patches at most, got 77"),
        (dict(overlap="none"), "overlap must be one of 'disjoint', 'allow', 'legacy', got 'none'"),
        (dict(max_attempts=0), "max_attempts must be positive"),
        (dict(seed=-1), "seed must be in"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("multi_block", **params)


# -- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3])
def test_statistics_are_six_floats_and_more(batch_size):
    generator = MultiBlockMaskGenerator(seed=0)
    stats = generator.get_mask_statistics(*generator(batch_size))
    assert {
        "context_coverage_mean",
        "context_coverage_std",
        "target_coverage_mean",
        "target_coverage_std",
        "overlap_mean",
        "overlap_max",
    } <= set(stats)
    assert all(type(value) is float and np.isfinite(value) for value in stats.values())
    assert stats["overlap_max"] == 0


def test_visualize_masks_draws_three_panels_and_saves_them(tmp_path):
    generator = MultiBlockMaskGenerator(seed=0)
    context, targets = generator(2)
    figure = generator.visualize_masks(context, targets, sample_idx=1, save_path=tmp_path / "masks.png")
    assert [ax.get_title() for ax in figure.axes] == ["context", "targets", "context and targets"]
    assert figure.get_size_inches().tolist() == [12, 4]
    assert matplotlib.image.imread(tmp_path / "masks.png").shape[:2] == (480, 1440)

"""Masks of text and image together: the contract, and the facts."""

import numpy as np
import pytest
import torch
from maskkit_jepa_multimodal import Multimodal
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy


def test_contract():
    check_strategy(Multimodal)


def test_one_call_masks_spans_of_the_text_and_blocks_of_the_image():
    masks = maskkit.create("multimodal", seed=0)(batch_size=3)
    assert list(masks) == ["text", "image"]
    assert masks["text"].targets.shape == (3, 1, 512)
    assert masks["image"].targets.shape == (3, 4, 196)
    assert masks["image"].context.dtype == torch.bool
    assert set(masks["text"].numpy().targets.sum(axis=(1, 2)).tolist()) == {77}


def test_the_parts_keep_their_own_laws():
    """The counts of spans and areas of blocks are those of the strategies alone, over 3,000 pairs."""
    drawn = maskkit.create("multimodal", seed=0).sample(range(3000))
    image = maskkit.create("multi_block", seed=1).sample(range(3000))
    text = maskkit.create("mlm", unit="span", seed=1).sample(range(3000))
    for part, alone in (("image", image), ("text", text)):
        ours, theirs = drawn[part].arrays[1].any(axis=1), alone.arrays[1].any(axis=1)
        assert np.diff(ours, axis=1).sum() == pytest.approx(np.diff(theirs, axis=1).sum(), rel=0.02)
        assert ours.mean() == pytest.approx(theirs.mean(), rel=0.02)


def test_text_and_image_are_independent():
    """The same strategy for both gives the same masks no more often than chance: 2 x 2 table, 4,000 pairs."""
    one = dict(type="random_patch", input_size=32, ratio=0.5)
    drawn = maskkit.create("multimodal", text=one, image=one, seed=0).sample(range(4000))
    first, second = (drawn[part].arrays[0][:, 0] for part in ("text", "image"))
    assert (first == second).mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(4000))


def test_what_a_part_takes_goes_by_its_name():
    """Lengths for the text, scores for the image; each reaches its part alone."""
    strategy = maskkit.create("multimodal", image=dict(type="score_guided", ratio=0.5), seed=0)
    scores = np.tile(np.arange(196.0), (2, 1))
    masks = strategy(2, text_lengths=np.array([512, 100]), image_scores=scores).numpy()
    assert not masks["text"].context[1, 100:].any()
    np.testing.assert_array_equal(masks["image"].targets[:, 0], scores >= 98)
    with pytest.raises(ConfigError, match="got 'text_length'; did you mean 'text_lengths'"):
        strategy(2, text_length=np.array([512, 100]), image_scores=scores)


def test_a_part_with_levels_gives_one_group_for_each():
    drawn = maskkit.create("multimodal", image=dict(type="hierarchical", overlap="allow"), seed=0).sample(0)
    assert list(drawn) == ["text", "image_level_0", "image_level_1", "image_level_2"]


def test_the_seed_is_that_of_the_pair():
    """Seeds inside do not matter, so that one number says it all."""
    config = maskkit.config("multimodal", text=dict(type="mlm", seed=5), seed=7)
    assert (config.text.seed, config.image.seed) == (7, 7)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(text="nosuch"), "text: Unknown strategy 'nosuch'"),
        (dict(text=dict(type="mlm", ratio=2)), "text: ratio must be between 0.0 and 1.0, and neither, got 2.0"),
        (dict(image=dict(type="multi_block", input_size=200)), "image: input_size must be divisible by patch_size"),
        (dict(image=3), "image must be a strategy: its name, or a mapping with a type, got 3"),
        (dict(image="causal"), "image: Unknown strategy 'causal'; there is mask.causal"),
        (dict(texts="mlm"), "unknown parameter 'texts'; did you mean 'text'"),
        (dict(seed=-1), "seed must be in"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("multimodal", **params)

"""Score-guided masks: the contract, and the facts."""

import numpy as np
import pytest
import torch
from maskkit_jepa_score_guided import ScoreGuided
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy

RNG = np.random.default_rng(0)
SCORES = RNG.permuted(np.tile(np.arange(196.0), (500, 1)), axis=1)  # no two equal: a score is a rank


def masked(scores=SCORES, ids=None, **params):
    strategy = maskkit.create("score_guided", **{"seed": 0, **params})
    return strategy.sample(range(len(scores)) if ids is None else ids, scores=scores).arrays[1][:, 0]


def test_contract():
    check_strategy(ScoreGuided)


@pytest.mark.parametrize(("select", "chosen"), [("top", SCORES >= 196 - 98), ("bottom", SCORES < 98)])
def test_half_of_the_tokens_by_score(select, chosen):
    np.testing.assert_array_equal(masked(ratio=0.5, select=select), chosen)


def test_the_ratio_of_an_image_is_uniform_between_the_ends():
    """AttMask: 10-50 % of each image; the count tells the share, and the highest so many are masked."""
    found = masked()
    count = found.sum(axis=1)
    assert (count.min() >= 20, count.max() <= 98) == (True, True)
    assert count.mean() / 196 == pytest.approx(0.3, abs=0.02)
    assert count.std() / 196 == pytest.approx(0.4 / np.sqrt(12), abs=0.01)
    np.testing.assert_array_equal(found, 196 - count[:, None] <= SCORES)


def test_hints_show_some_of_the_first_tokens():
    """Of the first 20 tokens 10 are shown, at random; the next ones are masked in their place: 59 in all."""
    found = masked(ratio=0.3, hint=0.5, hint_among=0.1)
    rank = 195 - SCORES.astype(int)
    by_rank = np.zeros_like(found)
    np.put_along_axis(by_rank, rank, found, axis=1)
    assert set(found.sum(axis=1).tolist()) == {59}
    assert set(by_rank[:, :20].sum(axis=1).tolist()) == {10}
    assert by_rank[:, 20:69].all()
    assert not by_rank[:, 69:].any()
    assert by_rank[:, :20].mean(axis=0) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(500))


def test_a_mix_takes_some_tokens_whatever_their_score():
    """A quarter of 100 tokens comes from the 121 that are not among the first 75, each equally likely."""
    found = masked(ratio=100 / 196, mix=0.25)
    first = SCORES >= 196 - 75
    assert found[first].all()
    others = (found & ~first).sum(axis=1)
    assert set(others.tolist()) == {25}
    low = found & (SCORES < 30)
    assert low.sum() / (500 * 30) == pytest.approx(25 / 121, abs=0.02)


def test_equal_scores_are_taken_at_random():
    """Constant scores: all 15 sets of 2 of 2 x 3 patches, for each way to select; chi-square, 15,000 images."""
    for select in ("top", "bottom", "gumbel"):
        found = masked(np.zeros((15_000, 6)), input_size=(32, 48), ratio=1 / 3, select=select)
        _, counts = np.unique(found @ (1 << np.arange(6)), return_counts=True)
        assert len(counts) == 15
        assert ((counts - 1000) ** 2 / 1000).sum() < 14 + 5 * np.sqrt(28)


def test_gumbel_draws_without_replacement_by_softmax():
    """Two of three tokens with weights 1, 2, 4 (Plackett-Luce), enumerated; temperature 0.5, 20,000 images."""
    weights = np.array([1.0, 2.0, 4.0])
    scores = np.tile(0.5 * np.log(weights), (20_000, 1))
    found = masked(scores, input_size=(16, 48), ratio=2 / 3, select="gumbel", temperature=0.5)
    left_out = (~found).mean(axis=0)
    expected = [
        sum(weights[a] / 7 * weights[b] / (7 - weights[a]) for a, b in ((i, j), (j, i)))
        for i, j in ((1, 2), (0, 2), (0, 1))
    ]
    assert left_out == pytest.approx(expected, abs=5 * 0.5 / np.sqrt(20_000))


def test_scores_of_other_libraries_and_types_are_the_same_scores():
    expected = masked(ratio=0.5)
    for scores in (torch.tensor(SCORES), torch.tensor(SCORES, dtype=torch.bfloat16), SCORES.astype(np.int32)):
        np.testing.assert_array_equal(masked(scores, ratio=0.5), expected)


def test_scores_go_with_their_ids():
    """A sample's mask depends on its own scores and id, not on those of its batch."""
    alone = masked(SCORES[7:8], ids=[7])
    np.testing.assert_array_equal(alone[0], masked()[7])


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (None, r"score_guided needs scores with each call, \(B, 196\): strategy\(batch_size, scores=...\)"),
        (np.zeros((2, 100)), r"scores must be numbers \(B, 196\), one for each of 14 x 14 patches"),
        (np.zeros((3, 196)), "scores must have a row for each of the 2 samples"),
        (np.full((2, 196), np.nan), "scores must be finite, got nan in row 0"),
        (np.zeros((2, 196), bool), "dtype bool"),
    ],
)
def test_wrong_scores_are_refused(scores, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.create("score_guided", seed=0)(2, scores=scores)


def test_misspelt_scores_are_refused():
    with pytest.raises(ConfigError, match="score_guided takes scores, got 'score'; did you mean 'scores'"):
        maskkit.create("score_guided", seed=0)(2, score=np.zeros((2, 196)))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(ratio=(0.5, 0.1)), r"ratio must be a number or a pair \(low, high\) with low <= high, got \(0.5, 0.1\)"),
        (dict(ratio=0), "ratio must be between 0.0 and 1.0, and neither"),
        (dict(ratio=0.001), "ratio must leave and mask at least one of 196 tokens"),
        (dict(select="high"), "select must be one of 'top', 'bottom', 'gumbel', got 'high'"),
        (dict(temperature=0), "temperature must be positive"),
        (dict(ratio=0.9, hint=1.0, hint_among=0.5), "lower hint, hint_among or ratio"),
        (dict(input_size=16), "input_size must be larger than one patch of 16"),
        (dict(mixx=0.5), "unknown parameter 'mixx'; did you mean 'mix'"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("score_guided", **params)

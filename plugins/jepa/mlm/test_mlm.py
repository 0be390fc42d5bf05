"""Masked language modelling: the contract, and the facts."""

import itertools

import numpy as np
import pytest
import torch
from maskkit_jepa_mlm import Mlm
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy


def spans(row):
    """(start, length) of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), (edges[1::2] - edges[::2]).tolist(), strict=True))


def test_contract():
    check_strategy(Mlm)


def test_masks_are_pinned():
    """The masks of a seed stay what they are: trainings are resumed years later."""
    for unit, pinned in {
        "token": [[0, 5, 11, 13, 28, 32], [6, 11, 19, 27, 28, 39]],
        "span": [[1, 6, 7, 8, 22, 27], [4, 5, 6, 7, 37, 38]],
    }.items():
        drawn = maskkit.create("mlm", seq_len=40, unit=unit, seed=0).sample([0, 1])
        assert [np.flatnonzero(row).tolist() for row in drawn.arrays[1][:, 0]] == pinned


@pytest.mark.parametrize("unit", ["token", "span"])
def test_a_share_of_each_text_is_predicted(unit):
    """15 % of 512 is 77, in every one of 500 texts; the context is the rest."""
    context, targets = maskkit.create("mlm", unit=unit, seed=0).sample(range(500)).arrays
    assert set(targets.sum(axis=2).ravel().tolist()) == {77}
    assert (context ^ targets[:, 0]).all()


@pytest.mark.parametrize("unit", ["token", "span"])
def test_80_10_10(unit):
    """Of the predicted tokens 80 % are masked, 10 % replaced, 10 % kept, each of them one of these."""
    drawn = maskkit.create("mlm", unit=unit, seed=0).sample(range(4000))
    fates = [drawn.extra[name] for name in ("mask", "random", "keep")]
    np.testing.assert_array_equal(np.sum(fates, axis=0), drawn.arrays[1][:, 0])
    total = drawn.arrays[1].sum()
    assert [fate.sum() / total for fate in fates] == pytest.approx([0.8, 0.1, 0.1], abs=0.005)


def test_all_of_a_span_have_one_fate():
    """Runs apart from each other are spans: none has two fates; lone tokens would have, one time in five."""
    drawn = maskkit.create("mlm", unit="span", ratio=0.05, seq_len=200, max_span=3, seed=0).sample(range(300))
    fate = drawn.extra["mask"] * 1 + drawn.extra["random"] * 2 + drawn.extra["keep"] * 3
    runs = [fate[row, a : a + n] for row in range(300) for a, n in spans(drawn.arrays[1][row, 0])]
    whole = [len(set(run.tolist())) == 1 for run in runs if len(run) == 3]
    assert np.mean(whole) > 0.9, "but where two spans touch"


def test_all_sets_of_tokens_are_equally_likely():
    """2 of 6 tokens: chi-square over the 15 sets, 30,000 texts."""
    found = maskkit.create("mlm", seq_len=6, ratio=1 / 3, seed=0).sample(range(30_000)).arrays[1][:, 0]
    _, counts = np.unique(found @ (1 << np.arange(6)), return_counts=True)
    assert len(counts) == 15
    assert ((counts - 2000) ** 2 / 2000).sum() < 14 + 5 * np.sqrt(28)


def span_law(tokens, count, p, longest):
    """Chances of all target sets: lengths drawn until they add up, the last cut; then all ways to set them down."""
    chance = np.array([p * (1 - p) ** (n - 1) for n in range(1, longest + 1)])
    chance /= chance.sum()
    lengths, open_ = {}, {(): 1.0}
    while open_:
        following = {}
        for sizes, weight in open_.items():
            for n, c in enumerate(chance, 1):
                cut = (*sizes, min(n, count - sum(sizes)))
                into = lengths if sum(cut) == count else following
                into[cut] = into.get(cut, 0.0) + weight * c
        open_ = following
    found = {}
    for sizes, weight in lengths.items():
        free = tokens - count
        ways = list(itertools.combinations(range(free + len(sizes)), len(sizes)))
        for places in ways:
            row, left = [], dict(zip(places, sizes, strict=True))
            for piece in range(free + len(sizes)):
                row += [1] * left[piece] if piece in left else [0]
            found[tuple(row)] = found.get(tuple(row), 0.0) + weight / len(ways)
    return found


def test_spans_have_the_law_that_is_documented():
    """3 of 7 tokens in spans of up to 3: chi-square against the enumeration of all cases, 40,000 texts."""
    strategy = maskkit.create("mlm", seq_len=7, ratio=3 / 7, unit="span", max_span=3, span_probability=0.2, seed=0)
    expected = span_law(7, 3, 0.2, 3)
    rows, counts = np.unique(strategy.sample(range(40_000)).arrays[1][:, 0].astype(int), axis=0, return_counts=True)
    seen = {tuple(row): n for row, n in zip(rows.tolist(), counts.tolist(), strict=True)}
    assert set(seen) <= set(expected)
    assert sum(expected.values()) == pytest.approx(1)
    chi2 = sum((seen.get(row, 0) - 40_000 * p) ** 2 / (40_000 * p) for row, p in expected.items())
    df = len(expected) - 1
    assert chi2 < df + 5 * np.sqrt(2 * df)


def test_the_mean_length_of_a_span_is_spanberts():
    """Geometric with 0.2, cut at 10 and normalised: 3.8 tokens on average. Apart spans in long texts show it."""
    found = maskkit.create("mlm", seq_len=4096, ratio=0.02, unit="span", seed=0).sample(range(300)).arrays[1][:, 0]
    lengths = [n for row in found for _, n in spans(row)]
    chance = 0.2 * 0.8 ** np.arange(10)
    mean = (np.arange(1, 11) * chance).sum() / chance.sum()
    assert mean == pytest.approx(3.8, abs=0.01)
    assert np.mean(lengths) == pytest.approx(mean, rel=0.06)


@pytest.mark.parametrize("unit", ["token", "span"])
def test_padding_and_special_tokens_are_never_predicted(unit):
    """The context has the special tokens, but no padding; the share is one of the others."""
    strategy = maskkit.create("mlm", seq_len=40, unit=unit, seed=0)
    lengths = np.array([40, 30, 5])
    special = np.zeros((3, 40), int)
    special[:, 0] = 1
    special[np.arange(3), lengths - 1] = 1
    context, targets = strategy(3, lengths=lengths, special_tokens_mask=special).numpy().arrays
    real = np.arange(40) < lengths[:, None]
    assert not (targets[:, 0] & (special == 1)).any()
    np.testing.assert_array_equal(context ^ targets[:, 0], real)
    assert targets.sum(axis=(1, 2)).tolist() == [6, 4, 1]  # 15 % of 38, 28, and at least 1 of 3


def test_an_attention_mask_says_the_same_as_lengths():
    strategy = maskkit.create("mlm", seq_len=40, seed=0)
    by_length = strategy.sample([0, 1], lengths=np.array([30, 20])).arrays[1]
    by_mask = strategy.sample([0, 1], attention_mask=torch.arange(40) < torch.tensor([[30], [20]])).arrays[1]
    np.testing.assert_array_equal(by_length, by_mask)


def test_random_ids_are_uniform():
    """10 ids, 40,000 tokens: chi-square."""
    ids = maskkit.create("mlm", seq_len=40, vocab_size=10, seed=0).sample(range(1000))["random_ids"].numpy()
    assert ids.shape == (1000, 40)
    counts = np.bincount(ids.ravel(), minlength=10)
    assert len(counts) == 10
    assert ((counts - 4000) ** 2 / 4000).sum() < 9 + 5 * np.sqrt(18)


def test_the_masks_of_a_text_go_with_its_id():
    """Purity with padding: a text of a batch alone has the same masks."""
    strategy = maskkit.create("mlm", seq_len=40, unit="span", seed=0)
    lengths = np.array([40, 30, 20])
    together = strategy.sample([5, 6, 7], epoch=2, lengths=lengths)
    alone = strategy.sample(6, epoch=2, lengths=lengths[1:2])
    for name in ("context", "targets", "mask", "random", "keep"):
        np.testing.assert_array_equal(together.numpy()[name][1:2], alone.numpy()[name])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (dict(lengths=np.array([40, 50])), "lengths must be integers .*at most seq_len 40.*50 at most"),
        (dict(lengths=np.array([40, 1])), "row 1 has 1 tokens, of which 1 may be predicted"),
        (dict(attention_mask=np.ones((2, 30), int)), r"attention_mask must be zeros and ones \(B, 40\)"),
        (dict(attention_mask=np.full((2, 40), 2)), "attention_mask must be zeros and ones, got 2 .. 2"),
        (dict(special_tokens_mask=np.ones((2, 40), int)), "row 0 has 40 tokens, of which 0 may be predicted"),
        (dict(lengths=np.array([40, 40]), attention_mask=np.ones((2, 40), int)), "give one of them"),
        (dict(lenghts=np.array([40, 40])), "got 'lenghts'; did you mean 'lengths'"),
    ],
)
def test_wrong_texts_are_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.create("mlm", seq_len=40, seed=0)(2, **given)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(seq_len=1), "seq_len must be at least 2, got 1"),
        (dict(ratio=0), "ratio must be between 0.0 and 1.0, and neither"),
        (dict(unit="words"), "unit must be one of 'token', 'span', 'word', got 'words'; did you mean 'word'"),
        (dict(mask_share=0.9, random_share=0.2), "mask_share and random_share must be 1 or less together"),
        (dict(max_span=0), "max_span must be positive"),
        (dict(span_probability=1), "span_probability must be between 0.0 and 1.0, and neither"),
        (dict(vocab_size=2**40), r"vocab_size must be 2\*\*31 or less"),
        (dict(seq_length=4), "unknown parameter 'seq_length'; did you mean 'seq_len'"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("mlm", **params)

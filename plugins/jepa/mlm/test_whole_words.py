"""Whole words of masked language modelling: the counts, the law, and what may be given as words."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from maskkit_jepa_mlm._words import nearest_sum
from tokenizers import Tokenizer, models, pre_tokenizers, processors
import maskkit
from maskkit import ConfigError


def words(**params):
    return maskkit.create("mlm", unit="word", **{"seq_len": 10, "seed": 0, **params})


def random_ids(size, tokens, seed=0):
    """Words of one to four tokens, and a token of none here and there."""
    rng = np.random.default_rng(seed)
    ids = [np.repeat(np.arange(tokens), rng.integers(1, 5, tokens))[:tokens] for _ in range(size)]
    return np.where(rng.random((size, tokens)) < 0.1, -1, np.stack(ids))


def runs(ids):
    """(start, length) of the runs of equal ids of one text that are words."""
    start, found = 0, []
    for word, tokens in itertools.groupby(ids):
        length = len(list(tokens))
        found += [(start, length)] if word is not None and word >= 0 else []
        start += length
    return found


def sums(lengths):
    return {sum(some) for n in range(len(lengths) + 1) for some in itertools.combinations(lengths, n)}


def test_masks_are_pinned():
    """The masks of a seed stay what they are: trainings are resumed years later."""
    drawn = words(seq_len=40).sample([0, 1], word_ids=np.tile(np.arange(40) // 2, (2, 1)))
    assert [np.flatnonzero(row).tolist() for row in drawn.arrays[1][:, 0]] == [
        [10, 11, 22, 23, 26, 27],
        [12, 13, 22, 23, 38, 39],
    ]


def test_words_are_predicted_whole_and_nothing_else_is():
    ids = random_ids(300, 64)
    targets = words(seq_len=64, ratio=0.3).sample(range(300), word_ids=ids).arrays[1][:, 0]
    assert not targets[ids < 0].any()
    for row, text in zip(targets, ids.tolist(), strict=True):
        assert all(len(set(row[start : start + length].tolist())) == 1 for start, length in runs(text))


@pytest.mark.parametrize("ratio", [0.05, 0.15, 0.5, 0.9])
def test_the_count_is_the_nearest_that_words_add_up_to(ratio):
    """Against all subsets of the words of 200 texts; one token at least, and one is left."""
    ids = random_ids(200, 24)
    context, targets = words(seq_len=24, ratio=ratio).sample(range(200), word_ids=ids).arrays
    assert (context ^ targets[:, 0]).all()
    for count, text in zip(targets.sum(axis=(1, 2)).tolist(), ids.tolist(), strict=True):
        lengths = [length for _, length in runs(text)]
        share = max(1, int(ratio * sum(lengths) + 0.5))
        assert count == min(sums(lengths) - {0, 24}, key=lambda total: (abs(total - share), total))


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=9), data=st.data())
def test_the_nearest_sum_is_that_of_all_subsets(lengths, data):
    """And the lengths that are taken are the first in their order that make it up."""
    most = data.draw(st.integers(1, sum(lengths)))
    wanted = data.draw(st.integers(1, most))
    possible = {total for total in sums(lengths) if 0 < total <= most}
    taken = nearest_sum(lengths, wanted, most)
    if not possible:
        assert taken == []
        return
    best = min(possible, key=lambda total: (abs(total - wanted), total))
    subsets = (some for n in range(10) for some in itertools.combinations(range(len(lengths)), n))
    assert taken == list(min(some for some in subsets if sum(lengths[i] for i in some) == best))


def test_the_law_is_that_of_words_in_random_order():
    """Words of 1, 2, 2, 3 and 1 tokens, 4 of 9 tokens: chi-square against all 120 orders, 40,000 texts."""
    lengths, wanted = [1, 2, 2, 3, 1], 4
    expected = {}
    for order in itertools.permutations(range(5)):
        ways = (some for n in range(6) for some in itertools.combinations(range(5), n))
        first = min(some for some in ways if sum(lengths[order[i]] for i in some) == wanted)
        taken = tuple(sorted(order[i] for i in first))
        expected[taken] = expected.get(taken, 0) + 40_000 / 120
    ids = np.tile(np.repeat(np.arange(5), lengths), (40_000, 1))
    drawn = words(seq_len=9, ratio=0.45).sample(range(40_000), word_ids=ids).arrays[1][:, 0]
    starts = np.cumsum([0, *lengths[:-1]])
    sets, counts = np.unique(drawn[:, starts], axis=0, return_counts=True)
    found = {tuple(np.flatnonzero(some).tolist()): n for some, n in zip(sets, counts.tolist(), strict=True)}
    assert set(found) == set(expected)
    chi2 = sum((found[taken] - number) ** 2 / number for taken, number in expected.items())
    df = len(expected) - 1
    assert chi2 < df + 5 * np.sqrt(2 * df)


def berts_words(order, lengths, wanted):
    """Words in this order, but those that would exceed the number."""
    taken = []
    for word in order:
        if sum(lengths[i] for i in taken) + lengths[word] <= wanted:
            taken.append(word)
    return taken


def test_where_berts_rule_reaches_the_share_the_words_are_the_same():
    rng = np.random.default_rng(0)
    reached = 0
    for _ in range(500):
        lengths = rng.integers(1, 5, 40).tolist()
        wanted = int(0.15 * sum(lengths) + 0.5)
        theirs = berts_words(range(40), lengths, wanted)
        if sum(lengths[i] for i in theirs) == wanted:
            reached += 1
            assert nearest_sum(lengths, wanted, sum(lengths)) == theirs
    assert reached > 450


def test_each_token_of_a_word_has_a_fate_of_its_own():
    """80, 10 and 10 % of the tokens, independent in words of two."""
    ids = np.tile(np.arange(64) // 2, (4000, 1))
    drawn = words(seq_len=64).sample(range(4000), word_ids=ids)
    targets = drawn.arrays[1][:, 0]
    fates = [drawn.extra[name] for name in ("mask", "random", "keep")]
    np.testing.assert_array_equal(np.sum(fates, axis=0), targets)
    assert [fate.sum() / targets.sum() for fate in fates] == pytest.approx([0.8, 0.1, 0.1], abs=0.01)
    both = fates[0][:, ::2] & fates[0][:, 1::2]
    assert both.sum() / targets[:, ::2].sum() == pytest.approx(0.64, abs=0.01)


def tokenizer():
    """A tokenizer of a few words, with special tokens, as fast tokenizers are built."""
    names = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "play", "##ing", "chess", "is", "fun"]
    made = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return made


def test_the_word_ids_of_a_tokenizer_go_in_as_they_are():
    """Texts of unequal lengths: lists that end with the text are as good as padded ones."""
    encode = tokenizer()
    texts = [encode.encode("playing chess"), encode.encode("playing chess is playing fun")]
    lists = [text.word_ids for text in texts]
    assert lists[0] == [None, 0, 0, 1, None]
    lengths = np.array([len(text.ids) for text in texts])
    drawn = words(ratio=0.5).sample(range(2), word_ids=lists, lengths=lengths)
    assert drawn.numpy().targets.sum(axis=(1, 2)).tolist() == [2, 4]  # half of 3 and of 7, half a token up
    encode.enable_padding(length=10, pad_id=3, pad_token="[PAD]")
    padded = encode.encode_batch(["playing chess", "playing chess is playing fun"])
    mask = torch.tensor([text.attention_mask for text in padded])
    again = words(ratio=0.5).sample(range(2), word_ids=[text.word_ids for text in padded], attention_mask=mask)
    np.testing.assert_array_equal(drawn.arrays[1], again.arrays[1])


def test_the_second_text_of_a_pair_has_words_of_its_own():
    """Tokenizers count from 0 again; so word 0 of one text is predicted without word 0 of the other."""
    pair = tokenizer().encode("playing", "playing chess")
    assert pair.word_ids == [None, 0, 0, None, 0, 0, 1, None]
    targets = words(seq_len=8, ratio=0.4).sample(range(200), word_ids=[pair.word_ids] * 200).arrays[1][:, 0]
    assert set(targets.sum(axis=1).tolist()) == {2}
    assert 50 < targets[:, 1].sum() < 150
    assert (targets[:, 1] != targets[:, 4]).all()


def test_arrays_and_lists_say_the_same():
    ids = random_ids(20, 10)
    lists = [[None if word < 0 else word for word in text] for text in ids.tolist()]
    drawn = [
        words().sample(range(20), word_ids=given).arrays[1]
        for given in (ids, torch.tensor(ids, dtype=torch.int32), lists, [np.array(text) for text in ids])
    ]
    assert all((other == drawn[0]).all() for other in drawn[1:])


def test_what_stands_at_padding_is_not_looked_at():
    """Word ids that are padded with 0 are as good as with -1."""
    ids = np.tile([0, 0, 1, 2, 2, 0, 0, 0, 0, 0], (50, 1))
    lengths = np.full(50, 5)
    targets = words().sample(range(50), word_ids=ids, lengths=lengths).arrays[1]
    other = words().sample(range(50), word_ids=np.where(np.arange(10) < 5, ids, -1), lengths=lengths).arrays[1]
    np.testing.assert_array_equal(targets, other)
    assert not targets[:, 0, 5:].any()


def test_a_word_with_a_special_token_is_never_predicted():
    special = np.zeros((100, 10), int)
    special[:, 3] = 1
    ids = np.tile(np.arange(10) // 2, (100, 1))
    targets = words(ratio=0.6).sample(range(100), word_ids=ids, special_tokens_mask=special).arrays[1][:, 0]
    assert targets.any(axis=0).tolist() == [True, True, False, False, *[True] * 6]
    assert set(targets.sum(axis=1).tolist()) == {4}  # nearest to 60 % of the other 8 tokens


def test_the_masks_of_a_text_go_with_its_id_and_its_words():
    strategy, ids = words(seq_len=40), random_ids(3, 40)
    together = strategy.sample([5, 6, 7], epoch=2, word_ids=ids)
    alone = strategy.sample(6, epoch=2, word_ids=ids[1:2])
    for name in ("context", "targets", "mask", "random", "keep"):
        np.testing.assert_array_equal(together.numpy()[name][1:2], alone.numpy()[name])


TEN = list(range(10))


@pytest.mark.parametrize(
    ("given", "words_of_error"),
    [
        (dict(), r"unit='word' needs word_ids with each call.*strategy\(batch_size, word_ids=...\)"),
        (dict(word_ids=np.zeros((2, 9), int)), r"word_ids must be integers \(B, 10\).*got shape \(2, 9\)"),
        (dict(word_ids=np.zeros(10, int)), r"word_ids must be integers \(B, 10\).*got shape \(10,\)"),
        (dict(word_ids=np.zeros((2, 10))), "word_ids must be integers .* dtype float64"),
        (dict(word_ids=np.full((2, 10), -100)), "word_ids must be 0 or more, or -1 for tokens of no word, got -100"),
        (dict(word_ids=[TEN, [-2, *TEN[1:]]]), "word_ids must be 0 or more, or -1 for tokens of no word, got -2"),
        (dict(word_ids=np.zeros((3, 10), int)), "word_ids must have a row for each of the 2 samples"),
        (dict(word_ids=[TEN]), "word_ids must have a row for each of the 2 samples"),
        (dict(word_ids=TEN), r"word_ids\[0\] must be at most 10 integers, or None for tokens of no word, got 0"),
        (dict(word_ids=[TEN, [*TEN, 10]]), r"word_ids\[1\] must be at most 10 integers"),
        (dict(word_ids=[TEN, ["a"] * 10]), r"word_ids\[1\] must be at most 10 integers"),
        (dict(word_ids=[TEN, [0.5] * 10]), r"word_ids\[1\] must be at most 10 integers"),
        (dict(word_ids=[TEN, TEN[:9]]), r"word_ids\[1\] has 9 ids, and the text 10 tokens; .* lengths"),
        (dict(word_ids=[TEN, TEN[:4]], lengths=np.array([10, 5])), r"word_ids\[1\] has 4 ids, and the text 5 tokens"),
        (dict(word_ids=[TEN, [None] * 10]), "row 1 has 10 tokens, of which 0 may be predicted"),
        (dict(word_ids=[TEN, [3] * 10]), "row 1 is a single word of 10 tokens, which leaves nothing to predict from"),
    ],
)
def test_wrong_words_are_refused(given, words_of_error):
    with pytest.raises(ConfigError, match=words_of_error):
        words()(2, **given)


@pytest.mark.parametrize("unit", ["token", "span"])
def test_words_are_refused_where_the_unit_is_another(unit):
    with pytest.raises(ConfigError, match=f"word_ids are for unit='word', got them with unit='{unit}'"):
        maskkit.create("mlm", seq_len=10, unit=unit)(2, word_ids=[TEN, TEN])


@pytest.mark.parametrize(
    ("strategy", "name", "part"),
    [
        (dict(type="multimodal", text=dict(type="mlm", unit="word", seq_len=10)), "text_word_ids", "text"),
        (
            dict(
                type="curriculum",
                strategy=dict(type="mlm", unit="word", seq_len=10),
                schedules=dict(ratio=dict(start=0.2, end=0.5, steps=10)),
            ),
            "word_ids",
            None,
        ),
    ],
    ids=["multimodal", "curriculum"],
)
def test_strategies_around_it_take_lists_too(strategy, name, part):
    ids = [[None, 0, 0, 1, 2, 2, 2, 3, 4, None], [0, 0, 1, 1, 2]]
    given = {name: ids, name.replace("word_ids", "lengths"): np.array([10, 5])}
    masks = maskkit.create(strategy, seed=0)(2, **given)
    targets = (masks if part is None else masks[part]).targets[:, 0]
    assert targets.any(dim=1).all()
    assert torch.equal(targets[0, 1], targets[0, 2])

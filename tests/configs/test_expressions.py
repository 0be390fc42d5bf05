"""Mask expressions: what they say, and what they cannot hold."""

import pytest
from messages import message_of
import maskkit


def test_expressions_combine_masks():
    mask = maskkit.parse("causal & ~(banded(band_width=5) ^ mask.block_diagonal(block_size=4))", seq_len=16)
    parts = [
        maskkit.create(n, seq_len=16, **p)
        for n, p in (("causal", {}), ("banded", {"band_width": 5}), ("block_diagonal", {"block_size": 4}))
    ]
    assert mask == parts[0] & ~(parts[1] ^ parts[2])


def test_what_an_expression_says_wins_over_what_is_shared():
    mask = maskkit.parse("sliding_window(window_size=2) | sliding_window", seq_len=9, window_size=4)
    assert [part.window_size for part in mask.parts] == [2, 4]


@pytest.mark.parametrize(
    "text",
    [
        "causal and causal",
        "causal + causal",
        "not causal",
        "causal(16)",
        "causal(seq_len=n)",
        "causal(seq_len=2**3)",
        "causal(**{})",
        "causal(type='banded')",
        "causal[0]",
        "causal.allows",
        "a.b.c",
        "().__class__",
        "__import__('os')",
        "(lambda: 0)()",
        "causal if causal else causal",
        "[causal]",
        "3",
        "'causal'",
        "causal & 1",
        "f(causal)",
        "causal(seq_len={x for x in ()})",
    ],
)
def test_expressions_hold_nothing_else(text):
    with pytest.raises(maskkit.ConfigError) as caught:
        maskkit.parse(text, seq_len=4)
    words = str(caught.value)
    assert "an expression holds names" in words or isinstance(caught.value, maskkit.UnknownName)


def test_a_keyword_stands_once():
    text = message_of(maskkit.parse, "causal(seq_len=4, seq_len=9)")
    assert text == "'seq_len' at column 19 is given twice; give it once"


@pytest.mark.parametrize("text", ["causal &", "(causal", "", "~", "causal\ncausal", "\0"])
def test_malformed_expressions_say_where(text):
    with pytest.raises(maskkit.ConfigError, match="cannot read"):
        maskkit.parse(text)


def test_expressions_too_deep_or_too_long_are_refused():
    with pytest.raises(maskkit.ConfigError, match=r"so deep|cannot read|at most"):
        maskkit.parse("~" * 5000 + "causal", seq_len=4)
    with pytest.raises(maskkit.ConfigError, match="at most 10000 characters"):
        maskkit.parse("causal & " * 5000 + "causal", seq_len=4)


def test_expressions_are_strings():
    assert message_of(maskkit.parse, 3) == "an expression must be a string, got 3"


@pytest.mark.parametrize(
    "expression",
    [
        "causal & document(lengths=[3, 5])",
        "document(lengths=[3, 5]) | ~causal",
        "banded(band_width=3) ^ (causal & document(lengths=[8]))",
        "causal & banded(band_width=3, seq_len=8)",
    ],
)
def test_a_length_is_taken_from_the_others(expression):
    """Under `& | ^ ~`, where all that have one have the same."""
    assert maskkit.parse(expression).shape == (8, 8)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("causal & banded(band_width=3)", "seq_len required for causal mask"),
        ("causal & document(lengths=[3]) & document(lengths=[4])", "has 4 along the axis .query., where others have 3"),
        ("causal & key_padding(lengths=[3], seq_len=4, q_len=2)", "seq_len required for causal mask"),
    ],
)
def test_a_length_that_the_others_do_not_say_is_asked_for(expression, words):
    with pytest.raises(maskkit.ConfigError, match=words):
        maskkit.parse(expression)


def test_what_is_not_combined_keeps_lengths_of_its_own():
    """Documents of a direct sum have nothing to do with each other's."""
    causal = {"and": ["causal", {"type": "document", "lengths": [2, 1]}]}
    assert maskkit.create({"direct_sum": [causal, {"type": "causal", "seq_len": 4}]}).shape == (7, 7)
    with pytest.raises(maskkit.ConfigError, match=r"direct_sum\[0\]: seq_len required"):
        maskkit.create({"direct_sum": ["causal", {"type": "causal", "seq_len": 4}]})

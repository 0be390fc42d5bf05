"""Mask expressions: what they say, and what they cannot hold."""

import copy
import json
import operator
import pickle
import re
from functools import reduce

import numpy as np
import pytest
from messages import message_of
import maskkit
from maskkit import limits


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


@pytest.mark.parametrize("operation", ["and", "or", "xor"])
def test_thousands_of_masks_under_one_operation_are_one_level(operation):
    symbol = {"and": " & ", "or": " | ", "xor": " ^ "}[operation]
    many = [{"type": "banded", "seq_len": 8, "band_width": 2 * i + 1} for i in range(2000)]
    mask = maskkit.from_dict({operation: many})
    assert len(mask.parts) == 2000
    assert mask.depth == 2
    assert mask.stats().allowed == np.count_nonzero(mask.allowed())
    assert repr(mask).count(symbol) == 1999
    assert pickle.loads(pickle.dumps(mask)) == mask
    parsed = maskkit.parse(symbol.join(f"banded(band_width={2 * i + 1})" for i in range(350)), seq_len=8)
    assert parsed == maskkit.from_dict({operation: many[:350]})


@pytest.mark.parametrize("combine", [operator.and_, operator.or_, operator.xor])
def test_a_loop_over_masks_makes_one_operation(combine):
    masks = [maskkit.create("banded", seq_len=8, band_width=2 * i + 1) for i in range(500)]
    mask = reduce(combine, masks)
    assert len(mask.parts) == 500
    np.testing.assert_array_equal(mask.allowed(), reduce(combine, map(np.asarray, masks)))


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


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("causal & banded(seq_len=8, band_width=-1)", r"^and\[1\]: band_width must be"),
        ("causal & bandid(seq_len=8, band_width=3)", r"^and\[1\]: Unknown mask type 'bandid'"),
        (
            "sliding_window & bandid(seq_len=8)",
            r"problems: and\[0\]: window_size required .*; and\[1\]: Unknown mask type",
        ),
    ],
)
def test_a_length_is_not_asked_for_that_a_wrong_mask_may_say(expression, problem):
    """It would be a false first problem."""
    with pytest.raises(maskkit.ConfigError, match=problem) as caught:
        maskkit.parse(expression)
    assert "seq_len required" not in str(caught.value)


def test_what_is_not_combined_keeps_lengths_of_its_own():
    """Documents of a direct sum have nothing to do with each other's."""
    causal = {"and": ["causal", {"type": "document", "lengths": [2, 1]}]}
    assert maskkit.create({"direct_sum": [causal, {"type": "causal", "seq_len": 4}]}).shape == (7, 7)
    with pytest.raises(maskkit.ConfigError, match=r"direct_sum\[0\]: seq_len required"):
        maskkit.create({"direct_sum": ["causal", {"type": "causal", "seq_len": 4}]})


STEPS = {
    "not": lambda mask, other: ~(mask & other),
    "mixed": lambda mask, other: (mask | other) & ~other,
    "at": lambda mask, _: mask.at(query=np.arange(4)),
    "T": lambda mask, other: (mask | other).T,
    "grid": lambda mask, other: maskkit.direct_sum([mask, other])[:4, :4],
}
USES = {
    "allowed": lambda mask: mask.allowed(),
    "stats": lambda mask: mask.stats(),
    "repr": repr,
    "text": lambda mask: mask.text(),
    "pickle": lambda mask: pickle.loads(pickle.dumps(mask)),
    "copy": copy.deepcopy,
    "save": lambda mask: maskkit.from_dict(json.loads(json.dumps(maskkit.to_dict(mask)))),
    "template": lambda mask: maskkit.Template.of(mask).bind(4),
    "forms": lambda mask: mask.export("?"),
}


@pytest.mark.parametrize("step", STEPS)
def test_masks_stand_in_each_other_as_deep_as_everything_works(step):
    """Beyond that they are refused when they are made; a RecursionError comes from nowhere."""
    mask, other = maskkit.create("causal", seq_len=4), maskkit.create("banded", seq_len=4, band_width=1)

    def deeper(mask):
        for _ in range(limits.depth):
            try:
                mask = STEPS[step](mask, other)
            except maskkit.ConfigError as error:
                return mask, str(error)
        return mask, message_of(STEPS[step], STEPS[step](mask, other), other)

    mask, message = deeper(mask)
    assert re.match(r"masks stand \d+ deep inside of each other, the limit is 100; combine them in another", message)
    assert mask.depth > limits.depth - 4
    for use in USES.values():
        use(mask)


def test_depth_is_no_reason_to_call_a_number_wrong():
    text = message_of(maskkit.parse, "~" * 900 + "causal", seq_len=4)
    assert "nested too deeply" in text
    assert "must be" not in text

"""The rules between fields: what each phrase says, when it says nothing, and that all problems come at once."""

from typing import Any

import numpy as np
import pytest
import torch
from attrs import Factory, field, frozen
from messages import message_of
import maskkit
from maskkit import (
    Attention,
    AttentionMask,
    ConfigError,
    array,
    as_array,
    at_most,
    below,
    by_content,
    exactly_one,
    multiple,
    one_of,
    only_with,
    optional,
    positive,
    shaped,
    within,
)
from maskkit.validators import FieldRule


@frozen(kw_only=True)
class Ruled(AttentionMask):
    """A mask with a rule of every phrase.

    Attributes:
        seq_len: number of tokens.
    """

    name = "ruled"
    rules = (
        at_most("kernel", "height", "width"),
        multiple("dim", "heads"),
        below("tokens", "seq_len"),
        within("lengths", 0, "seq_len"),
        shaped("region", "height", "width"),
        shaped("levels", "heads"),
        exactly_one("near", "far", hint="near=1 and far=1 mean different keys"),
        only_with("levels", mode="ranked"),
    )
    seq_len: int = field(default=8, validator=positive)
    height: int = field(default=4, validator=positive)
    width: int = field(default=6, validator=positive)
    heads: int | None = field(default=2, validator=optional(positive))
    dim: int = field(default=4, validator=positive)
    kernel: int | None = None
    tokens: tuple[int, ...] = field(factory=tuple)
    lengths: Any = field(default=None, converter=as_array, eq=by_content)
    region: Any = field(default=None, validator=optional(array(dtype="bool")), eq=by_content)
    near: int | None = 1
    far: int | None = None
    mode: str = "plain"
    levels: Any = field(default=None, eq=by_content)

    def allows(self, q, k):
        return q >= k


@pytest.fixture(autouse=True)
def _ruled():
    with maskkit.register(Ruled):
        yield


def region(*shape):
    return np.ones(shape, bool)


BROKEN = [
    (dict(kernel=5), "kernel must be at most height=4 and width=6, got 5"),
    (dict(dim=5), "dim must be divisible by heads=2, got 5 (4 and 6 are)"),
    (dict(tokens=[1, 8, 9]), "tokens must be below seq_len=8, got 8"),
    (dict(lengths=9), "lengths must be in 0..seq_len (0..8), got 9"),
    (dict(lengths=[3, -1, 9]), "lengths must be in 0..seq_len (0..8), got -1 for sample 1"),
    (dict(region=region(6, 4)), "region must have shape (height, width) = (4, 6), got (6, 4)"),
    (dict(mode="ranked", levels=np.ones(3)), "levels must have heads (2) entries, got 3"),
    (dict(far=1), "ruled takes either near or far, got both; near=1 and far=1 mean different keys"),
    (dict(near=None), "ruled takes either near or far, got neither; near=1 and far=1 mean different keys"),
    (dict(mode="ranked"), "levels required for mode 'ranked'"),
    (dict(levels=np.ones(2)), "levels must be None for mode 'plain', got an array of shape (2,) and dtype float64"),
]


@pytest.mark.parametrize(("params", "text"), BROKEN, ids=[text for _, text in BROKEN])
def test_a_broken_rule_says_what_is_wrong(params, text):
    """By `create` and by the class alike."""
    assert message_of(maskkit.create, "ruled", **params) == text
    with pytest.raises(ConfigError) as caught:
        Ruled(**params)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "params",
    [
        {},
        dict(kernel=4),
        dict(dim=6, heads=3),
        dict(dim=5, heads=None),
        dict(tokens=(0, 7)),
        dict(lengths=[0, 8]),
        dict(lengths=torch.tensor([0, 8])),
        dict(lengths=torch.empty(3, dtype=torch.int64, device="meta")),
        dict(lengths=[True, False]),
        dict(region=region(4, 6)),
        dict(region=region(2, 4, 6)),
        dict(near=None, far=1),
        dict(mode="ranked", levels=np.ones(2)),
    ],
    ids=str,
)
def test_a_rule_that_holds_says_nothing(params):
    """Neither does one about what is not given, or about values that are not on the host."""
    maskkit.create("ruled", **params)
    Ruled(**params)


def test_all_broken_rules_come_at_once():
    text = message_of(maskkit.create, "ruled", kernel=7, dim=5, tokens=[8])
    assert text == (
        "ruled mask has 3 problems: kernel must be at most height=4 and width=6, got 7; "
        "dim must be divisible by heads=2, got 5 (4 and 6 are); tokens must be below seq_len=8, got 8"
    )
    assert message_of(Ruled, kernel=7, dim=5, tokens=[8]) == text


def test_broken_rules_come_with_bad_fields():
    """Of a field that is wrong by itself no rule speaks; those with a default are looked at as they will be."""
    with pytest.raises(ConfigError) as caught:
        maskkit.create("ruled", heads=-1, dim=5, kernel=5, sizes=3)
    assert [text.partition(" (")[0] for text in caught.value.problems] == [
        "unknown parameter 'sizes'",
        "heads must be positive, or None, got -1",
        "kernel must be at most height=4 and width=6, got 5",
    ]
    assert message_of(maskkit.create, "ruled", width=0) == "width must be positive, got 0"
    assert message_of(maskkit.create, "ruled", width=0, lengths=[9]).endswith("(0..8), got 9 for sample 0")


def test_rules_are_shown_as_limits():
    limits = {parameter.name: parameter.limits for parameter in maskkit.info("ruled").parameters}
    assert limits == {
        "seq_len": "must be positive",
        "height": "must be positive",
        "width": "must be positive",
        "heads": "must be positive, or None",
        "dim": "must be positive; must be divisible by heads",
        "kernel": "must be at most height and width",
        "tokens": "must be below seq_len",
        "lengths": "must be in 0..seq_len",
        "region": "must be a boolean array, or None; must have shape (height, width)",
        "near": "must be given where far is not, and only there",
        "far": "",
        "mode": "",
        "levels": "must have heads entries; must be given for mode 'ranked', and only there",
    }


def test_attention_layers_speak_of_parameters():
    @frozen(kw_only=True)
    class Layer(Attention):
        name = "ruled_layer"
        rules = (multiple("dim", "heads"), at_most("low", "high"))
        dim: int = 8
        heads: int = 2
        low: float = 0.0
        high: float = 1.0

    text = message_of(Layer, dim=9, low=2.0)
    assert text == (
        "ruled_layer attention has 2 problems: Parameter 'dim' must be divisible by heads=2, got 9 (8 and 10 are); "
        "Parameter 'low' must be at most high=1.0, got 2.0"
    )


def test_a_validator_checks_arguments_of_functions_too():
    one_of("or", "and").check("combination", "and")
    text = message_of(one_of("or", "and").check, "combination", "nad")
    assert text == "combination must be one of 'or', 'and', got 'nad'; did you mean 'and'?"
    assert message_of(positive.check, "count", "3") == "count must be a number, got '3'"


def test_a_rule_of_ones_own_is_a_problem_in_words():
    @frozen(kw_only=True)
    class Even(AttentionMask):
        name = "even"
        rules = (FieldRule(("seq_len",), "must be even", lambda mask: "" if mask.seq_len % 2 == 0 else "seq_len odd"),)
        seq_len: int = field(validator=positive)

        def allows(self, q, k):
            return q >= k

    with maskkit.register(Even):
        assert maskkit.create("even", seq_len=2).shape == (2, 2)
        assert message_of(maskkit.create, "even", seq_len=3) == "seq_len odd"
        assert maskkit.info("even").parameters[0].limits == "must be positive; must be even"


def test_a_default_that_depends_on_other_fields_is_not_guessed():
    @frozen(kw_only=True)
    class Half(AttentionMask):
        name = "half"
        rules = (at_most("half", "seq_len"),)
        seq_len: int = field(validator=positive)
        half: int = field(default=Factory(lambda self: self.seq_len // 2, takes_self=True))
        other: int = field(default=1, validator=positive)

        def allows(self, q, k):
            return q >= k

    with maskkit.register(Half):
        assert maskkit.create("half", seq_len=4).half == 2
        assert message_of(maskkit.create, "half", seq_len=4, other=0) == "other must be positive, got 0"
        assert message_of(maskkit.create, "half", seq_len=4, half=5) == "half must be at most seq_len=4, got 5"

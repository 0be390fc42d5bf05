"""The JavaScript of masks is equal to NumPy."""

from functools import cache
from itertools import islice
from random import Random
from typing import Any

import drawn_masks
import numpy as np
import pytest
from attrs import field, frozen
import maskkit
from maskkit import AttentionMask, ConfigError, MaskGroup
from maskkit_explore._forms import forms_of, kind_of

COMPOSITIONS = 2_000


def attention_mask(size, pick):
    """A mask of so many queries and keys."""
    classes = [
        cls for cls in drawn_masks.mask_classes() if not issubclass(cls, MaskGroup) and drawn_masks.is_attention(cls)
    ]
    while True:
        mask = drawn_masks.make(classes[pick(len(classes))], size, pick)
        if mask.shape[-2:] == (size, size) and is_offered(mask):
            return mask


@cache
def forms(cls):
    return forms_of(cls)


def is_offered(mask):
    """Whether the page has a form for parameters of these kinds."""
    kinds = {name: kind_of(type(mask), name, getattr(mask, name)) for name in forms(type(mask))[0].kinds}
    return any(
        all(
            str(kind.more) == str(getattr(mask, name)) if kind.name == "constant" else kind == kinds[name]
            for name, kind in form.kinds.items()
        )
        for form in forms(type(mask))
    )


def composition(size, depth, pick):
    """Masks under & | ^ ~, stack and direct_sum."""
    operation = pick(8) if depth else 7
    if operation >= 6:
        return attention_mask(size, pick)
    first = composition(size, depth - 1, pick)
    if operation == 0:
        return ~first
    if operation == 1 and size > 1:
        cut = 1 + pick(size - 1)
        return maskkit.direct_sum([composition(cut, depth - 1, pick), composition(size - cut, depth - 1, pick)])
    second = composition(size, depth - 1, pick)
    if operation == 2:
        return maskkit.stack([first, second, first], axis=("head", "batch")[pick(2)])
    return (first & second, first | second, first ^ second, first & second)[operation % 4]


def compositions(seed):
    pick = Random(seed).randrange
    while True:
        try:
            yield composition(1 + pick(14), 1 + pick(2), pick)
        except ConfigError:
            continue  # batches or heads that do not meet


@pytest.mark.slow
def test_compositions_are_equal_to_numpy(compare):
    """2,000 at random: each pair, each row's spans, boxes, counts, and the mask that is given back."""
    masks = list(islice(compositions(7), COMPOSITIONS + 100))
    refused = compare(masks)
    assert len(masks) - len(refused) >= COMPOSITIONS
    assert all("is in the explorer only for" in why or "this page has the mask for" in why for _, why in refused)


def test_every_mask_is_equal_to_numpy(compare):
    """The samples of all that are installed, masks of pixels and of queries among them."""
    classes = [cls for cls in drawn_masks.mask_classes() if not issubclass(cls, MaskGroup)]
    refused = compare([drawn_masks.built(cls, sample) for cls in classes for sample in cls.samples])
    assert [why for _, why in refused if "this page has the mask for numbers up to" not in why] == []


@frozen(kw_only=True)
class Bits(AttentionMask):
    """Query q may see key k by bits, quotients and remainders of large and of negative numbers.

    Attributes:
        seq_len: number of tokens.
        shift: what is taken away.
    """

    name = "bits"
    samples = (dict(seq_len=40, shift=3), dict(seq_len=9, shift=2**31 - 5))
    seq_len: int = field(validator=maskkit.positive)
    shift: int = field(validator=maskkit.non_negative)

    def allows(self, q, k):
        far = (q - self.shift) * 2**20 + k
        bits = (far & 0x5A5A5A5A5A5) ^ (far | 0x10F0F0F0F) ^ ~far
        back = k - self.shift
        parts = (back // 7 + back % 7 + back // -3 + back % -3) * (1 + (q < k)) + maskkit.arrays.minimum(q, 5)
        return ((bits % 5 != 2) & (parts % 3 != 1)) | (abs(back) % 4 == 0) ^ ((q << 40) >> 38 == 4 * k)


@frozen(kw_only=True)
class Squared(AttentionMask):
    """Query q may see key k if the square of scale * q is at most that of k.

    Attributes:
        seq_len: number of tokens.
        scale: a factor.
    """

    name = "squared"
    samples = (dict(seq_len=8, scale=1),)
    seq_len: int = field(validator=maskkit.positive)
    scale: int = field(validator=maskkit.positive)

    def allows(self, q, k):
        return self.scale * q * self.scale * q <= k * k


@frozen(kw_only=True)
class Looked(AttentionMask):
    """Query q may see key k by what NumPy says of an array.

    Attributes:
        order: integers (tokens,).
    """

    name = "looked"
    samples = (dict(order=[2, 0, 1]), dict(order=[0, 1]))
    order: Any = field(converter=maskkit.as_array, eq=maskkit.by_content)

    @property
    def shape(self):
        return self.order.shape * 2

    def allows(self, q, k):
        return maskkit.take(np.argsort(self.order), q) >= k


@frozen(kw_only=True)
class Slipping(AttentionMask):
    """Query q may see key k by what slips past symbols: a size that NumPy reads, and a table of seq_len entries.

    Attributes:
        seq_len: number of tokens.
        order: integers.
    """

    name = "slipping"
    samples = (dict(seq_len=9, order=[2, 0, 1]),)
    seq_len: int = field(validator=maskkit.positive)
    order: Any = field(converter=maskkit.as_array, eq=maskkit.by_content)

    def allows(self, q, k):
        return (maskkit.take(np.zeros(self.seq_len, np.int64), q) + k) % len(np.asarray(self.order)) == 0


@frozen(kw_only=True)
class Asking(AttentionMask):
    """Query q may see key k where Python finds it so.

    Attributes:
        seq_len: number of tokens.
    """

    name = "asking"
    samples = (dict(seq_len=3),)
    seq_len: int = field(validator=maskkit.positive)

    def allows(self, q, k):
        return (k <= q) if int(q) < 2 else (k > q)


def test_a_mask_of_a_third_party_appears_by_itself(compare):
    """Bit operations beyond 31 bits, // and % of negative numbers, booleans among numbers."""
    with maskkit.register(Bits):
        assert not compare([Bits(seq_len=40, shift=shift) for shift in (0, 1, 7, 2**31 - 40)], ["bits"])


def test_what_cannot_be_followed_is_chosen_from_the_samples(compare):
    with maskkit.register(Looked):
        other = Looked(order=[1, 0])
        [(mask, why)] = compare([Looked(order=[2, 0, 1]), Looked(order=[0, 1]), other], ["looked"])
        assert mask == other
        assert why == "looked is in the explorer only for order=[2 0 1]; order=[0 1]"


def test_what_slips_past_symbols_is_noticed(compare):
    """What was followed is compared with the mask itself when the page is written."""
    with maskkit.register(Slipping):
        [(_, why)] = compare([Slipping(seq_len=9, order=[2, 0, 1]), Slipping(seq_len=9, order=[0])], ["slipping"])
    assert why == "slipping is in the explorer only for seq_len=9, order=[2, 0, 1]"


def test_a_mask_that_asks_what_an_index_is_is_absent_with_the_reason(node):
    with maskkit.register(Asking):
        absent = node("ABSENT", names=["asking"])
    assert absent["asking"].startswith("its predicate cannot be followed: ")
    assert "asks what an index is" in absent["asking"]


def test_numbers_beyond_2_53_are_refused(node):
    """And never rounded."""
    with maskkit.register(Squared):
        code = "tried(() => build(fromSaved(DATA)).row(3)(2))"
        assert node(code, dict(type="squared", seq_len=8, scale=5), ["squared"]) is False
        assert "2**53" in node(code, dict(type="squared", seq_len=8, scale=2**30), ["squared"])["refused"]


@pytest.mark.parametrize(
    "wrong",
    [
        dict(type="causal", seq_len=0),
        dict(type="banded", seq_len=8, band_width=4),
        dict(type="fixed", seq_len=8, block_size=2, num_summary=3),
        dict(type="document", lengths=[3, -1]),
        dict(type="tree", parents=[-1, 1]),
        dict(type="random", seq_len=4, mask_probability=1.5, seed=1),
        dict(type="neighborhood", height=4, width=4, kernel_size=3, stride=4),
        dict(type="key_padding", lengths=[3, 9], seq_len=8),
        dict(type="bigbird", seq_len=8, seed=-1),
        dict(type="dilated", seq_len=8, window_size=2, dilation=1, causal=False),
    ],
    ids=lambda wrong: wrong["type"],
)
def test_wrong_parameters_are_refused_in_the_words_of_python(node, wrong):
    with pytest.raises(ConfigError) as refused:
        maskkit.create(wrong)
    assert node("tried(() => build(fromSaved(DATA)))", wrong) == {"refused": str(refused.value)}


def test_masks_that_do_not_meet_are_refused_with_the_axis(node):
    both = {"and": [dict(type="causal", seq_len=8), dict(type="causal", seq_len=9)]}
    refused = node("tried(() => build(fromSaved(DATA)))", both)["refused"]
    assert "has 9 along the axis 'query', where others have 8" in refused


def test_texts_are_read_by_maskkit(node):
    """The expression, and YAML."""
    expression = (
        "~causal(seq_len=8) & (window(seq_len=8, left=-1, right=2) | "
        "random(seq_len=8, mask_probability=1e-7, seed=18446744073709551615))"
    )
    mask = maskkit.parse(expression)
    texts = node(
        "[asExpression, (n) => asYaml(toSaved(n)), asPython].map((as) => as(readExpression(DATA)))", expression
    )
    assert maskkit.parse(texts[0]) == mask
    import yaml

    assert maskkit.create(yaml.safe_load(texts[1])) == mask
    namespace = {}
    exec(texts[2], namespace)
    assert namespace["mask"] == mask


@pytest.mark.parametrize(
    "expression", ["causal &", "causal(8)", "causal(seq_len=8", "nothing", "causal(length=3)", "causal @ causal"]
)
def test_expressions_that_say_no_mask_are_refused_in_words(node, expression):
    refused = node("tried(() => build(readExpression(DATA, {seq_len: 8})))", expression)["refused"]
    assert refused.startswith(("cannot read the expression at column", "unknown"))


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("causal(seq_len=4, seq_len=8)", "causal is given 'seq_len' twice"),
        ("constructor(seq_len=8)", "unknown mask 'constructor'"),
        ("causal(seq_len=8.5)", "seq_len must be a whole number, got 8.5"),
        ("document(lengths=[2.5, 3])", "lengths must be a list of whole numbers, got [2.5, 3]"),
        ("document(lengths=[2, [3]])", "lengths must be a list of whole numbers, got [2, [3]]"),
    ],
)
def test_parameters_of_another_kind_are_refused_by_name(node, expression, words):
    assert words in node("tried(() => build(readExpression(DATA)))", expression)["refused"]


def test_rows_of_other_lengths_are_refused_even_where_their_sum_fits(node):
    refused = node("tried(() => R.table([[1, 0], [1], [0, 1, 1]], 2, 'int'))")["refused"]
    assert refused == "rows must be of one length"


def test_an_unseeded_mask_draws_its_seed_and_shows_it(node):
    first, second = node("[1, 2].map(() => readExpression('random(seq_len=8)').values.seed)")
    assert first != second
    assert 0 <= first < 2**32


def test_spans_of_two_billion_keys_are_exact(node):
    last = 2**31 - 1
    code = f"spansOf(build(readExpression('sliding_window(seq_len={last + 1}, window_size=3)')), [{last}]).spans"
    assert node(code) == [[last - 2, last + 1]]


def test_arrays_of_many_entries_have_a_maximum(node):
    assert node("R.max(R.arange(300000))") == 299_999


def test_a_picture_of_a_million_tokens_has_the_exact_shares_of_its_rows(node):
    found = node("""(() => {
        const mask = build(readExpression("sliding_window(seq_len=1048576, window_size=3000)"));
        const shares = new Float32Array(64 * 64), n = 1048576;
        const { lines, sampled } = picture(mask, [], [0, n, 0, n], 64, 64, shares);
        const sum = (line) => line.reduce((a, b) => a + b);
        const allowed = (y) => (sum(shares.slice(64 * y, 64 * y + 64)) * n) / 64;
        return { lines, sampled, rows: Array.from({ length: 64 }, (_, y) => allowed(y)) };
    })()""")
    assert (found["lines"], found["sampled"]) == (64, True)
    assert np.allclose(found["rows"], 3000)

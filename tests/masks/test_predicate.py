"""Masks that say only what they allow: spans, reach and period follow, and what is no predicate is refused."""

import operator
import random

import numpy as np
import pytest
from attrs import frozen
import maskkit
from maskkit import AttentionMask, ConfigError, Mask, random_bits, take
from maskkit.arrays import maximum, minimum
from maskkit.masks import predicate, solved
from maskkit.masks.rows import planes, reach_of, row_count, spans_of
from maskkit.registry.loader import registry

KEYS = 24
CLASSES = [cls for name in maskkit.names("mask") if issubclass(cls := registry.find(name, "mask"), Mask)]
SAMPLES = [pytest.param(cls, sample, id=f"{cls.name}-{i}") for cls in CLASSES for i, sample in enumerate(cls.samples)]


def dense_of(allows, shape):
    return np.broadcast_to(allows(*np.ogrid[tuple(map(slice, shape))]), shape)


def derived(allows, rows, keys, **options):
    """The spans as booleans, or None."""
    found = solved.spans(predicate.trace(allows, len(rows) + 1), rows, keys, **options)
    return None if found is None else found.to_bool()


@pytest.mark.parametrize(("cls", "sample"), SAMPLES)
def test_catalogue_masks_need_no_more_than_their_predicate(cls, sample):
    """Whatever is derived equals what is asked for, position by position, for rows in any order."""
    mask = cls(**sample)
    condition = predicate.trace(mask.allows, len(mask.shape))
    for plane in planes(mask):
        rows = np.arange(row_count(mask))[::-1]
        index = (*map(np.asarray, plane), rows) if len(mask.shape) > 1 else ()
        dense = np.atleast_2d(dense_of(mask.allows, mask.shape)[plane])[rows]
        outer, exact = (solved.spans(condition, index, mask.shape[-1], loose=loose) for loose in (True, False))
        assert not (dense & ~outer.to_bool()).any()
        if exact is not None or (type(mask).spans is maskkit.Mask.spans and cls.name not in ("random", "tree")):
            np.testing.assert_array_equal(np.atleast_2d(exact.to_bool()), dense)


@pytest.mark.parametrize(
    ("allows", "period"),
    [
        (lambda q, k: k <= q, 1),
        (lambda q, k: abs(q - k) % 3 == 1, 1),
        (lambda q, k: 2 * (q - k) > 3, 1),
        (lambda q, k: q // 4 == k // 4, 4),
        (lambda q, k: (q // 4 == k // 4) | (q % 6 == k % 6), 12),
        (lambda q, k: q // 4 * 4 <= k // 2 * 2, 4),
        (lambda q, k: (3 * q) % 4 == (k + 1) % 2, 4),
        (lambda q, k: q + k < 5, 0),
        (lambda q, k: k < 5, 0),
        (lambda q, k: 2 * q > k, 0),
        (lambda q, k: q == q * k, 0),
        (lambda q, k: take(np.arange(99), q - k + 50) > 0, 1),
        (lambda q, k: random_bits(1, q, k) > 0, 0),
    ],
)
def test_a_period_is_read_from_the_predicate(allows, period):
    assert predicate.period(predicate.trace(allows, 2)) == period


# -- random predicates ------------------------------------------------------------------------------------------------

TABLES = [np.arange(KEYS) // 3, np.random.default_rng(0).integers(0, 5, KEYS), np.arange(2 * KEYS)]
FLAGS = np.random.default_rng(1).random((3, KEYS)) < 0.5
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


def number(draw, axes, depth):
    """A function of the indices of these axes that gives an integer; the key mostly stands in it once."""
    kind = draw.choice(["index"] * 3 + ["+", "-", "-", "*", "//", "//", "%", "%", "abs", "take", "min", "max"])
    if depth == 0 or kind == "index":
        axis = draw.choice(axes)
        return lambda *i: i[axis]
    a, n, table = number(draw, axes, depth - 1), draw.randint(1, 9), draw.choice(TABLES)
    b = number(draw, axes if draw.random() < 0.1 else axes[:-1] or axes, depth - 1)
    return {
        "+": lambda *i: a(*i) + b(*i),
        "-": lambda *i: b(*i) - a(*i),
        "*": lambda *i: a(*i) * n,
        "//": lambda *i: a(*i) // n,
        "%": lambda *i: a(*i) % n,
        "abs": lambda *i: abs(a(*i) - b(*i)),
        "take": lambda *i: take(table, a(*i) % KEYS) if n > 5 else take(table, i[-1]),
        "min": lambda *i: minimum(a(*i), b(*i)),
        "max": lambda *i: maximum(b(*i), a(*i)),
    }[kind]


def condition(draw, axes, depth):
    """A function of the indices that gives a boolean."""
    kind = draw.choice(["compare"] * 4 + ["&", "|", "^", "~", "flags"])
    if depth == 0 or kind == "compare":
        a, b, compare = number(draw, axes, 2), number(draw, axes[:-1], 1), draw.choice(COMPARISONS)
        n = draw.choice([None, draw.randint(-3, KEYS)])
        return lambda *i: compare(a(*i), b(*i) if n is None else n)
    a, b = (condition(draw, axes, depth - 1) for _ in range(2))
    return {
        "&": lambda *i: a(*i) & b(*i),
        "|": lambda *i: a(*i) | b(*i),
        "^": lambda *i: a(*i) ^ b(*i),
        "~": lambda *i: ~a(*i),
        "flags": lambda *i: take(FLAGS, i[-2] % 3, i[-1]) & a(*i),
    }[kind]


@pytest.mark.parametrize("axes", [2, 3])
def test_random_predicates_are_solved_exactly_or_not_at_all(axes):
    draw, solved, total = random.Random(axes), 0, 1000
    shape = (*(2, 20, KEYS)[-axes:],)
    rows = tuple(np.ogrid[tuple(map(slice, shape[:-1]))])
    for _ in range(total):
        allows = condition(draw, range(axes), 2)
        dense = np.broadcast_to(allows(*np.ogrid[tuple(map(slice, shape))]), shape)
        found, outer = derived(allows, rows, KEYS), derived(allows, rows, KEYS, loose=True)
        assert not (dense & ~outer).any()
        if found is not None:
            np.testing.assert_array_equal(found, dense)
            solved += 1
        if axes == 2 and (n := predicate.period(predicate.trace(allows, 2))):
            np.testing.assert_array_equal(dense[n:, n:], dense[: max(20 - n, 0), : max(KEYS - n, 0)])
    assert solved > 0.6 * total


# -- how far it goes --------------------------------------------------------------------------------------------------


def test_what_has_too_many_intervals_is_given_up_before_they_are_made():
    """Every second key of 2**15: of one row they are given, of all rows not."""
    keys = 2**15
    every_second = predicate.trace(lambda q, k: (q - k) % 2 == 0, 2)
    assert solved.spans(every_second, (np.arange(keys),), keys) is None
    assert len(solved.spans(every_second, (np.arange(1),), keys)) == keys // 2


def test_turns_are_looked_for_only_where_the_rest_of_the_condition_lets_them_be():
    found = predicate.trace(lambda q, k: (k <= q) & (q - k < 12) & ((q - k) % 4 == 0), 2)
    assert len(solved.spans(found, (np.arange(10**5),), 10**5)) == 3


def test_a_block_layout_in_a_table_is_solved():
    layout = np.random.default_rng(0).random((4, 4)) < 0.5
    solved = derived(lambda q, k: take(layout, q // 8, k // 8), (np.arange(32),), 32)
    np.testing.assert_array_equal(solved, layout.repeat(8, 0).repeat(8, 1))


@pytest.mark.parametrize("size", [2**31, 2**55, 2**62 - 1])
def test_large_numbers_are_bounds_like_others_or_given_up(size):
    solved = derived(lambda q, k: (k <= q) & (k > q - size) & (k // size == 0), (np.arange(4),), 4)
    assert solved is None if size > 2**55 else (solved == np.tri(4, dtype=bool)).all()


def test_narrow_tables_which_wrap_around_are_not_solved():
    table = np.array([0, 200, 100], np.uint8)
    assert derived(lambda q, k: take(table, q) - take(table, k) < 101, (np.arange(3),), 3) is None


@frozen(kw_only=True)
class Checkers(AttentionMask):
    """A third party's, which says only what it allows."""

    name = "checkers"
    seq_len: int = 40

    def allows(self, q, k):
        return (k <= q) & (k // 4 % 2 == q // 4 % 2)


def test_a_mask_of_nothing_but_its_predicate_has_it_all():
    mask = Checkers()
    assert mask.period == 8
    assert mask.stats().intervals == 5
    assert mask.reach(np.array([9])).row(0) == [(0, 10)]
    np.testing.assert_array_equal(mask.allowed(), dense_of(mask.allows, (40, 40)))
    assert mask.spans(np.array([9])).row(0) == [(0, 4), (8, 10)]


@pytest.mark.parametrize(
    "mask", [Checkers(), Checkers() & Checkers(seq_len=40), ~Checkers()], ids=["one", "and", "not"]
)
def test_spans_say_which_rows_they_want(mask):
    with pytest.raises(TypeError, match=r"every axis but the last \(query\), got 0"):
        mask.spans()
    with pytest.raises(TypeError, match=r"every axis but the last \(query\), got 0"):
        mask.reach()


def test_rows_of_many_intervals_are_known_from_three_of_them(monkeypatch):
    """Of the mask and one of its combinations none is looked for, tile by tile or all at once."""
    mask = Checkers(seq_len=4096)
    assert mask.intervals == 512
    both = mask | maskkit.create("random", seq_len=4096, seed=1)
    assert both.intervals == 512
    monkeypatch.setattr(solved, "spans", lambda *_, loose: None if loose else pytest.fail("looked for spans"))
    monkeypatch.setattr(type(both.parts[1]), "intervals", 1)
    rows = np.arange(4096)
    assert spans_of(mask, (), rows) is None
    assert reach_of(both, (), rows[:32]) is None


# -- what is no predicate ---------------------------------------------------------------------------------------------

ASKS = [
    lambda q, k: q and k,
    lambda q, k: 0 < k < q,
    lambda q, k: not k < q,
    lambda q, k: k if q > 3 else q,
    lambda q, k: k in (1, 2),
    lambda q, k: k in {1, 2},
    lambda q, k: k < int(q),
    lambda q, k: sum(k == i for i in range(q)),
]


@pytest.mark.parametrize("allows", ASKS)
def test_python_that_asks_an_index_is_refused_with_its_line_and_what_to_write(allows):
    line = allows.__code__.co_firstlineno
    with pytest.raises(ConfigError, match=rf"test_predicate\.py, line {line}: .*write `&`, `\|`, `~` for `and`, `or`"):
        predicate.trace(allows, 2)


@pytest.mark.parametrize(
    "allows",
    [
        lambda q, k: np.minimum(q, 3) < k,
        lambda q, k: np.where(q < 3, True, k < q),
        lambda q, k: np.arange(9)[q] < k,
        lambda q, k: (q < k).astype(bool),
    ],
)
def test_what_symbols_cannot_keep_has_no_spans(allows):
    assert predicate.trace(allows, 2) is None


def test_random_bits_of_a_key_have_no_spans_and_those_of_a_query_do():
    assert derived(lambda q, k: random_bits(1, q, k) < 2**30, (np.arange(9),), 9) is None
    solved = derived(lambda q, k: k < random_bits(1, q) % 9, (np.arange(9),), 9)
    np.testing.assert_array_equal(solved, dense_of(lambda q, k: k < random_bits(1, q) % 9, (9, 9)))

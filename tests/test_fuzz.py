"""Random expressions over all masks, held to a brute-force oracle; every small mask to the block masks of Torch."""

import math
from functools import partial
from itertools import product
from random import Random

import numpy as np
import pytest
import torch
from attrs import field, frozen
from drawn_masks import TABLE, built, derived, every, is_attention, make, mask_classes, meets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_block_mask
import maskkit
from maskkit import AttentionMask, Mask, testing
from maskkit.masks.rows import planes, reach_of, row_count
from maskkit.registry.loader import registry

# -- expressions: a mask, and beside it the booleans that it must be ---------------------------------------------------


@frozen
class Case:
    mask: Mask
    dense: np.ndarray = field(repr=False)
    axes: tuple[str, ...]

    def cut(self, key) -> "Case":
        """A key with an entry for each axis; an integer takes the axis away."""
        kept = tuple(axis for axis, k in zip(self.axes, key, strict=True) if isinstance(k, slice))
        return Case(self.mask[key], self.dense[key], kept)


def leaf(mask: Mask) -> Case:
    """The predicate, on the dense grid."""
    grid = np.meshgrid(*map(np.arange, mask.shape), indexing="ij", sparse=True)
    return Case(mask, np.broadcast_to(mask.allows(*grid), mask.shape), mask.axes)


def foreign(like: Case, pick) -> Case:
    """A mask from somebody's array, at times with other samples and heads before queries and keys."""
    shape, axes = like.dense.shape, like.axes
    if axes[-1] == "key":
        leading = [axis for axis in ("batch", "head") if pick(3) == 0]
        axes = (*leading, "query", "key")
        shape = (*(dict(zip(like.axes, shape, strict=True)).get(axis, 1 + pick(3)) for axis in leading), *shape[-2:])
    array = np.random.default_rng(pick(2**16)).random(shape) < (0.1, 0.5, 0.9)[pick(3)]
    true = ("allowed", "blocked")[pick(2)]
    return Case(maskkit.from_array(array, true=true, axes=axes), array if true == "allowed" else ~array, axes)


def expression(classes, size: int, depth: int, pick) -> Case:
    """A random tree of operations over the classes."""
    kind = pick(14) if depth else 0
    if kind == 0:
        return leaf(make(classes[pick(len(classes))], size, pick))
    first = expression(classes, size, depth - 1, pick)
    if kind == 1:
        return Case(~first.mask, ~first.dense, first.axes)
    if kind == 2:
        return sliced(first, pick)
    if kind in (3, 4) and first.axes[-1] == "key":
        return (moved, transposed)[kind - 3](first, pick)
    second = foreign(first, pick) if kind == 5 else expression(classes, size, depth - 1, pick)
    if kind in (6, 7, 8) and first.axes[-1] == second.axes[-1] == "key":
        return (stacked, summed, in_quadrants)[kind - 6](first, second, pick)
    return combined(first, second, pick(3))


def sliced(case: Case, pick) -> Case:
    """Cut by random slices, none of them empty; samples and heads of attention masks at times by an integer."""
    key = [random_slice(length, pick) for length in case.dense.shape]
    for place, axis in enumerate(case.axes):
        if isinstance(case.mask, AttentionMask) and axis in ("batch", "head") and pick(2):
            key[place] = pick(2 * case.dense.shape[place]) - case.dense.shape[place]
    return case.cut(tuple(key))


def random_slice(length: int, pick) -> slice:
    start, step = pick(length), (1, 1, 2, 3, -1, -2)[pick(6)]
    room = length - start if step > 0 else start + 1
    stop = start + math.copysign(1 + pick(room), step)
    start = (start, start - length)[pick(2)]
    return slice(start, int(stop) if stop >= 0 else None, step)


def moved(case: Case, pick) -> Case:
    """At random positions, which run on for a while, start again, and are nowhere at times; of a batch or not."""
    samples = dict(zip(case.axes, case.dense.shape, strict=True)).get("batch", 1 + pick(2))
    given, dense, axes = {}, case.dense, case.axes
    for axis in ("query", "key"):
        if not pick(3):
            continue
        length, count = dense.shape[axes.index(axis)], 1 + pick(6)
        rows = np.array([walk(length, count, pick) for _ in range(samples)])
        given[axis] = positions = rows if pick(2) else rows[0]
        if positions.ndim == 2 and "batch" not in axes:
            dense, axes = np.broadcast_to(dense, (samples, *dense.shape)), ("batch", *axes)
        place = axes.index(axis)
        index = positions.reshape(
            *(positions.shape[:-1]), *(1,) * (place - positions.ndim + 1), count, *(1,) * (dense.ndim - place - 1)
        )
        there = np.take_along_axis(
            dense,
            np.broadcast_to(np.maximum(index, 0), (*dense.shape[:place], count, *dense.shape[place + 1 :])),
            place,
        )
        dense = there & (index >= 0)
    return Case(case.mask.at(**given), dense, axes)


def walk(length: int, count: int, pick) -> list:
    found = [pick(length + 1) - 1]
    while len(found) < count:
        goes_on = pick(4) and 0 <= found[-1] < length - 1
        found.append(found[-1] + 1 if goes_on else pick(length + 1) - 1)
    return found


def transposed(case: Case, pick) -> Case:
    return Case(case.mask.T, case.dense.swapaxes(-1, -2), case.axes)


def together(*cases: Case) -> tuple[tuple[str, ...], list]:
    """The axes that all have, and their booleans with as many axes, 1 where one has none: the rule, said again."""
    axes = tuple(a for a in ("batch", "head", "query", "key", "height", "width") if any(a in c.axes for c in cases))
    return axes, [case.dense[tuple(slice(None) if a in case.axes else None for a in axes)] for case in cases]


def fitted(a: Case, b: Case, lengths: bool = True) -> tuple[Case, Case]:
    """Both cut to the sizes that both have along the axes of one name; of size 1 along batch and head is left so."""
    cut = []
    for one, other in ((a, b), (b, a)):
        there = dict(zip(other.axes, other.dense.shape, strict=True))
        wanted = {axis for axis in one.axes if axis in there and (lengths or axis in ("batch", "head"))}
        key = tuple(
            slice(min(n, there[axis]))
            if axis in wanted and (axis not in ("batch", "head") or there[axis] > 1)
            else slice(None)
            for axis, n in zip(one.axes, one.dense.shape, strict=True)
        )
        cut.append(one.cut(key))
    return cut[0], cut[1]


def combined(a: Case, b: Case, operation: int) -> Case:
    """Under `&`, `|` or `^`."""
    a, b = fitted(a, b)
    axes, (x, y) = together(a, b)
    if operation == 0:
        return Case(a.mask & b.mask, x & y, axes)
    if operation == 1:
        return Case(a.mask | b.mask, x | y, axes)
    return Case(a.mask ^ b.mask, x ^ y, axes)


def stacked(a: Case, b: Case, pick) -> Case:
    """Both, in some order and number, along an axis that neither has."""
    free = [axis for axis in ("batch", "head") if axis not in a.axes + b.axes]
    if not free:
        return combined(a, b, pick(3))
    axis = free[pick(len(free))]
    a, b = fitted(a, b)
    axes, planes = together(a, b)
    order = [pick(2) for _ in range(1 + pick(3))]
    whole = np.broadcast_shapes(*(planes[i].shape for i in order))
    dense = np.stack([np.broadcast_to(planes[i], whole) for i in order])
    mask = maskkit.stack([(a, b)[i].mask for i in order], axis=axis)
    kept = tuple(x for x in axes if any(x in (a, b)[i].axes for i in order))
    dense = dense.squeeze(tuple(1 + i for i, x in enumerate(axes) if x not in kept))
    return Case(
        mask,
        dense if axis == "batch" or "batch" not in kept else dense.swapaxes(0, 1),
        tuple(x for x in ("batch", "head", "query", "key") if x in (*kept, axis)),
    )


def summed(a: Case, b: Case, pick) -> Case:
    a, b = fitted(a, b, lengths=False)
    return laid([[a, None], [None, b]], maskkit.direct_sum([a.mask, b.mask]))


def in_quadrants(a: Case, b: Case, pick) -> Case:
    """Three of a grid of four, or two of one row or column."""
    a, b = fitted(a, b)
    cells = ([[a, None], [b, a]], [[a, b]], [[None, a], [b, None]], [[b], [a]])[pick(4)]
    return laid(cells, maskkit.grid([[cell and cell.mask for cell in row] for row in cells]))


def laid(cells, mask) -> Case:
    """Cells beside and under each other, False where there is none."""
    found = [cell for row in cells for cell in row if cell is not None]
    axes, planes = together(*found)
    leading = np.broadcast_shapes(*(plane.shape[:-2] for plane in planes))
    full = iter([np.broadcast_to(plane, (*leading, *plane.shape[-2:])) for plane in planes])
    heights = [next(cell.dense.shape[-2] for cell in row if cell) for row in cells]
    widths = [next(cell.dense.shape[-1] for cell in column if cell) for column in zip(*cells, strict=True)]
    rows = [
        np.concatenate(
            [next(full) if cell else np.zeros((*leading, h, w), bool) for cell, w in zip(row, widths, strict=True)], -1
        )
        for row, h in zip(cells, heights, strict=True)
    ]
    return Case(mask, np.concatenate(rows, -2), axes)


@st.composite
def cases(draw, sizes=range(1, 25), attention=False) -> Case:
    def pick(count):
        return draw(st.integers(0, count - 1))

    classes = [cls for cls in mask_classes() if is_attention(cls) or not attention]
    first = classes[pick(len(classes))]
    family = [cls for cls in classes if meets(cls) == meets(first)]
    return expression(family, sizes[pick(len(sizes))], pick(4), pick)


def fuzz(examples: int):
    """So many examples, the same ones in every run."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=slow)


# -- what holds for every expression -----------------------------------------------------------------------------------


@fuzz(2000)
@given(case=cases(), block_size=st.sampled_from([1, 2, 3, 4, 7, 128]))
def test_every_expression_is_what_its_parts_say(case, block_size):
    mask, dense = case.mask, case.dense
    assert mask.shape == dense.shape
    np.testing.assert_array_equal(mask.allowed(), dense)
    np.testing.assert_array_equal(mask.blocked(), ~dense)
    testing.check_spans(mask, dense)
    check_cover(mask, dense)
    stats = mask.stats(block_size)
    assert (stats.allowed, stats.total) == (dense.sum(), dense.size)
    assert stats.blocked_rows == (~dense.any(axis=-1)).sum()
    if isinstance(mask, AttentionMask):
        blocks = dense_blocks(dense, block_size)
        np.testing.assert_array_equal(mask.blocks(block_size).dense(), blocks)
        assert list(stats.blocks.values()) == np.bincount(blocks.ravel(), minlength=3).tolist()
    assert maskkit.from_dict(maskkit.to_dict(mask)) == mask


@fuzz(200)
@given(case=cases(), data=st.data())
def test_slices_of_every_expression(case, data):
    cut = sliced(case, lambda count: data.draw(st.integers(0, count - 1)))
    np.testing.assert_array_equal(cut.mask.allowed(), cut.dense)
    testing.check_spans(cut.mask, cut.dense)


def check_cover(mask, dense):
    """What lies outside the reach is blocked."""
    rows = np.arange(row_count(mask))
    for plane in planes(mask):
        reach = reach_of(mask, plane, rows)
        if reach is not None:
            covered = reach.contains(np.arange(mask.shape[-1])[:, None]).T
            assert not (np.atleast_2d(dense[plane]) & ~covered).any(), f"{mask!r}: cover() leaves out allowed pairs"


def dense_blocks(dense, size):
    """0 where a block allows nothing, 2 where it allows all and lies within the mask, else 1."""
    rows, keys = dense.shape[-2:]
    tops, lefts = (range(0, length, size) for length in (rows, keys))
    tiles = [[dense[..., y : y + size, x : x + size] for x in lefts] for y in tops]
    kinds = [[tile.any((-2, -1)).astype(int) + (tile.sum((-2, -1)) == size**2) for tile in row] for row in tiles]
    return np.moveaxis(np.array(kinds), (0, 1), (-2, -1))


@fuzz(300)
@given(case=cases(sizes=(1, 6)))
def test_torch_gives_what_numpy_gives(case):
    """Its arrays, and the predicate on its own indices."""
    testing.check_backend(case.mask, case.dense, "torch")


@fuzz(200)
@given(case=cases(sizes=(6,)))
def test_keras_gives_what_numpy_gives(case):
    testing.check_backend(case.mask, case.dense, "keras")


@fuzz(60)
@given(case=cases(sizes=(6,)))
def test_jax_gives_what_numpy_gives(case):
    """Fewer, for JAX compiles every operation for every shape."""
    testing.check_backend(case.mask, case.dense, "jax")


@frozen(kw_only=True)
class Newcomer(AttentionMask):
    """A mask that no table here knows, one of whose parameters could be anything.

    Attributes:
        keys: keys that all may see.
    """

    name = "newcomer"
    samples = ({"keys": (0, 2, 3)}, {"keys": (1,)})
    keys: tuple[int, ...]

    shape = (5, 5)

    def allows(self, q, k):
        found = k + q < 0
        for key in self.keys:
            found = found | (k == key)
        return found


@pytest.mark.parametrize("name", TABLE)
def test_the_table_gives_valid_parameters(name):
    """So that no mask of this repository falls back to its samples unnoticed."""
    cls = registry.find(name, "mask")
    for size, seed in product((1, 2, 7, 24), range(10)):
        assert derived(cls, size, Random(seed).randrange).shape[-1] == size


def test_a_new_plugin_is_drawn_from_its_samples():
    """It needs no entry in the table."""
    assert derived(Newcomer, 5, Random(0).randrange) is None
    with maskkit.register(Newcomer):
        assert Newcomer in mask_classes()
        drawn = {make(Newcomer, 9, Random(seed).randrange) for seed in range(20)}
    assert drawn == {Newcomer(**sample) for sample in Newcomer.samples}


def test_a_mask_whose_spans_are_wrong_is_found_out():
    @frozen(kw_only=True)
    class Wrong(AttentionMask):
        name = "wrong"
        samples = ({"seq_len": 4},)
        seq_len: int = field(validator=maskkit.positive)

        def allows(self, q, k):
            return k <= q

        def spans(self, q):
            return maskkit.Spans.interval(0, q)

    @fuzz(500)
    @given(case=cases())
    def hold(case):
        testing.check_spans(case.mask, case.dense)

    with maskkit.register(Wrong), pytest.raises(AssertionError, match=r"Wrong\(.*spans\(\) differs from allows\(\)"):
        hold()


# -- FlexAttention -----------------------------------------------------------------------------------------------------

_ARRAYS = [
    f"{full}{axis}_{what}" for full in ("", "full_") for axis in ("kv", "q") for what in ("num_blocks", "indices")
]


def torch_blocks(dense, block_size):
    """What Torch makes of the booleans (batch, head, q_len, kv_len)."""
    table = torch.from_numpy(np.array(dense))
    return create_block_mask(lambda b, h, q, kv: table[b, h, q, kv], *table.shape, device="cpu", BLOCK_SIZE=block_size)


def with_heads(case):
    """The booleans with all four axes."""
    return case.dense[tuple(slice(None) if axis in case.axes else None for axis in ("batch", "head", "query", "key"))]


def assert_flex(case, block_size, expected, samples):
    """`to_flex` equals the samples `expected[samples]` in all eight arrays, and its mask_mod is the mask."""
    mask, dense = case.mask, with_heads(case)
    actual = mask.to_flex(block_size)
    assert actual.BLOCK_SIZE == expected.BLOCK_SIZE
    assert actual.seq_lengths == expected.seq_lengths
    for name in _ARRAYS:
        theirs, ours = getattr(expected, name)[samples], getattr(actual, name)
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs), f"{mask!r}.to_flex({block_size}).{name}"
    b, h, q, k = (torch.arange(n) for n in dense.shape)
    allowed = actual.mask_mod(b[:, None, None, None], h[:, None, None], q[:, None], k)
    np.testing.assert_array_equal(np.broadcast_to(allowed, dense.shape), dense)


@fuzz(300)
@given(case=cases(attention=True), block_size=st.sampled_from([1, 2, 3, 4, 5, 8, 16, 128]))
def test_to_flex_of_every_attention_expression_is_what_torch_makes(case, block_size):
    assert_flex(case, block_size, torch_blocks(with_heads(case), block_size), slice(None))


@pytest.mark.parametrize("size", range(1, 9))
def test_to_flex_of_every_small_mask_is_what_torch_makes(size):
    """All parameters of every mask where they are few; Torch makes all masks of a size at once, as one batch."""
    some = [mask for cls in mask_classes() if is_attention(cls) for mask in every(partial(derived, cls, size), most=10)]
    found = [leaf(mask) for mask in some if mask is not None]
    batches = [case.dense.reshape(-1, 1, size, size) for case in found]
    ends = np.cumsum([len(batch) for batch in batches]).tolist()
    for block_size in range(1, 5):
        expected = torch_blocks(np.concatenate(batches), block_size)
        for case, start, end in zip(found, [0, *ends], ends, strict=False):
            assert_flex(case, block_size, expected, slice(start, end))


@pytest.mark.parametrize("name", [cls.name for cls in mask_classes() if is_attention(cls)])
def test_to_flex_of_long_masks_is_what_torch_makes(name):
    cls = registry.find(name, "mask")
    mask = derived(cls, 2048, Random(name).randrange)
    assert mask is not None or cls.name not in TABLE
    case = leaf(built(cls, cls.samples[0]) if mask is None else mask)
    assert_flex(case, 128, torch_blocks(with_heads(case), 128), slice(None))

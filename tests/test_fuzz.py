"""Random expressions over all installed masks, held to a brute-force oracle; small masks exhaustively to Torch's own.

A mask's parameters come from its class: its fields and their validators say what is allowed. `_TABLE` has what they
cannot say (arrays, grids); a plugin that needs an entry there and has none is drawn from its own samples.
"""

import ast
import math
from functools import cache
from itertools import islice
from random import Random

import attrs
import jax
import maskkit
import numpy as np
import pytest
import torch
from attrs import field, frozen
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from maskkit import AttentionMask, ConfigError, Mask, MaskGroup, testing
from maskkit.configs import build, parameters
from maskkit.evaluate import cover_of, planes, row_count
from maskkit.registry import registry
from torch.nn.attention.flex_attention import create_block_mask

# -- one mask: `pick(n)` chooses a number below n, whoever chooses -----------------------------------------------------


def mask_classes() -> list:
    return [registry.find(name, "mask") for name in maskkit.names("mask")]


def make(cls, size: int, pick) -> Mask:
    """A mask of the class, of the common size where its parameters can be derived, else (and at times) a sample."""
    mask = None if pick(16) == 15 else derived(cls, size, pick)
    return built(cls, cls.samples[pick(len(cls.samples))], pick) if mask is None else mask


def built(cls, params, pick=lambda count: 0) -> Mask:
    masks = build(cls, params).build()
    return masks[pick(len(masks))] if issubclass(cls, MaskGroup) else masks


def derived(cls, size: int, pick) -> Mask | None:
    """A mask of that many keys; None where its parameters cannot be derived."""
    params = {length: size} if (length := length_field(cls)) else {}
    params |= _TABLE[cls.name](size, pick) if cls.name in _TABLE else {}
    for name, parameter in parameters(cls).items():
        if name in params:
            continue
        options = candidates(cls, name, size)
        if options:
            params[name] = options[pick(len(options))]
        elif parameter.required:
            return None
    try:
        mask = built(cls, params, pick)
    except ConfigError:
        return None  # its fields depend on each other
    return mask if mask.shape[-1] == size else None


@cache
def length_field(cls) -> str | None:
    """The integer parameter that is the length of the last axis in every sample."""
    shapes = [built(cls, sample).shape for sample in cls.samples]
    lengths = [
        name
        for name, parameter in parameters(cls).items()
        if parameter.type is int
        and all(sample.get(name) == shape[-1] for sample, shape in zip(cls.samples, shapes, strict=True))
    ]
    return lengths[0] if lengths else None


@cache
def candidates(cls, name: str, size: int) -> list:
    """Values of a parameter that its validator lets pass; none where its type does not say what they look like."""
    parameter = parameters(cls)[name]
    if parameter.type is str:
        head, _, words = getattr(parameter.attribute.validator, "rule", "").partition("must be one of ")
        return list(ast.literal_eval(f"({words},)")) if words and not head else []
    values = {bool: (False, True), int: (*range(-1, size + 2), 10**6), float: (-0.5, 0.0, 0.1, 0.3, 0.5, 0.9, 1.0, 7.5)}
    return [value for value in values.get(parameter.type, ()) if passes(cls, parameter, value)]


def passes(cls, parameter, value) -> bool:
    try:
        parameter.validate(cls, value)
    except ConfigError:
        return False
    return True


def _flags(count, pick):
    return [bool(pick(2)) for _ in range(count)]


def _grid(size, pick):
    divisors = [d for d in range(1, size + 1) if size % d == 0]
    width = divisors[pick(len(divisors))]
    return {"height": size // width, "width": width}


def _neighborhood(size, pick):
    grid = _grid(size, pick)
    return grid | {"kernel_size": 1 + 2 * pick((min(grid.values()) + 1) // 2)}


def _document(size, pick):
    form = pick(3)
    if form == 0:
        ends = [end for end in range(1, size) if pick(3) == 0]
        return {"lengths": [b - a for a, b in zip([0, *ends], [*ends, size], strict=True)]}
    ids = [[pick(3) - 1 for _ in range(size)] for _ in range(1 + pick(2))]
    return {"ids": ids if form == 2 else ids[0]}


def _query_interaction(size, pick):
    form = ("none", "self", "cross", "hierarchical")[pick(4)]
    levels = [pick(4) for _ in range(size)] if form == "hierarchical" else None
    return {"interaction_type": form, "hierarchy_levels": levels}


def _spatial(size, pick):
    height = 1 + pick(size)
    return {"height": height, "attention_regions": [_flags(size, pick) for _ in range(height)] if pick(8) else None}


def _instance_separation(size, pick):
    batch, queries, height = (1 + pick(n) for n in (2, 3, 3))
    numbers = np.random.default_rng(pick(2**16)).integers(0, 6, (batch, queries, height, size)) / 5
    return {"mask_predictions": numbers}


_TABLE = {
    "axial": _grid,
    "document": _document,
    "instance_separation": _instance_separation,
    "key_padding": lambda size, pick: {"lengths": [pick(size + 1) for _ in range(1 + pick(3))]},
    "longformer": lambda size, pick: {"global_tokens": [i for i in range(size) if pick(4) == 0]},
    "neighborhood": _neighborhood,
    "padding": lambda size, pick: {"padding_mask": [_flags(size, pick) for _ in range(1 + pick(3))]},
    "query_interaction": _query_interaction,
    "spatial": _spatial,
    "tree": lambda size, pick: {"parents": [pick(i + 1) - 1 for i in range(size)]},
    "valid_query": lambda size, pick: {"valid_queries": (None, pick(size + 1), _flags(size, pick))[pick(3)]},
}


# -- expressions: a mask, and beside it the booleans that it must be ---------------------------------------------------


@frozen
class Case:
    mask: Mask
    dense: np.ndarray = field(repr=False)

    def cut(self, key) -> "Case":
        return Case(self.mask[key], self.dense[key])


def leaf(mask: Mask) -> Case:
    """The predicate, on the dense grid."""
    grid = np.meshgrid(*map(np.arange, mask.shape), indexing="ij", sparse=True)
    return Case(mask, np.broadcast_to(mask.allows(*grid), mask.shape))


def foreign(shape, pick) -> Case:
    """A mask from somebody's array."""
    array = np.random.default_rng(pick(2**16)).random(shape) < (0.1, 0.5, 0.9)[pick(3)]
    true = ("allowed", "blocked")[pick(2)]
    return Case(maskkit.from_array(array, true=true), array if true == "allowed" else ~array)


def rank(cls) -> int:
    """Masks of equal rank meet; attention masks do with a batch or without."""
    mask = built(cls, cls.samples[0])
    return 2 if isinstance(mask, AttentionMask) else len(mask.shape)


def expression(classes, size: int, depth: int, pick) -> Case:
    """A random tree of `& | ^ ~` and slices over the classes."""
    kind = pick(8) if depth else 0
    if kind == 0:
        return leaf(make(classes[pick(len(classes))], size, pick))
    first = expression(classes, size, depth - 1, pick)
    if kind == 1:
        return Case(~first.mask, ~first.dense)
    if kind == 2:
        return sliced(first, pick)
    second = foreign(first.dense.shape, pick) if kind == 3 else expression(classes, size, depth - 1, pick)
    return combined(first, second, pick(3))


def sliced(case: Case, pick) -> Case:
    """Cut by random slices, none of them empty; a batch of attention masks at times by an integer."""
    key = tuple(random_slice(length, pick) for length in case.dense.shape)
    if isinstance(case.mask, AttentionMask) and len(key) == 3 and pick(2):
        key = (pick(2 * len(case.dense)) - len(case.dense), *key[1:])
    return case.cut(key)


def random_slice(length: int, pick) -> slice:
    start, step = pick(length), (1, 1, 2, 3, -1, -2)[pick(6)]
    room = length - start if step > 0 else start + 1
    stop = start + math.copysign(1 + pick(room), step)
    start = (start, start - length)[pick(2)]
    return slice(start, int(stop) if stop >= 0 else None, step)


def combined(a: Case, b: Case, operation: int) -> Case:
    """Under `&`, `|` or `^`, cut to the lengths that both have; a batch meets the batch of 1, or one mask for all."""
    a, b = (_without_batch(x, y) for x, y in ((a, b), (b, a)))
    most = [min(lengths) for lengths in zip(a.dense.shape[::-1], b.dense.shape[::-1], strict=False)][::-1]
    if len(a.dense.shape) == 3 == len(b.dense.shape) and 1 in most[:1]:
        most = most[1:]  # a batch of 1 serves all
    key = (..., *(slice(length) for length in most))
    a, b = a.cut(key), b.cut(key)
    if operation == 0:
        return Case(a.mask & b.mask, a.dense & b.dense)
    if operation == 1:
        return Case(a.mask | b.mask, a.dense | b.dense)
    return Case(a.mask ^ b.mask, a.dense ^ b.dense)


def _without_batch(case: Case, other: Case) -> Case:
    """Only attention masks are batched; beside a segmentation mask one of the batch stays."""
    both = all(isinstance(x.mask, AttentionMask) for x in (case, other))
    return case if both or len(case.dense.shape) != 3 else case.cut(-1)


@st.composite
def cases(draw, sizes=range(1, 25), attention=False) -> Case:
    def pick(count):
        return draw(st.integers(0, count - 1))

    classes = mask_classes()
    first = classes[pick(len(classes))]
    family = [cls for cls in classes if rank(cls) == (2 if attention else rank(first))]
    if attention:
        family = [cls for cls in family if is_attention(cls)]
    return expression(family, sizes[pick(len(sizes))], pick(4), pick)


def is_attention(cls) -> bool:
    return isinstance(built(cls, cls.samples[0]), AttentionMask)


def fuzz(examples: int):
    """So many examples, the same ones in every run."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=slow)


# -- what holds for every expression -----------------------------------------------------------------------------------


@fuzz(2000)
@given(case=cases())
def test_every_expression_is_what_its_parts_say(case):
    mask, dense = case.mask, case.dense
    event(type(mask).__name__)
    assert mask.shape == dense.shape
    np.testing.assert_array_equal(mask.allowed(), dense)
    np.testing.assert_array_equal(mask.blocked(), ~dense)
    testing.check_spans(mask, dense)
    check_cover(mask, dense)
    testing.check_stats(mask, dense)
    if isinstance(mask, AttentionMask):
        testing.check_blocks(mask, dense)
    saved = maskkit.to_dict(mask)
    assert maskkit.from_dict(saved) == mask
    np.testing.assert_array_equal(maskkit.from_dict(saved), dense)


@fuzz(500)
@given(case=cases(), data=st.data())
def test_slices_of_every_expression(case, data):
    cut = sliced(case, lambda count: data.draw(st.integers(0, count - 1)))
    np.testing.assert_array_equal(cut.mask.allowed(), cut.dense)
    testing.check_spans(cut.mask, cut.dense)


def check_cover(mask, dense):
    """What lies outside the cover is blocked."""
    rows = np.arange(row_count(mask))
    for plane in planes(mask):
        cover = cover_of(mask, plane, rows)
        if cover is not None:
            covered = cover.contains(np.arange(mask.shape[-1])[:, None]).T
            assert not (np.atleast_2d(dense[plane]) & ~covered).any(), f"{mask!r}: cover() leaves out allowed pairs"


@pytest.mark.parametrize("backend", testing.installed_backends())
@fuzz(200)
@given(case=cases(sizes=(1, 6)))
def test_every_backend_gives_what_numpy_gives(backend, case):
    """Its arrays, and the predicate on its own indices."""
    testing.check_backend(case.mask, case.dense, backend)


# -- FlexAttention -----------------------------------------------------------------------------------------------------

_ARRAYS = [
    f"{full}{axis}_{what}" for full in ("", "full_") for axis in ("kv", "q") for what in ("num_blocks", "indices")
]


def torch_blocks(dense, block_size):
    """What Torch makes of the booleans (batch, q_len, kv_len)."""
    table = torch.tensor(dense)
    return create_block_mask(
        lambda b, h, q, kv: table[b, q, kv], len(table), None, *table.shape[1:], device="cpu", BLOCK_SIZE=block_size
    )


def assert_flex(mask, dense, block_size, expected, samples):
    """`to_flex` equals the samples `expected[samples]` in all eight arrays, and its mask_mod is the mask."""
    actual = mask.to_flex(block_size)
    assert actual.BLOCK_SIZE == expected.BLOCK_SIZE
    assert actual.seq_lengths == expected.seq_lengths
    for name in _ARRAYS:
        theirs, ours = getattr(expected, name)[samples], getattr(actual, name)
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs), f"{mask!r}.to_flex({block_size}).{name}"
    b, q, k = (torch.arange(n) for n in (1, 1, 1, *dense.shape)[-3:])
    allowed = actual.mask_mod(b[:, None, None], torch.tensor(0), q[:, None], k)
    np.testing.assert_array_equal(np.broadcast_to(allowed, (len(b), len(q), len(k))).reshape(dense.shape), dense)


@fuzz(300)
@given(case=cases(attention=True), block_size=st.sampled_from([1, 2, 3, 4, 5, 8, 16, 128]))
def test_to_flex_of_every_attention_expression_is_what_torch_makes(case, block_size):
    batched = case.dense.reshape(-1, *case.dense.shape[-2:])
    assert_flex(case.mask, case.dense, block_size, torch_blocks(batched, block_size), slice(None))


def every(choose, most: int) -> list:
    """All that `choose(pick)` can give; where that is more than `most`, so many at random."""
    found = list(islice(_every(choose), most + 1))
    return found if len(found) <= most else [choose(Random(seed).randrange) for seed in range(most)]


def _every(choose):
    path = []
    while True:
        trail = []

        def pick(count):
            trail.append((path[len(trail)] if len(trail) < len(path) else 0, count))  # noqa: B023
            return trail[-1][0]  # noqa: B023

        yield choose(pick)
        while trail and trail[-1][0] + 1 == trail[-1][1]:
            trail.pop()
        if not trail:
            return
        path = [*(choice for choice, _ in trail[:-1]), trail[-1][0] + 1]


def attention_classes():
    return [cls for cls in mask_classes() if isinstance(built(cls, cls.samples[0]), AttentionMask)]


@pytest.mark.parametrize("size", range(1, 9))
def test_to_flex_of_every_small_mask_is_what_torch_makes(size):
    """All parameters of all masks, as far as they are few; Torch makes all masks of a size at once, as one batch."""
    cases = [
        leaf(mask)
        for cls in attention_classes()
        for mask in every(lambda pick: derived(cls, size, pick), 200)
        if mask is not None
    ]
    print(size, len(cases))
    batches = [case.dense.reshape(-1, size, size) for case in cases]
    ends = np.cumsum([len(batch) for batch in batches]).tolist()
    for block_size in range(1, 5):
        expected = torch_blocks(np.concatenate(batches), block_size)
        for case, start, end in zip(cases, [0, *ends], ends, strict=False):
            assert_flex(case.mask, case.dense, block_size, expected, slice(start, end))

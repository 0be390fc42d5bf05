"""Masks of every installed class, drawn by whoever chooses: `pick(n)` gives a number below n.

A mask's parameters come from its class: its fields and their validators say what is allowed. `TABLE` has what they
cannot say (arrays, grids); a plugin that needs an entry there and has none is drawn from its own samples.
"""

import ast
from functools import cache
from itertools import islice
from random import Random

import numpy as np
import maskkit
from maskkit import AttentionMask, ConfigError, Mask, MaskGroup
from maskkit.configs.fields import build, parameters
from maskkit.registry.loader import registry


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
    params |= TABLE[cls.name](size, pick) if cls.name in TABLE else {}
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
    values = {
        bool: (False, True),
        int: (*range(-1, size + 2), 2**31 - 1),
        float: (-0.5, 0.0, 0.1, 0.3, 0.5, 0.9, 1.0, 7.5),
    }
    return [value for value in values.get(parameter.type, ()) if passes(cls, parameter, value)]


def passes(cls, parameter, value) -> bool:
    try:
        parameter.validate(cls, value)
    except ConfigError:
        return False
    return True


@cache
def meets(cls) -> tuple[str, ...]:
    """Masks of the same things meet; with a batch and heads or without."""
    return tuple(axis for axis in built(cls, cls.samples[0]).axes if axis not in ("batch", "head"))


@cache
def is_attention(cls) -> bool:
    return isinstance(built(cls, cls.samples[0]), AttentionMask)


def every(make_one, most: int) -> list:
    """All that `make_one(pick)` can give; where that is more than `most`, so many at random."""
    found = list(islice(_every(make_one), most + 1))
    return found if len(found) <= most else [make_one(Random(seed).randrange) for seed in range(most)]


def _every(make_one):
    path = []
    while True:
        trail = []

        def pick(count):
            trail.append((path[len(trail)] if len(trail) < len(path) else 0, count))  # noqa: B023
            return trail[-1][0]  # noqa: B023

        yield make_one(pick)
        while trail and trail[-1][0] + 1 == trail[-1][1]:
            trail.pop()
        if not trail:
            return
        path = [*(choice for choice, _ in trail[:-1]), trail[-1][0] + 1]


# -- what fields cannot say -------------------------------------------------------------------------------------------


def _flags(count, pick):
    return [bool(pick(2)) for _ in range(count)]


def _grid(size, pick):
    divisors = [d for d in range(1, size + 1) if size % d == 0]
    width = divisors[pick(len(divisors))]
    return {"height": size // width, "width": width}


def _neighborhood(size, pick):
    grid = _grid(size, pick)
    kernel = 1 + pick(min(grid.values()))
    stride = 1 + pick(kernel)
    shift = pick(kernel) if stride == kernel and pick(2) else None
    dilation = 1 + pick(min(grid.values()) // kernel)
    form = {"grid": list(grid.values())} if pick(2) else grid
    causal = [bool(pick(2)), bool(pick(2))]
    return form | dict(kernel_size=kernel, stride=stride, dilation=dilation, causal=causal, shift=shift)


def _real(size, pick):
    """Which tokens of a batch are real: by lengths, or by flags."""
    batch = range(1 + pick(3))
    if pick(2):
        return {"lengths": [pick(size + 1) for _ in batch], "seq_len": size}
    return {"valid": [[int(flag) for flag in _flags(size, pick)] for _ in batch]}


def _padding(size, pick):
    flags = [_flags(size, pick) for _ in range(1 + pick(3))]
    return {("padding_mask", "valid")[pick(2)]: flags}


def _longformer(size, pick):
    tokens = [[i for i in range(size) if pick(4) == 0] for _ in range(1 + pick(3))]
    return {"global_tokens": (tokens[0], tokens, [_flags(size, pick) for _ in tokens])[pick(3)]}


def _prefix_lm(size, pick):
    lengths = [pick(size + 2) for _ in range(1 + pick(3))]
    return {"prefix_len": (lengths[0], lengths)[pick(2)]}


def _prefix_tree(size, pick):
    ends = [end for end in range(1, size) if pick(3) == 0]
    parents, path = [], []
    for segment in range(len(ends) + 1):
        path = path[: pick(len(path) + 1)]
        parents.append(path[-1] if path else -1)
        path.append(segment)
    return {"lengths": [b - a for a, b in zip([0, *ends], [*ends, size], strict=True)], "parents": parents}


def _document(size, pick):
    form = pick(3)
    if form == 0:
        ends = [end for end in range(1, size) if pick(3) == 0]
        return {"lengths": [b - a for a, b in zip([0, *ends], [*ends, size], strict=True)]}
    ids = [[pick(3) - 1 for _ in range(size)] for _ in range(1 + pick(2))]
    if pick(2):
        return {"ids": ids if form == 2 else ids[0]}
    queries = [[pick(3) - 1 for _ in range(size)]] * len(ids)
    return {"ids": queries, "key_ids": ids} if form == 2 else {"ids": queries[0], "key_ids": ids[0]}


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


TABLE = {
    "axial": _grid,
    "document": _document,
    "instance_separation": _instance_separation,
    "key_padding": _real,
    "longformer": _longformer,
    "neighborhood": _neighborhood,
    "padding": _padding,
    "prefix_lm": _prefix_lm,
    "prefix_tree": _prefix_tree,
    "query_interaction": _query_interaction,
    "query_padding": _real,
    "spatial": _spatial,
    "tree": lambda size, pick: {"parents": [pick(i + 1) - 1 for i in range(size)]},
    "valid_query": lambda size, pick: {"valid_queries": (None, pick(size + 1), _flags(size, pick))[pick(3)]},
}

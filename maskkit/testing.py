"""The conformance kit: what every mask plugin promises, as checks that its author runs.

    from maskkit.testing import check_plugin

    def test_contract():
        check_plugin(Checkerboard)

`check_plugin` takes a class through everything below; `check_mask` takes one mask value. Both raise AssertionError with
the mask and what is wrong with it. What needs a library that is not installed is left out: `check_plugin` and its
siblings return a line for each such thing, and log it as a warning.
"""

from __future__ import annotations

import copy
import itertools
import json
import logging
import pickle
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from maskkit.arrays.installed import absent_backends
from maskkit.arrays.installed import choose_keras_backend as choose_keras_backend
from maskkit.arrays.libraries import fetched, host, is_array
from maskkit.configs.describe import describe
from maskkit.configs.fields import build
from maskkit.configs.reading import from_dict
from maskkit.configs.saving import to_dict
from maskkit.errors import ConfigError
from maskkit.kernels.conformance import check_attention
from maskkit.masks.axes import is_attention
from maskkit.masks.dense import on_grid
from maskkit.masks.exports.conformance import Meaning, check_export
from maskkit.masks.mask import AttentionMask, Mask, MaskGroup
from maskkit.masks.predicate import trace
from maskkit.masks.rows import planes, reach_of, row_count, spans_of
from maskkit.registry.contract import contract_problem
from maskkit.registry.extensions import backend as find_backend
from maskkit.registry.hookspecs import Exporter
from maskkit.registry.item import KINDS, Item, Kernel
from maskkit.registry.loader import registry
from maskkit.validators import is_integer

HEAVY = ("jax", "keras", "matplotlib", "tensorflow", "torch", "transformers")
"""What the entry module of a plugin must not import."""

log = logging.getLogger("maskkit.testing")

_MANY_CELLS = 50_000
"""Masks up to this size are compared cell by cell."""


def check_plugin(cls: type[Item], backends: Iterable[str] | None = None) -> list[str]:
    """Hold a mask class to its contract: its form, its samples, its parameters, its documentation, its import.

    Gives what was not tried, and why: without `backends`, those that are not installed.
    """
    check_class(cls, "mask")
    for sample in cls.samples:
        config = _run(f"{cls.__name__} with the sample {dict(sample)}", build, cls, sample)
        built = config.build()
        for mask in built if issubclass(cls, MaskGroup) else (built,):
            check_mask(mask, backends)
        _run(config, check_round_trip, config)
    check_parameters(cls)
    check_light_import(cls.__module__)
    absent = absent_backends() if backends is None else {}
    return [left_out(f"backend {name}: {why}") for name, why in absent.items()]


def check_mask(mask: Mask, backends: Iterable[str] | None = None) -> None:
    """Hold one mask to its contract: against its predicate, on every backend, in the algebra, cut, saved and drawn."""
    _run(mask, check_rule, mask)
    _run(mask, check_hash, mask)
    dense = _run(mask, brute_force, mask)
    for check in (check_spans, check_period, check_arrays):
        _run(mask, check, mask, dense)
    for name in installed_backends() if backends is None else backends:
        _run(mask, check_backend, mask, dense, name)
        _run(mask, check_array_fields, mask, dense, name)
    for check in (check_algebra, check_slices, check_stats):
        _run(mask, check, mask, dense)
    if isinstance(mask, AttentionMask):
        _run(mask, check_blocks, mask, dense)
    for alone in (check_value, check_round_trip, check_pictures):
        _run(mask, alone, mask)


def check_kernel(cls: type[Kernel], library: str | None = None, every: int = 16, device: str = "cpu") -> list[str]:
    """Hold a kernel class to its contract: its form, its parameters, its import, and what it computes.

    Gives what was not tried, and why: what it computes, where its library is not installed.

    Args:
        cls: the class, with every one of its samples.
        library: whose arrays it gets; None is the one that it names.
        every: of the 65,536 masks of 4 x 4, one in so many is tried with the first sample; 1 tries them all.
        device: where Torch's arrays are, such as "cuda"; there fewer other masks are tried, for kernels that compile.
    """
    check_class(cls, "kernel")
    library = library or cls.library
    there = library == "numpy" or find_spec(library)
    for i, sample in enumerate(cls.samples):
        kernel: Any = _run(f"{cls.__name__} with the sample {dict(sample)}", build, cls, sample)
        if there:
            _run(kernel, check_attention, kernel, library, 256 if i else every, device)
    check_parameters(cls)
    check_light_import(cls.__module__)
    return [] if there else [left_out(f"what it computes: {library} is not installed")]


def check_class(cls: type[Item], kind: str) -> None:
    """A frozen attrs class of this kind, with a name and samples, whose fields hide nothing of its base's."""
    problem = contract_problem(cls, KINDS[kind])
    assert not problem, problem
    assert cls.samples, f"{cls.__name__} needs samples, for tests and the gallery"
    ours = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == "maskkit" and not attrs.has(base)]
    for name in attrs.fields_dict(cls):
        hidden = [f"{base.__name__}.{name}" for base in ours if name in vars(base)]
        assert not hidden, f"{cls.__name__}: the field {name!r} hides {hidden[0]} of maskkit; call it otherwise"


def check_exporter(exporter: Exporter, meaning: Meaning) -> None:
    """Hold an exporter to its contract: a form that holds the whole mask, or a ConfigError that says why not.

    Args:
        exporter: as its plugin offers it from `maskkit_backends`.
        meaning: `meaning(value, mask)` says by a way of your own what a form allows: booleans of `mask.shape`.
    """
    cls, name = type(exporter), getattr(exporter, "name", None)
    assert isinstance(name, str), f"{cls.__name__} needs a class attribute name, an identifier, got {name!r}"
    assert name.isidentifier(), f"{cls.__name__} needs a class attribute name, an identifier, got {name!r}"
    assert cls.__doc__, f"{cls.__name__} needs a docstring that says what the form is"
    assert getattr(cls.export, "__doc__", ""), f"{cls.__name__}.export needs a docstring that says what it gives"
    check_export(exporter, meaning)
    check_light_import(cls.__module__)


def _run(subject: Any, check: Callable[..., Any], *args: Any) -> Any:
    """What a check gives; what a mask raises on the way is a broken promise too, and says whose."""
    try:
        return check(*args)
    except AssertionError:
        raise
    except Exception as error:
        what = check.__name__.replace("_", " ")
        subject = subject if isinstance(subject, str) else repr(subject)
        raise AssertionError(f"{subject}: {what}: {type(error).__name__}: {error}") from error


def left_out(what: str) -> str:
    """Say what of a contract was not tried."""
    log.warning("not tried: %s", what)
    return what


def installed_backends() -> list[str]:
    """Of torch, jax and keras, those that are installed; Keras with a library that it can compute with."""
    absent = absent_backends()
    return [name for name in ("torch", "jax", "keras") if name not in absent]


def check_rule(mask: Mask) -> None:
    """The shape is one; the predicate answers whole arrays of indices with booleans, and leaves them as they are."""
    shape = mask.shape
    good = isinstance(shape, tuple) and all(isinstance(size, int) and size > 0 for size in shape)
    assert good, f"{mask!r}: shape must be a tuple of positive integers, got {shape!r}"
    axes = mask.axes
    assert len(axes) == len(shape), f"{mask!r}: the axes are {axes}, and the shape is {shape}; name one for each"
    if isinstance(mask, AttentionMask):
        assert is_attention(axes), f"{mask!r}: axes must be batch, head or both, then query and key, got {axes}"
    index = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    given = [axis.copy() for axis in index]
    answer = np.asarray(mask.allows(*given))
    assert answer.dtype == np.bool_, f"{mask!r}: allows() must answer with booleans, got {answer.dtype}"
    np.broadcast_to(answer, shape)
    trace(mask.allows, len(shape))  # it says where Python asks whether a condition on an index is true
    same = all(map(np.array_equal, given, index))
    assert same, f"{mask!r}: allows() changes the index arrays that it is given"


def brute_force(mask: Mask) -> npt.NDArray[np.bool_]:
    """The dense array, by asking the predicate about one position at a time."""
    cells = int(np.prod(mask.shape))
    assert cells <= _MANY_CELLS, f"{mask!r} has {cells} cells, too many to ask for one by one: give smaller samples"
    out = np.empty(mask.shape, np.bool_)
    for index in np.ndindex(*mask.shape):
        out[index] = np.asarray(mask.allows(*(np.int64(i) for i in index)))
    return out


def check_spans(mask: Mask, dense: npt.NDArray[np.bool_]) -> None:
    """Spans, where the mask has them, hold the same set, and the reach no less; for rows in any order."""
    rows = np.arange(row_count(mask))
    keys = np.arange(mask.shape[-1])[:, None]
    for plane in planes(mask):
        for some in (rows, rows[::-1], rows[len(rows) // 2 :]):
            expected = np.atleast_2d(dense[plane])[some]
            if (spans := spans_of(mask, plane, some)) is not None:
                _equal(spans.contains(keys).T, expected, mask, "spans() differs from allows()")
            if (reach := reach_of(mask, plane, some)) is not None:
                _equal(
                    reach.contains(keys).T | expected, reach.contains(keys).T, mask, "reach() leaves out allowed pairs"
                )


def check_period(mask: Mask, dense: npt.NDArray[np.bool_]) -> None:
    """Of a mask that says so, every row is one some rows before, moved by as many keys."""
    n = mask.period
    assert is_integer(n), f"{mask!r}: period must be an integer, got {n!r}"
    assert n >= 0, f"{mask!r}: period must not be negative, got {n!r}"
    if not n:
        return
    assert dense.ndim == 2, f"{mask!r}: a period is for masks of queries by keys, not for shape {dense.shape}"
    _equal(dense[n:, n:], dense[:-n, :-n], mask, f"period is {n}, but a row is not the one {n} before, moved by {n}")


def check_arrays(mask: Mask, dense: npt.NDArray[np.bool_]) -> None:
    """`allowed`, `blocked`, `bias` and `numpy.asarray` say the same, each in its words."""
    _equal(mask.allowed(), dense, mask, "allowed() differs from allows()")
    _equal(np.asarray(mask), dense, mask, "numpy.asarray(mask) is not allowed()")
    _equal(mask.blocked(), ~dense, mask, "blocked() is not the complement of allowed()")
    _equal(mask.allowed(dtype="float32"), dense.astype(np.float32), mask, "allowed(dtype='float32') is wrong")
    for dtype in ("float32", "float16"):
        _equal(mask.bias(dtype), np.where(dense, 0, -np.inf).astype(dtype), mask, f"bias({dtype!r}) is wrong")
    finite = mask.bias("float16", finite=True)
    _equal(finite, np.where(dense, 0, np.finfo(np.float16).min).astype(np.float16), mask, "finite bias is wrong")


def check_backend(mask: Mask, dense: npt.NDArray[np.bool_], name: str) -> None:
    """The backend's arrays, and the predicate on the backend's own indices, equal NumPy."""
    library = find_backend(name)
    _equal(fetched(mask.allowed(name)), dense, mask, f"allowed({name!r}) differs from NumPy")
    _equal(fetched(mask.blocked(name)), ~dense, mask, f"blocked({name!r}) differs from NumPy")
    _equal(fetched(mask.bias("float32", name)), mask.bias(), mask, f"bias(backend={name!r}) differs from NumPy")
    _equal(_on_grid(mask, library), dense, mask, f"allows() on {name} indices differs from NumPy")


def check_array_fields(mask: Mask, dense: npt.NDArray[np.bool_], name: str) -> None:
    """Array fields may come from the backend, live on another device, and be traced; the mask stays the same."""
    values = {a.alias: getattr(mask, a.name) for a in type(mask).__attrs_attrs__}
    arrays = {field: array for field, value in values.items() if is_array(value) and (array := host(value)) is not None}
    if not arrays:
        return
    item: Any = mask
    library = find_backend(name)
    fields = {field: library.from_host(array.copy(), array.dtype.name, None) for field, array in arrays.items()}
    other = attrs.evolve(item, **fields)
    _equal(other.allowed(), dense, mask, f"allowed() differs with fields from {name}")
    _equal(fetched(other.allowed(name)), dense, mask, f"allowed({name!r}) differs with fields from {name}")
    _equal(_on_grid(other, find_backend("numpy")), dense, mask, f"allows() differs with fields from {name}")
    if name == "torch":
        _check_nothing_is_read(item, {field: tensor.to("meta") for field, tensor in fields.items()})
    if name == "jax":
        import jax

        try:
            traced = jax.jit(lambda fields: attrs.evolve(item, **fields).allowed("jax"))(fields)
        except ConfigError:
            return  # it says that the field must be readable
        _equal(traced, dense, mask, "allowed('jax') differs with traced fields")


def _check_nothing_is_read(mask: Any, fields: dict[str, Any]) -> None:
    """Arrays on another device are waited for by nobody; torch's device "meta" has no values to read at all."""
    try:
        elsewhere = attrs.evolve(mask, **fields).allowed("torch", device="meta")
    except ConfigError:
        return  # it says that the field must be readable
    assert elsewhere.shape == mask.shape, f"{mask!r}: fields on another device give shape {tuple(elsewhere.shape)}"


def _on_grid(mask: Mask, library: Any) -> Any:
    """The predicate itself, on all indices of one library."""
    allowed = on_grid(mask, lambda size: library.arange(size, None))
    index = library.arange(1, None)
    assert isinstance(allowed, type(index)), (
        f"{mask!r}: allows() turns {type(index).__name__} indices into {type(allowed).__name__}; write it with "
        "operators and maskkit.take alone"
    )
    return fetched(library.where(allowed, mask.shape, 1, 0, "bool"))


def check_algebra(mask: Mask, dense: npt.NDArray[np.bool_]) -> None:
    """`& | ^ ~` act on what is allowed, and simplify."""
    assert ~~mask == mask, f"{mask!r}: ~~mask is not the mask"
    assert (mask & mask) == mask, f"{mask!r}: mask & mask is not the mask"
    assert (mask | mask) == mask, f"{mask!r}: mask | mask is not the mask"
    _equal((~mask).allowed(), ~dense, mask, "~mask is wrong")
    other = mask[..., ::-1]
    mirrored = dense[..., ::-1]
    for result, expected in (
        (mask & other, dense & mirrored),
        (mask | other, dense | mirrored),
        (mask ^ other, dense ^ mirrored),
        (mask & ~other, dense & ~mirrored),
    ):
        _equal(result.allowed(), expected, mask, f"the algebra is wrong for {result!r}")
        check_spans(result, expected)


def check_slices(mask: Mask, dense: npt.NDArray[np.bool_]) -> None:
    """Views equal the slices of the dense array, and views of views too."""
    options = [slice(None), slice(-1, None), slice(None, None, 2), slice(None, None, -1), slice(0, 3)]
    for keys in itertools.product(options, repeat=min(2, dense.ndim)):
        cut = mask[(..., *keys)]
        expected: npt.NDArray[np.bool_] = dense[(..., *keys)]  # type: ignore[arg-type]
        _equal(cut.allowed(), expected, mask, f"mask[..., {keys}] is wrong")
        _equal(cut[..., ::-1].allowed(), expected[..., ::-1], mask, f"mask[..., {keys}][..., ::-1] is wrong")
        check_spans(cut, expected)


def check_blocks(mask: AttentionMask, dense: npt.NDArray[np.bool_]) -> None:
    """Every block is what its cells say; blocks that overhang the edge are never full."""
    for size in (1, 2, 3, 8, 128):
        expected = _dense_blocks(dense, size)
        blocks = mask.blocks(size)
        _equal(blocks.dense(), expected, mask, f"blocks({size}).dense() is wrong")
        counts = {kind: int((expected == i).sum()) for i, kind in enumerate(("empty", "partial", "full"))}
        assert blocks.counts() == counts, f"{mask!r}: blocks({size}).counts() is {blocks.counts()}, not {counts}"


def _dense_blocks(dense: npt.NDArray[np.bool_], size: int) -> npt.NDArray[np.int8]:
    *batch, rows, keys = dense.shape
    padding = [(0, 0)] * len(batch) + [(0, -rows % size), (0, -keys % size)]
    tiles = np.pad(dense, padding).reshape(*batch, -(-rows // size), size, -(-keys // size), size)
    return np.any(tiles, axis=(-3, -1)).astype(np.int8) + np.all(tiles, axis=(-3, -1))  # type: ignore[no-any-return]


def check_stats(mask: Mask, dense: npt.NDArray[np.bool_]) -> None:
    """The statistics are those of the dense array."""
    stats = mask.stats()
    assert stats.allowed == dense.sum(), f"{mask!r}: stats().allowed is {stats.allowed}, not {dense.sum()}"
    assert stats.total == dense.size, f"{mask!r}: stats().total is {stats.total}, not {dense.size}"
    blocked = int((~dense.any(axis=-1)).sum())
    assert stats.blocked_rows == blocked, f"{mask!r}: stats().blocked_rows is {stats.blocked_rows}, not {blocked}"


def check_hash(mask: Mask) -> None:
    """A mask can be a key: plans and compiled graphs are looked up by it."""
    try:
        hash(mask)
    except TypeError as error:
        raise AssertionError(
            f"{mask!r} has no hash: {error}; hold lists as tuples, and arrays with field(eq=by_content)"
        ) from error


def check_value(mask: Mask) -> None:
    """A mask is a value: equal copies, equal hashes, pickling, no assignment, no truth value."""
    for other in (copy.copy(mask), copy.deepcopy(mask), pickle.loads(pickle.dumps(mask))):
        assert other == mask, f"{mask!r}: a copy is not equal"
        assert hash(other) == hash(mask), f"{mask!r}: a copy has another hash"
    assert (mask == ~mask) is False, f"{mask!r} equals its complement"
    _raises(AttributeError, f"{mask!r} can be changed", setattr, mask, type(mask).__attrs_attrs__[0].name, 1)
    _raises(TypeError, f"{mask!r} has a truth value", bool, mask)


def check_round_trip(item: Item) -> None:
    """Plain data and back, without loss; the plain data are plain."""
    saved = to_dict(item)
    assert json.loads(json.dumps(saved)) == saved, f"{item!r}: to_dict is not plain data: {saved!r}"
    again: Any = None
    if registered(item):
        again = from_dict(saved)
    elif "type" in saved:  # not installed: no name to find it by
        again = build(type(item), {name: value for name, value in saved.items() if name != "type"})
    assert again in (None, item), f"{item!r} does not survive to_dict and from_dict"


def registered(item: Any) -> bool:
    """Whether an item, and every mask it is made of, can be found by name."""
    parts = getattr(item, "parts", ())
    return all(map(registered, parts)) if parts else f"{item.kind}.{item.name}" in registry.full_names()


def check_pictures(mask: Mask) -> None:
    """It draws itself in the terminal and as SVG."""
    if len(mask.shape) > 3:
        return
    lines = mask.text(width=60).splitlines()
    assert lines, f"{mask!r}: text() is empty"
    assert max(map(len, lines)) <= 60, f"{mask!r}: text(width=60) is wider than 60"
    ElementTree.fromstring(mask._repr_svg_())


def check_parameters(cls: type[Item]) -> None:
    """Every parameter is documented, and bad ones are refused."""
    sample = dict(cls.samples[0])
    described = describe(cls, None)
    assert described.summary, f"{cls.__name__} needs a docstring whose first sentence says what is allowed"
    _refused(cls, {**sample, "no_such_parameter": 1}, "an unknown parameter")
    for parameter in described.parameters:
        assert parameter.help, f"{cls.__name__}: the docstring's Attributes say nothing of {parameter.name!r}"
        if parameter.required:
            rest = {name: value for name, value in sample.items() if name != parameter.name}
            _refused(cls, rest, f"a missing {parameter.name}")
        if parameter.type == "an integer":
            for bad in (True, 2.5, "7"):
                wrong = {**sample, parameter.name: bad}
                _refused(cls, wrong, f"{parameter.name}={bad!r}")
                words = f"{cls.__name__}({parameter.name}={bad!r}) is accepted; give the field a validator"
                _raises(ConfigError, words, partial(cls, **wrong))
            if isinstance(sample.get(parameter.name), int):
                build(cls, {**sample, parameter.name: np.int64(sample[parameter.name])})


def check_light_import(module: str) -> None:
    """In a fresh interpreter, the plugin's entry module imports none of the heavy libraries."""
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if run.returncode == 0:  # a class defined in a test module cannot be imported from elsewhere
        heavy = run.stdout.split()
        assert not heavy, (
            f"importing {module} imports {', '.join(heavy)}; import them inside the method that needs them"
        )


def _refused(cls: type[Item], params: dict[str, Any], what: str) -> None:
    _raises(ConfigError, f"{cls.__name__} takes {what}", build, cls, params)


def _raises(error: type[Exception], otherwise: str, call: Any, *args: Any) -> None:
    try:
        call(*args)
    except error:
        return
    raise AssertionError(otherwise)


def _equal(actual: Any, expected: Any, mask: Mask, otherwise: str) -> None:
    actual = np.asarray(actual)
    assert actual.shape == expected.shape, f"{mask!r}: {otherwise}: shape {actual.shape}, not {expected.shape}"
    if not np.array_equal(actual, expected):
        where = tuple(np.argwhere(actual != expected)[0].tolist())
        raise AssertionError(f"{mask!r}: {otherwise}, first at {where}: {actual[where]} instead of {expected[where]}")

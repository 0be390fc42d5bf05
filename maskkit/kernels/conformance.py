"""What every kernel promises, held against the definition: forward and backward, for many masks and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from maskkit.errors import NoKernel
from maskkit.kernels.attend import attend
from maskkit.masks.given import from_array
from maskkit.masks.mask import Mask
from maskkit.registry.item import Item, Kernel, as_constants
from maskkit.validators import shown

Array = npt.NDArray[Any]

TOLERANCE = {"float64": 1e-12, "float32": 5e-6, "float16": 5e-3, "bfloat16": 4e-2}
"""Of the largest number in the result; forward and backward."""
_COMPILED = 2
"""Cases that are tried under the library's compiler too."""
_AXES = ((), ("head",), ("batch",), ("batch", "head"))
_TOGETHER = 4096
"""Masks of 4 x 4 in one call."""


class Case(NamedTuple):
    """A mask, and shapes that it fits."""

    mask: Mask | None
    query: tuple[int, ...]
    key: tuple[int, ...]
    value: tuple[int, ...]
    options: dict[str, Any]


def check_attention(kernel: Kernel, library: str, every: int = 16, device: str = "cpu", compiled: bool = True) -> None:
    """Hold one kernel to the definition.

    Args:
        kernel: with its options.
        library: whose arrays it gets: "torch", "jax" or "numpy".
        every: of the 65,536 masks of 4 x 4, one in so many is tried; 1 tries them all.
        device: where Torch's arrays are, such as "cuda".
        compiled: try a few cases under the library's compiler too.
    """
    run = partial(check_case, kernel, library, device=device)
    check_small_masks(kernel, library, every, device)
    dtypes = ("float32",) if library == "jax" else tuple(TOLERANCE)
    cases = 16 if library == "jax" or device != "cpu" else 80  # there every shape may be compiled for
    fitting = 0
    for i, case in enumerate(_drawn(cases)):
        for dtype in dtypes if i % 4 == 0 else dtypes[:1]:
            fits = run(case, dtype)
            if compiled and fits and fitting < _COMPILED:
                run(case, dtype, with_lse=[False], compiled=True)
            fitting += fits
    assert fitting, f"{kernel!r} fits none of {cases} problems of {library}"
    check_dropout(kernel, library, device)


def check_small_masks(kernel: Kernel, library: str, every: int = 1, device: str = "cpu") -> None:
    """Hold a kernel to the definition under one in `every` of the 65,536 masks of 4 x 4."""
    run = partial(check_case, kernel, library, dtype="float32", device=device)
    for case in _small_masks(every):
        run(case, with_lse=[True]) or run(case, with_lse=[False])


def check_case(
    kernel: Kernel,
    library: str,
    case: Case,
    dtype: str,
    with_lse: Sequence[bool] = (False, True),
    device: str = "cpu",
    compiled: bool = False,
) -> bool:
    """Output, log-sum-exp and gradients of one case are those of the definition; False if the kernel does not fit.

    `compiled`: under `torch.compile`, as one graph, or `jax.jit`.
    """
    rng = np.random.default_rng(case.query[2])
    shapes = case.query, case.key, case.value, (*case.query[:3], case.value[-1])
    arrays = [_rounded(rng.normal(size=shape), dtype) for shape in shapes]
    allowed: Any = np.ones((1, 1, case.query[2], case.key[2]), bool)
    if case.mask is not None:
        allowed = case.mask.allowed(dtype="bool", form="heads")
    q, k, v, grad = arrays
    expected = definition(q, k, v, grad, allowed, case.options.get("scale"))
    fits = False
    for return_lse in with_lse:
        options = {**case.options, "return_lse": return_lse, "kernel": kernel, "enable_gqa": True}
        what = f"{kernel!r} on {library}, {dtype}: {shown(case.mask)}, {shapes[0]} x {shapes[1]}, {case.options}"
        try:
            found = _run(library, device, dtype, arrays, case.mask, options, compiled)
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
        if found is None:
            continue
        fits = True
        for name, one in found.items():
            _close(one, expected[name], TOLERANCE[dtype], f"{what}: {name}")
        blind = np.broadcast_to(~allowed.any(-1), case.query[:3])
        for name in ("output", "gradient of query"):
            if name in found:
                assert not found[name][blind].any(), f"{what}: {name} is not zero where a row allows nothing"
        unseen: Any = np.broadcast_to(~allowed.any(-2), (*case.query[:2], case.key[2]))
        unseen = unseen.reshape(case.key[0], case.key[1], -1, case.key[2]).all(2)
        for name in ("gradient of key", "gradient of value"):
            if name in found:
                assert not found[name][unseen].any(), f"{what}: {name} is not zero where no row sees the key"
    return fits


def check_dropout(kernel: Kernel, library: str, device: str = "cpu") -> None:
    """Dropout is refused with a reason, or keeps the mean, and drops about as much as it is asked to."""
    ones = np.ones((1, 64, 32, 8))
    found = _run(library, device, "float32", [ones] * 4, None, {"dropout_p": 0.5, "kernel": kernel})
    if found is not None:
        out = found["output"]
        assert abs(out.mean() - 1) < 0.05, f"{kernel!r}: dropout of 0.5 gives {out.mean():.2f} times the mean"
        # 32 weights of 1/32, each dropped or doubled: a standard deviation of 1 / sqrt(32)
        assert abs(out[..., 0].std() * 32**0.5 - 1) < 0.2, f"{kernel!r}: dropout of 0.5 drops another share"


def definition(q: Array, k: Array, v: Array, grad: Array, allowed: Array, scale: float | None) -> dict[str, Array]:
    """Attention and its gradients in float64, from the formulas; `grad` is that of the output."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    group = q.shape[1] // k.shape[1]
    keys, values = (np.repeat(x, group, axis=1) for x in (k, v))
    scores = np.where(allowed, q @ keys.swapaxes(-1, -2) * scale, -np.inf)
    highest = scores.max(-1, keepdims=True)
    weights = np.exp(scores - np.where(highest == -np.inf, 0, highest))
    total = weights.sum(-1, keepdims=True)
    weights /= np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        lse = np.log(total) + np.where(highest == -np.inf, 0, highest)
    of_weights = grad @ values.swapaxes(-1, -2)
    of_scores = weights * (of_weights - (weights * of_weights).sum(-1, keepdims=True)) * scale
    shared = (k.shape[0], k.shape[1], group, k.shape[2], -1)
    return {
        "output": weights @ values,
        "log-sum-exp": lse[..., 0],
        "gradient of query": of_scores @ keys,
        "gradient of key": (of_scores.swapaxes(-1, -2) @ q).reshape(shared).sum(2),
        "gradient of value": (weights.swapaxes(-1, -2) @ grad).reshape(shared).sum(2),
    }


def _small_masks(every: int) -> Iterator[Case]:
    """Masks of 4 x 4 by their bits, a mask a sample."""
    bits = np.arange(0, 2**16, every)
    for first in range(0, len(bits), _TOGETHER):
        some = bits[first : first + _TOGETHER]
        allowed = ((some[:, None] >> np.arange(16)) & 1).astype(bool).reshape(-1, 4, 4)
        mask = from_array(allowed, true="allowed", axes=("batch", "query", "key"))
        yield Case(mask, *((len(some), 1, 4, 3),) * 3, {})


def _drawn(count: int) -> Iterator[Case]:
    """Masks of a few intervals per row, or of single pairs, with all axes; shapes of all sorts."""
    rng = np.random.default_rng(0)
    for i in range(count):
        batch, group, kv_heads, queries, keys, width = (int(rng.integers(1, most)) for most in (4, 4, 4, 48, 48, 12))
        if i % 8 == 7:
            queries, keys = int(rng.integers(150, 300)), int(rng.integers(150, 300))
        value_width = width if i % 3 else int(rng.integers(1, 12))
        heads = group * kv_heads
        axes = _AXES[i % 4]
        sizes = {"batch": batch, "head": heads}
        shape = tuple(sizes[axis] for axis in axes)
        if i % 8 == 4:
            keys, allowed = queries, _documents(rng, queries, causal=i % 16 == 4)
        else:
            allowed = _pattern(rng, (*shape, queries, keys), i)
        mask = None if i % 20 == 19 else from_array(allowed, true="allowed", axes=(*axes, "query", "key"))
        options = {} if i % 2 else {"scale": float(rng.random())}
        key = (batch, kv_heads, keys)
        yield Case(mask, (batch, heads, queries, width), (*key, width), (*key, value_width), options)


def _documents(rng: Any, tokens: int, causal: bool) -> Array:
    """Packed, of all lengths."""
    document = np.sort(rng.integers(0, 4, tokens))
    allowed: Array = document[:, None] == document
    return np.tril(allowed) if causal else allowed


def _pattern(rng: Any, shape: tuple[int, ...], i: int) -> Array:
    """Bands, rectangles, causal squares, single pairs; some rows of which see nothing."""
    *planes, queries, keys = shape
    row, key = np.arange(queries)[:, None], np.arange(keys)
    allowed = np.zeros(shape, bool)
    for plane in np.ndindex(*planes):
        if i % 5 == 4:
            allowed[plane] = rng.random((queries, keys)) < rng.random()
            continue
        for _ in range(int(rng.integers(1, 4))):
            start, size = rng.integers(-keys, keys), rng.integers(0, keys)
            slope, left = rng.integers(0, 3), rng.integers(0, 2)
            allowed[plane] |= (key >= start + slope * left * row) & (key < start + size + slope * row)
    allowed[..., rng.random(queries) < 0.1, :] = False
    return allowed


# -- on the libraries -------------------------------------------------------------------------------------------------


def _run(
    library: str,
    device: str,
    dtype: str,
    arrays: list[Array],
    mask: Any,
    options: dict[str, Any],
    compiled: bool = False,
) -> dict[str, Array] | None:
    """What the kernel gives, by name; None if it says that it does not fit."""
    run = {"jax": _on_jax, "numpy": _on_numpy}.get(library, partial(_on_torch, device))
    call = partial(attend, mask=mask, **options)
    try:
        return run(dtype, arrays, call, compiled)
    except NoKernel:
        return None


def _on_torch(device: str, dtype: str, arrays: list[Array], call: Any, compiled: bool) -> dict[str, Array]:
    torch = import_module("torch")
    like = dict(dtype=getattr(torch, dtype), device=device, requires_grad=True)
    q, k, v, grad = (torch.tensor(array, **like) for array in arrays)
    options, eager = call.keywords, call
    if compiled:
        as_constants(Item.subclasses())  # a partial's arguments are read before `attend` can tell Torch of them
        torch._dynamo.reset()
        call = torch.compile(call, backend="aot_eager", fullgraph=True)
    out = call(q, k, v)
    out, lse = out if options.get("return_lse") else (out, None)
    assert out.dtype == q.dtype, f"the output is {out.dtype}, the query {q.dtype}"
    assert out.requires_grad, "the output does not depend on the arrays for autograd; no gradient goes back"
    grads = torch.autograd.grad(out, (q, k, v), grad)
    with torch.no_grad():
        again = eager(q, k, v)
    if not options.get("dropout_p"):
        _close(
            _host(again[0] if options.get("return_lse") else again),
            _host(out),
            TOLERANCE[dtype],
            "the output without gradients",
        )
    return _named(out, lse, *grads)


def _on_jax(dtype: str, arrays: list[Array], call: Any, compiled: bool) -> dict[str, Array]:
    jax = import_module("jax")
    q, k, v, grad = (jax.numpy.asarray(array, dtype) for array in arrays)

    def both(q: Any, k: Any, v: Any) -> Any:
        found = call(q, k, v)
        return found if isinstance(found, tuple) else (found, None)

    out, back, lse = jax.vjp(jax.jit(both) if compiled else both, q, k, v, has_aux=True)
    return _named(out, lse, *back(grad))


def _on_numpy(dtype: str, arrays: list[Array], call: Any, compiled: bool) -> dict[str, Array]:
    q, k, v, _ = arrays
    out = call(q, k, v)
    return _named(*(out if isinstance(out, tuple) else (out, None)))


def _named(out: Any, lse: Any, *grads: Any) -> dict[str, Array]:
    found = {"output": out, "log-sum-exp": lse}
    found |= {f"gradient of {name}": grad for name, grad in zip(("query", "key", "value"), grads, strict=False)}
    return {name: _host(value) for name, value in found.items() if value is not None}


def _host(value: Any) -> Array:
    if hasattr(value, "detach"):
        value = value.detach().double().cpu()
    return np.asarray(value, np.float64)


def _rounded(array: Array, dtype: str) -> Array:
    """In numbers that the dtype has, so that only what the kernel does is measured."""
    if dtype == "bfloat16":
        bits = array.astype(np.float32).view(np.uint32) & 0xFFFF0000
        return bits.view(np.float32).astype(np.float64)
    return array.astype(dtype).astype(np.float64)


def _close(actual: Array, expected: Array, tolerance: float, what: str) -> None:
    assert actual.shape == expected.shape, f"{what} has the shape {actual.shape}, not {expected.shape}"
    infinite = np.isinf(expected)
    assert np.array_equal(actual[infinite], expected[infinite]), f"{what}: where a row allows nothing it is not -inf"
    apart = np.abs(np.where(infinite, 0, actual) - np.where(infinite, 0, expected))
    assert not np.isnan(apart).any(), f"{what} is NaN in places"
    most = tolerance * max(1.0, float(np.abs(expected[~infinite]).max(initial=0)))
    assert (apart <= most).all(), f"{what} is {np.max(apart):.2g} away from the definition, more than {most:.2g}"

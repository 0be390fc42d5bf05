"""Whether a layer obeys the masks that its inputs carry: measured, for no declaration can be trusted."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from maskkit_keras.masks import boolean, carried_mask, carry_mask

_STEPS = 3
"""How much padding is added."""

_NOISE = 10.0
"""How far padding is changed: a layer that reads it says so, and half precision stays finite."""

_TOLERANCE = {"float16": 0.05, "bfloat16": 0.2}
"""What rounding may make of it, as a share of the largest output; of other dtypes 0.001."""


def reads_blocked(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether what the masks block, or how much of that there is, changes what they allow.

    The layer is called again, with the last step of every masked input blocked: as it is, with other content where the
    masks block, and with more steps that are blocked. Outputs that carry a mask are compared where it allows, all
    others everywhere. A layer whose weights are 0 reads nothing.

    Args:
        layer: a layer.
        args: positional arguments of its call. Tensors (batch, steps, ...) with a mask (batch, steps, ...) are changed.
        kwargs: those by name.
    """
    args, kwargs = _carried(layer, args, kwargs)
    if not any(_is_masked(x) for x in keras.tree.flatten((args, kwargs))):
        return False

    def outputs(change: Callable[[Any, Any], tuple[Any, Any]]) -> list[_Output]:
        def changed(x: Any) -> Any:
            return carry_mask(*change(x, _last_blocked(x))) if _is_masked(x) else x

        new_args, new_kwargs = keras.tree.map_structure(changed, (args, kwargs))
        return [_output(y) for y in keras.tree.flatten(layer(*new_args, **new_kwargs)) if hasattr(y, "shape")]

    expected = outputs(lambda x, mask: (ops.copy(x), mask))
    found = outputs(lambda x, mask: (_with_other_content(x, mask), mask))
    return _differ(expected, found) or _differ(expected, _or_nothing(lambda: outputs(_longer)))


def _or_nothing(outputs: Callable[[], list[_Output]]) -> list[_Output]:
    """A layer that takes one length only says so in its own way."""
    try:
        return outputs()
    except Exception:
        return []


# -- inputs -----------------------------------------------------------------------------------------------------------


def _carried(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """With masks that are given aloud carried by their inputs, which to the layer is the same."""
    names = list(inspect.signature(layer.call).parameters)
    if len(args) > len(names):
        return args, kwargs
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    for name in [n for n in kwargs if n == "mask" or n.endswith("_mask")]:
        source = names[0] if name == "mask" else name.removesuffix("_mask")
        if source in given:
            given[source] = _carrying(given[source], given.pop(name))
    return tuple(given.pop(name) for name in names[: len(args)]), given


def _carrying(inputs: Any, masks: Any) -> Any:
    if isinstance(inputs, (list, tuple)) and isinstance(masks, (list, tuple)):
        return [_carrying(x, mask) for x, mask in zip(inputs, masks, strict=True)]
    return inputs if masks is None or not hasattr(inputs, "shape") else carry_mask(ops.copy(inputs), masks)


def _is_masked(x: Any) -> bool:
    mask = carried_mask(x) if hasattr(x, "shape") else None
    return mask is not None and len(mask.shape) > 1 and tuple(mask.shape) == tuple(x.shape[: len(mask.shape)])


def _last_blocked(x: Any) -> Any:
    """The mask that a tensor carries, with the last of several steps blocked."""
    mask = boolean(carried_mask(x), "mask")
    steps = mask.shape[1]
    last = np.arange(steps) == steps - 1
    keep = ops.convert_to_tensor(~last if steps > 1 else np.ones(1, bool))
    return ops.logical_and(mask, ops.reshape(keep, (1, steps, *[1] * (len(mask.shape) - 2))))


def _with_other_content(x: Any, mask: Any) -> Any:
    wide = ops.reshape(mask, (*mask.shape, *[1] * (len(x.shape) - len(mask.shape))))
    return ops.where(wide, x, _other(x))


def _other(x: Any) -> Any:
    """Other content of the same shape: other numbers, or other tokens among those that there are."""
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        return ops.flip(x, axis=1)
    noise = np.random.default_rng(0).normal(size=tuple(x.shape)) * _NOISE
    return ops.cast(ops.convert_to_tensor(noise.astype("float32")), x.dtype)


def _longer(x: Any, mask: Any) -> tuple[Any, Any]:
    """With more steps, all of them blocked."""
    more, blocked = _other(x)[:, :_STEPS], ops.zeros_like(mask[:, :_STEPS])
    return ops.concatenate([x, more], axis=1), ops.concatenate([mask, blocked], axis=1)


# -- outputs ----------------------------------------------------------------------------------------------------------

_Output = tuple[npt.NDArray[Any], npt.NDArray[Any] | None, float]
"""Numbers, what their mask allows of them, and the tolerance."""


def _output(y: Any) -> _Output:
    mask = carried_mask(y)
    allowed = None if mask is None else ops.convert_to_numpy(boolean(mask, "mask"))
    tolerance = _TOLERANCE.get(keras.backend.standardize_dtype(y.dtype), 1e-3)
    return ops.convert_to_numpy(ops.cast(y, "float32")), allowed, tolerance


def _differ(expected: list[_Output], found: list[_Output]) -> bool:
    return any(_differs(*pair) for pair in zip(expected, found, strict=False))


def _differs(expected: _Output, found: _Output) -> bool:
    (one, allowed, tolerance), (other, *_) = expected, found
    if allowed is not None and allowed.shape == one.shape[: allowed.ndim]:
        if other.ndim != one.ndim or any(a < b for a, b in zip(other.shape, one.shape, strict=True)):
            return False
        other = other[tuple(map(slice, one.shape))]
        one, other = one[allowed], other[allowed]
    if one.shape != other.shape or not one.size:
        return False
    return not np.allclose(one, other, rtol=0, atol=tolerance * max(1.0, float(np.abs(one).max())), equal_nan=True)

"""Where a model's mask is made, obeyed, passed on and lost: one row for every layer, as it runs."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from attrs import evolve, frozen
from keras import ops
from maskkit.errors import ConfigError
from maskkit_keras.layer import AttentionLayer
from maskkit_keras.masks import carried_mask
from maskkit_keras.obeyed import reads_blocked

Shape = tuple[int | None, ...]

NO_MASK, MAKES, USES, PASSES = "no mask", "makes it", "uses it, passes it on", "passes it on"
ENDS, DROPS, READS = "uses it, ends it", "DROPS IT", "READS PADDING"


@frozen
class Step:
    """One layer, at one call.

    Attributes:
        layer: its name.
        kind: its class.
        depth: how many layers it is called inside of.
        incoming: the shapes of the masks that its inputs carry, None for an input without.
        outgoing: the shapes of the masks that its outputs carry, likewise.
        what: what it does to the mask: "no mask", "makes it", "passes it on", "uses it, passes it on",
            "uses it, ends it", "DROPS IT", or "READS PADDING" where what it blocks, or how much of that there is,
            changes the layer's other outputs.
    """

    layer: str
    kind: str
    depth: int
    incoming: tuple[Shape | None, ...]
    outgoing: tuple[Shape | None, ...]
    what: str


@frozen(repr=False)
class MaskTrace:
    """What `trace_masks` found: `print(trace)` shows a table, and `trace.dropped` says who loses the mask.

    Attributes:
        steps: the layers in the order in which they are called.
    """

    steps: tuple[Step, ...]

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of the layers behind which the mask does not hold: they lose it, or read what it blocks."""
        return self._names(DROPS, READS)

    def _names(self, *whats: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.layer for step in self.steps if step.what in whats))

    def __repr__(self) -> str:
        rows = [("layer", "mask in", "what it does", "mask out"), *map(_cells, self.steps)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        lines += [
            f"{name} loses the mask: set self.supports_masking = True in its __init__, or define compute_mask"
            for name in self._names(DROPS)
        ]
        lines += [
            f"{name} reads padding: what the mask blocks, or how much of that there is, changes its other outputs"
            for name in self._names(READS)
        ]
        return "\n".join(lines)


def _cells(step: Step) -> tuple[str, ...]:
    name = "  " * step.depth + f"{step.layer} ({step.kind})"
    return name, _text(step.incoming), step.what, _text(step.outgoing)


def _text(shapes: tuple[Shape | None, ...]) -> str:
    return ", ".join("-" if shape is None else str(shape) for shape in shapes) or "-"


def trace_masks(model: Any, inputs: Any = None) -> MaskTrace:
    """Run a model, and see what every layer does to the mask.

    Layers inside models and inside layers of your own are shown too; Keras' own layers and attention layers are one
    row. Each layer that gets a mask and does not lose it is called again with other padding and with more of it, and so
    asked whether it reads padding, with the weights that it has. Nothing is learnt or stored.

    Args:
        model: a functional or sequential model, any other Keras model, or a layer.
        inputs: what to call it with, an array or a structure of them; None for a model that knows its inputs, which is
            then called with made-up ones.

    Returns:
        What `print` shows as a table, with `.steps` and `.dropped`.

    Raises:
        ConfigError: the model does not know its inputs, or cannot be run on made-up ones, and none are given.
    """
    passes: list[list[Step]] = []

    def call(given: Any) -> Any:
        return model(given, training=False) if isinstance(model, keras.Model) else model(given)

    def run(given: Any, measure: bool = False) -> Any:
        steps: list[Step] = []
        with _watching(steps, measure):
            outputs = call(given)
        passes.append(steps)
        return outputs

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking", category=UserWarning)
        if inputs is None:
            known = _known_inputs(model)
            _symbolically(run, known)
            _on_numbers(run, known)
        else:
            if not model.built:
                call(inputs)  # Keras builds a model by running it too
            run(inputs, measure=True)
    steps = _common(passes)
    inner = [evolve(step, depth=step.depth - 1) for step in steps[1:]]
    return MaskTrace(tuple(inner if inner and isinstance(model, keras.Model) else steps))


def _on_numbers(run: Callable[..., Any], inputs: Any) -> None:
    """Run on made-up ones, and measure."""
    try:
        run(keras.tree.map_structure(_made_up, inputs), measure=True)
    except Exception as error:  # the model's own, which may want what nobody can guess
        raise ConfigError(f"it cannot be run on made-up inputs: give some, trace_masks(model, x)\n{error}") from error


def _made_up(known: Any) -> Any:
    """Two samples of 7 steps where sizes are free: numbers or ones, and zeros (or False) in place of padding."""
    batch, *sizes = (size or (7 if i else 2) for i, size in enumerate(known.shape))
    dtype = keras.backend.standardize_dtype(known.dtype)
    x = np.random.default_rng(0).normal(size=(batch, *sizes)) if "float" in dtype else np.ones((batch, *sizes))
    if sizes:
        x[0, -(sizes[0] // 3) or sizes[0] :] = 0
    return ops.cast(ops.convert_to_tensor(x.astype("float32")), dtype)


def _known_inputs(model: Any) -> Any:
    """Symbols that are like the model's inputs."""
    try:
        known = model._inputs_struct if hasattr(model, "_inputs_struct") else model.inputs
    except (AttributeError, ValueError):
        raise ConfigError(f"{model.name!r} does not know its inputs: give some, trace_masks(model, x)") from None
    if isinstance(known, (list, tuple)) and len(known) == 1:
        known = known[0]
    return keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, dtype=x.dtype), known)


def _symbolically(run: Callable[[Any], Any], inputs: Any) -> None:
    """Let Keras trace a function as it traces a layer: without numbers, and on Torch and JAX at two made-up sizes."""

    class Run(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return run(inputs)

    Run(dtype="float32", autocast=False)(inputs)


def _common(passes: list[list[Step]]) -> list[Step]:
    """The steps of all passes as one; sizes in which they differ are unknown, and the last one may have measured."""
    if not passes:
        return []
    return [
        evolve(
            steps[0],
            incoming=_common_shapes([s.incoming for s in steps]),
            outgoing=_common_shapes([s.outgoing for s in steps]),
            what=steps[-1].what,
        )
        for steps in zip(*passes, strict=False)
    ]


def _common_shapes(found: list[tuple[Shape | None, ...]]) -> tuple[Shape | None, ...]:
    return tuple(
        None
        if None in shapes
        else tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=False))
        for shapes in zip(*found, strict=False)
    )


@contextmanager
def _watching(steps: list[Step], measure: bool) -> Iterator[None]:
    """Note every call of a layer: all of them go through this one method of Keras, and nothing else sees all masks."""
    original = keras.layers.Layer.__call__
    inside: list[Any] = []
    asking: list[Any] = []

    def watched(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if asking or any(map(_is_closed, inside)):
            return original(layer, *args, **kwargs)
        place, depth = len(steps), len(inside)
        incoming = _incoming(args, kwargs)
        steps.append(Step(layer.name, type(layer).__name__, depth, incoming, (), NO_MASK))
        inside.append(layer)
        try:
            outputs = original(layer, *args, **kwargs)
        finally:
            inside.pop()
        outgoing = _masks(outputs)
        what = _what(layer, any(incoming), any(outgoing))
        if measure and what in (USES, PASSES, ENDS) and not isinstance(layer, keras.Model):
            asking.append(layer)
            what = READS if reads_blocked(layer, args, kwargs) else what
            asking.pop()
        steps[place] = evolve(steps[place], outgoing=outgoing, what=what)
        return outputs

    keras.layers.Layer.__call__ = watched
    try:
        yield
    finally:
        keras.layers.Layer.__call__ = original


def _is_closed(layer: Any) -> bool:
    """Whether what happens inside is the layer's own affair: attention layers and Keras' layers are tested."""
    own = type(layer).__module__.startswith("keras.") and not isinstance(layer, keras.Model)
    return own or isinstance(layer, AttentionLayer)


def _masks(tensors: Any) -> tuple[Shape | None, ...]:
    """The shapes of the masks that tensors carry."""
    flat = [x for x in keras.tree.flatten(tensors) if hasattr(x, "shape") and hasattr(x, "dtype")]
    found = [carried_mask(x) for x in flat]
    return tuple(None if mask is None else _shape(mask) for mask in found)


def _shape(mask: Any) -> Shape:
    """Its shape; None for sizes that are symbols."""
    return tuple(size if isinstance(size, int) else None for size in mask.shape)


def _incoming(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Shape | None, ...]:
    """The shapes of the masks that come with the inputs, or of those that are given aloud."""
    given = {name: value for name, value in kwargs.items() if name == "mask" or name.endswith("_mask")}
    carried = _masks((args, {name: value for name, value in kwargs.items() if name not in given}))
    aloud = [value for name, value in given.items() if value is not None and name != "attention_mask"]
    return carried if any(carried) or not aloud else tuple(map(_shape, keras.tree.flatten(aloud)))


def _what(layer: Any, incoming: bool, outgoing: bool) -> str:
    if not incoming:
        return MAKES if outgoing else NO_MASK
    takes = any(name == "mask" or name.endswith("_mask") for name in inspect.signature(layer.call).parameters)
    if outgoing:
        return USES if takes else PASSES
    return ENDS if (takes and layer.supports_masking) or isinstance(layer, keras.Model) else DROPS

"""The contract of every attention layer, as checks. Each takes one sample of a config through one fact.

What a layer can be asked follows from its config: `shapes` says what to feed it, `masks` which masks it obeys.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from attrs import field, frozen
from keras import ops
import maskkit
from maskkit import Attention, Mask, by_content, take
from maskkit.testing import check_light_import, check_parameters, check_round_trip
from maskkit_keras.testing.calls import Differentiated, arrays, call, compiled, differentiate, gradients
from maskkit_keras.testing.probe import Probe, ways

Array = npt.NDArray[Any]

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


def check_attention(cls: type[Attention]) -> None:
    """Hold an attention config and its layer to the contract: every check, for every sample and way to call it."""
    check_config(cls)
    for check in CHECKS:
        run(check, cls)


_PASSED: set[tuple[str, Any]] = set()


def run(check: Callable[[Probe], None], cls: type[Attention]) -> None:
    """One check, for every sample and way to call it. What has passed once in a process does not run again.

    Where every call is compiled anew (JAX, TensorFlow) the first sample stands for all; the others take minutes.
    """
    if (check.__name__, cls) in _PASSED:
        return
    for probe in _probes(cls):
        check(probe)
    _PASSED.add((check.__name__, cls))


_PROBES: dict[Any, list[Probe]] = {}


def _probes(cls: type[Attention]) -> list[Probe]:
    """Shared by all checks, so that layers are built, and on JAX compiled, once."""
    if cls not in _PROBES:
        samples = cls.samples if keras.backend.backend() == "torch" else cls.samples[:1]
        _PROBES[cls] = [Probe(cls, s, way) for s in samples for way in range(len(ways(Probe(cls, s).config)))]
    return _PROBES[cls]


def check_config(cls: type[Attention]) -> None:
    """The light half: samples, round trip, documented parameters, refused mistakes, an import without Keras."""
    assert cls.samples, f"{cls.__name__} needs samples"
    for sample in cls.samples:
        check_round_trip(maskkit.config({"type": f"attention.{cls.name}", **sample}))
    check_parameters(cls)
    check_light_import(cls.__module__)


# -- shapes -----------------------------------------------------------------------------------------------------------


def shapes_are_declared(probe: Probe) -> None:
    """The outputs have the declared shapes, at the usual sizes and where every free size is 1."""
    layer = probe.layer()
    letters = {axis for axes in probe.ins for axis in axes if probe.free(axis) and axis not in ("B", "C", "D")}
    for sizes in ({}, dict.fromkeys(letters, 1)):
        outputs = probe.call(layer, probe.inputs(**sizes))
        expected = [tuple(probe.size(axis, sizes) for axis in axes) for axes in probe.outs]
        assert [y.shape for y in outputs] == expected, f"{probe.name}: {[y.shape for y in outputs]}, not {expected}"
        _finite(Differentiated(outputs, [], []), probe, f"at sizes {sizes}")


def sizes_may_be_unknown(probe: Probe) -> None:
    """A functional model with unknown sizes gives what the layer gives, at several sizes, also saved and loaded."""
    layer = probe.layer()
    model, loaded = _saved(probe, layer)
    for sizes in ({}, dict(B=2, T=4, S=5 if probe.cross else 4, H=3, W=5)):
        inputs = probe.inputs(**sizes)
        given = arrays(call(model, [inputs], training=False))
        _close(given, probe.call(layer, inputs), probe, "a functional model differs")
        _close(arrays(call(loaded, [inputs], training=False)), given, probe, "loading changed it", atol=0)


def _saved(probe: Probe, layer: Any) -> tuple[Any, Any]:
    """A functional model around the layer, and the same from a `.keras` file."""
    inputs = [
        keras.Input([None if probe.free(a) and a not in "CD" else probe.size(a) for a in axes[1:]])
        for axes in probe.ins
    ]
    model = keras.Model(inputs, layer(*inputs))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return model, keras.saving.load_model(path)


def the_config_comes_back(probe: Probe) -> None:
    """`get_config` holds the arguments as given, and builds a layer of the same config."""
    layer = probe.config.layer(name="a_name")
    config = layer.get_config()
    assert config["name"] == "a_name", f"{probe.name}: get_config loses the name"
    again = type(layer).from_config(config)
    assert again.get_config() == config, f"{probe.name}: {again.get_config()} is not {config}"
    for name, value in maskkit.to_dict(probe.config).items():
        assert name == "type" or maskkit.to_dict(again.config)[name] == value, (
            f"{probe.name}: get_config changes {name}"
        )


@frozen(kw_only=True)
class Pixels(Mask):
    """The pixels of a map that an array allows."""

    name = "pixels"
    array: Any = field(eq=by_content)

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width)."""
        return tuple(self.array.shape)

    def allows(self, *index: Any) -> Any:
        """What the array says there."""
        return take(self.array, *index)


# -- masks ------------------------------------------------------------------------------------------------------------


def blocked_keys_are_unseen(probe: Probe) -> None:
    """What stands at blocked keys changes nothing at the other positions."""
    if "keys" not in probe.masks:
        return
    layer, inputs = probe.layer(), probe.inputs()
    keep = probe.some_keys(inputs)
    changed = _with_noise(inputs, ~keep)
    before, after = (probe.call(layer, x, **probe.key_mask(keep, x)) for x in (inputs, changed))
    rows = None if probe.cross else keep
    _close(_rows(after, rows, inputs), _rows(before, rows, inputs), probe, "blocked keys are seen")
    seen = probe.call(layer, changed)
    assert not np.allclose(seen[0], probe.call(layer, inputs)[0], atol=1e-3), f"{probe.name}: it sees nothing at all"


def carried_masks_are_obeyed(probe: Probe) -> None:
    """The mask that Keras carries along acts as the same mask given aloud, alone and together with another."""
    if "keys" not in probe.masks or probe.on_map:
        return
    layer, inputs = probe.layer(), probe.inputs()
    if not probe.takes(layer, "attention_mask"):
        return
    keep = probe.some_keys(inputs)
    expected = probe.call(layer, inputs, attention_mask=keep)
    carried = [*[None] * (len(inputs) - 1), keep]
    _close(probe.call(layer, inputs, carried), expected, probe, "a carried mask is not obeyed")
    both = probe.call(layer, inputs, carried, attention_mask=np.ones_like(keep))
    _close(both, expected, probe, "a carried mask is dropped where an attention_mask is given")


def the_future_is_unseen(probe: Probe) -> None:
    """With the causal mask, later tokens change nothing; it equals the same mask as an array and as a mask value."""
    if "causal" not in probe.masks or probe.cross:
        return
    layer, inputs = probe.layer(), probe.inputs()
    tokens, t = probe.tokens(inputs), probe.tokens(inputs) // 2
    before = probe.call(layer, inputs, use_causal_mask=True)
    after = probe.call(layer, _with_noise(inputs, np.arange(tokens)[None] >= t), use_causal_mask=True)
    _close([y[:, :t] for y in after], [y[:, :t] for y in before], probe, "the future is seen")
    assert not np.allclose(before[0], probe.call(layer, inputs)[0], atol=1e-3), (
        f"{probe.name}: use_causal_mask does nothing"
    )
    if "pairs" in probe.masks and probe.config.row_local:
        array = np.tril(np.ones((1, tokens, tokens), bool))
        _close(probe.call(layer, inputs, attention_mask=array), before, probe, "the causal mask as an array differs")


def pairs_are_obeyed(probe: Probe) -> None:
    """A query sees nothing of what its row of a (1, queries, keys) mask blocks; a mask value says the same."""
    if "pairs" not in probe.masks:
        return
    layer, inputs = probe.layer(), probe.inputs()
    queries, keys = probe.tokens(inputs, 0), probe.tokens(inputs)
    allowed = np.random.default_rng(7).random((queries, keys)) < 0.6
    allowed[:, -1] = True
    allowed[:, 1] = False
    if not probe.config.row_local and not probe.cross:
        allowed[1] = False  # a token that neither sees nor is seen
    before = probe.call(layer, inputs, attention_mask=allowed[None])
    for key in range(keys) if probe.config.row_local else (1,):
        blocked = np.arange(keys)[None] == key
        after = probe.call(layer, _with_noise(inputs, blocked), attention_mask=allowed[None])
        rows = ~allowed[:, key] if probe.cross else ~allowed[:, key] & (np.arange(queries) != key)
        rows = np.broadcast_to(rows, (len(inputs[0]), queries))
        _close(_rows(after, rows, inputs), _rows(before, rows, inputs), probe, f"key {key} is seen where it is blocked")
    value = maskkit.from_array(allowed, true="allowed")
    _close(probe.call(layer, inputs, attention_mask=value), before, probe, "a mask value differs from its array")


def mask_values_are_keys(probe: Probe) -> None:
    """On feature maps a mask value of shape (height, width) allows pixels, for the whole batch."""
    if "keys" not in probe.masks or not probe.on_map:
        return
    layer, inputs = probe.layer(), probe.inputs()
    keep = probe.some_keys(inputs)[0]
    as_array = probe.call(layer, inputs, **probe.key_mask(np.broadcast_to(keep, (len(inputs[0]), keep.size)), inputs))
    name = next(iter(probe.key_mask(probe.some_keys(inputs), inputs)))
    value = Pixels(array=keep.reshape(inputs[0].shape[1:3]))
    options: dict[str, Any] = {name: value}
    _close(probe.call(layer, inputs, **options), as_array, probe, "a mask value differs from its array")


def nothing_allowed_is_finite(probe: Probe) -> None:
    """All, some, no keys allowed: finite values and gradients in every precision; nothing seen gives what is stated."""
    if "keys" not in probe.masks:
        return
    inputs = probe.inputs()
    for precision in PRECISIONS:
        layer = probe.layer(biases=False, dtype=precision)
        keep = np.stack(
            [np.ones(probe.tokens(inputs), bool), probe.some_keys(inputs)[0], np.zeros(probe.tokens(inputs), bool)]
        )
        found = differentiate(layer, inputs, **probe.key_mask(keep, inputs), **probe.defaults(layer))
        _finite(found, probe, f"in {precision}")
        _seen_nothing([y[2:] for y in found.outputs], [x[2:] for x in inputs], probe, precision)


def a_blocked_row_is_finite(probe: Probe) -> None:
    """So with one query that may see nothing, in a mask of pairs, with the fused kernels and with weights returned."""
    if "pairs" not in probe.masks:
        return
    inputs = probe.inputs()
    allowed = np.ones((1, probe.tokens(inputs, 0), probe.tokens(inputs)), bool)
    allowed[0, 1] = False
    rows = np.broadcast_to(~allowed.any(-1), (len(inputs[0]), allowed.shape[1]))
    for precision in PRECISIONS:
        layer = probe.layer(biases=False, dtype=precision)
        options = {"attention_mask": allowed, **probe.defaults(layer)}
        for more in [{}, {"return_attention_scores": True}][: 1 + probe.takes(layer, "return_attention_scores")]:
            found = differentiate(layer, inputs, **options, **more)
            _finite(found, probe, f"in {precision}")
            seen = _rows(found.outputs[:1], rows, inputs)
            _seen_nothing(seen, _rows(inputs[:1], rows, inputs), probe, precision)


def weights_are_shares(probe: Probe) -> None:
    """Returned weights are not negative where softmax makes them, blocked ones are 0, and asking changes no output."""
    layer, inputs = probe.layer(), probe.inputs()
    if not probe.takes(layer, "return_attention_scores"):
        return
    options = probe.key_mask(probe.some_keys(inputs), inputs) if "keys" in probe.masks else {}
    outputs = probe.call(layer, inputs, **options)
    *again, weights = probe.call(layer, inputs, return_attention_scores=True, **options)
    _close(again, outputs, probe, "asking for the weights changes the output", atol=1e-5)
    assert weights.ndim == 4, f"{probe.name}: weights have the shape {weights.shape}, not (B, heads, queries, keys)"
    if len(weights) != len(inputs[0]):
        return  # windows of a map
    assert weights.shape[2] == probe.tokens(inputs, 0), f"{probe.name}: weights have the shape {weights.shape}"
    if options and weights.shape[3] == probe.tokens(inputs):
        blocked = np.broadcast_to(~probe.some_keys(inputs)[:, None, None], weights.shape)
        assert not weights[blocked].any(), f"{probe.name}: blocked keys have weights"


# -- numbers ----------------------------------------------------------------------------------------------------------


def kernels_start_apart(probe: Probe) -> None:
    """No two columns of any kernels of equal height start equal, with and without a seed."""
    layers = [probe.new_layer()]
    if hasattr(probe.config, "kernel_initializer"):
        seeded = {"class_name": "GlorotUniform", "config": {"seed": 3}}
        layers.append(probe.built(type(layers[0])(**{**_params(probe.config), "kernel_initializer": seeded})))
    for layer in layers:
        columns: dict[int, list[Array]] = {}
        for weight in layer.trainable_weights:
            values = ops.convert_to_numpy(weight.value)
            if values.ndim > 1 and values.std() > 0:
                columns.setdefault(len(values), []).extend(values.reshape(len(values), -1).T)
        for some in columns.values():
            if len(some[0]) > 1:
                assert len(np.unique(some, axis=0)) == len(some), f"{probe.name}: kernels start equal"


def _params(config: Any) -> dict[str, Any]:
    return {a.name: getattr(config, a.name) for a in type(config).__attrs_attrs__}


def samples_are_apart(probe: Probe) -> None:
    """A sample's output does not depend on the others of its batch."""
    layer, inputs = probe.layer(), probe.inputs()
    together = probe.call(layer, inputs)
    alone = probe.call(layer, [x[1:2] for x in inputs])
    _close(alone, [y[1:2] for y in together], probe, "the batch is mixed")


def gradients_reach_every_weight(probe: Probe) -> None:
    """Every trainable weight has a gradient, and it is not 0 (but for biases of keys, which no softmax notices)."""
    layer, inputs = probe.layer(), probe.inputs()
    found, of_inputs = gradients(layer, inputs, **probe.defaults(layer))
    for weight, gradient in zip(layer.trainable_weights, found, strict=True):
        assert gradient is not None, f"{probe.name}: no gradient reaches {weight.path}"
        assert np.isfinite(gradient).all(), f"{probe.name}: the gradient of {weight.path} is not finite"
        unnoticed = "key" in weight.path and "bias" in weight.path
        assert gradient.any() or unnoticed, f"{probe.name}: the gradient of {weight.path} is 0"
    for gradient in of_inputs:
        assert gradient is not None, f"{probe.name}: no gradient reaches an input"
        assert gradient.any(), f"{probe.name}: the gradient of an input is 0"


def compiled_is_eager(probe: Probe) -> None:
    """Traced as a whole, the layer gives what it gives call by call."""
    layer, inputs = probe.layer(), probe.inputs()
    options = probe.defaults(layer)
    if "keys" in probe.masks:
        options |= {
            name: ops.convert_to_tensor(m) for name, m in probe.key_mask(probe.some_keys(inputs), inputs).items()
        }
    if "causal" in probe.masks and not probe.cross:
        options["use_causal_mask"] = True
    traced = compiled(layer, **options)(*[ops.convert_to_tensor(x) for x in inputs])
    eager = layer(*[ops.convert_to_tensor(x) for x in inputs], **options)
    _close(arrays(traced), arrays(eager), probe, "compiled differs from eager")


def precisions_agree(probe: Probe) -> None:
    """In half precision the outputs are of that dtype, and as near to those of float32 as rounding explains.

    What rounding explains differs from layer to layer, for some amplify it. It is measured: how far the float32 outputs
    move, for the same rounded weights and inputs, once each of these is moved by a unit in its last place.
    """
    inputs = probe.inputs()
    full, weights = probe.new_layer(), [ops.convert_to_numpy(weight.value) for weight in probe.layer().weights]

    def outputs(draw: int | None) -> list[Array]:
        for weight, value in zip(full.weights, weights, strict=True):
            weight.assign(_rounded(value, dtype, draw))
        return probe.call(full, [_rounded(x, dtype, draw) for x in inputs])

    for dtype in ("float16", "bfloat16"):
        layer = probe.layer(dtype=f"mixed_{dtype}")
        raw = call(layer, inputs, **probe.defaults(layer))
        for output in keras.tree.flatten(raw):
            given = keras.backend.standardize_dtype(output.dtype)
            assert given == dtype, f"{probe.name}: the output is {given} in mixed_{dtype}"
        exact, moved = outputs(None), [outputs(draw) for draw in range(3)]
        for i, (half, whole) in enumerate(zip(arrays(raw), exact, strict=True)):
            explained = 2 * max(np.abs(some[i] - whole).max() for some in moved)
            gap = np.abs(half - whole).max()
            assert gap <= explained, f"{probe.name}: mixed_{dtype} is {gap:.2g} away from float32, not {explained:.2g}"


def _rounded(values: Array, dtype: str, draw: int | None) -> Array:
    """In half precision, but as float32; with a `draw` of signs, moved by a unit in the last place."""
    if values.dtype.kind != "f":
        return values
    rounded: Array = ops.convert_to_numpy(ops.cast(ops.cast(ops.convert_to_tensor(values), dtype), "float32"))
    if draw is None:
        return rounded
    sign = np.random.default_rng(draw).choice((-1, 1), size=values.shape)
    moved: Array = rounded * (1 + sign * {"float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype])
    return moved.astype("float32")


CHECKS: tuple[Callable[[Probe], None], ...] = (
    shapes_are_declared,
    sizes_may_be_unknown,
    the_config_comes_back,
    blocked_keys_are_unseen,
    carried_masks_are_obeyed,
    the_future_is_unseen,
    pairs_are_obeyed,
    mask_values_are_keys,
    nothing_allowed_is_finite,
    a_blocked_row_is_finite,
    weights_are_shares,
    kernels_start_apart,
    samples_are_apart,
    gradients_reach_every_weight,
    compiled_is_eager,
    precisions_agree,
)
"""Everything an attention layer promises."""


# -- helpers ----------------------------------------------------------------------------------------------------------


def _with_noise(inputs: list[Array], where: Array) -> list[Array]:
    """The inputs, with other content at some of the keys (booleans (batch or 1, keys))."""
    *others, keys = inputs
    where = np.broadcast_to(where, (len(keys), where.shape[-1])).reshape(keys.shape[:-1])
    noise = 3 * np.random.default_rng(9).normal(size=keys.shape).astype(keys.dtype)
    return [*others, np.where(where[..., None], keys + noise, keys)]


def _rows(outputs: list[Array], rows: Array | None, inputs: list[Array]) -> list[Array]:
    """The outputs at some of the queries (booleans (batch, queries)), where outputs stand in the place of queries."""
    if rows is None:
        return outputs
    place = inputs[0].shape[:-1]
    return [y[rows.reshape(place)] if y.shape[: len(place)] == place else y for y in outputs]


def _seen_nothing(outputs: list[Array], inputs: list[Array], probe: Probe, precision: str) -> None:
    if not probe.config.blocked:
        return
    expected = inputs[0] if probe.config.blocked == "input" else np.zeros_like(outputs[0])
    atol = 0 if probe.config.blocked == "zeros" else 0.02
    _close(outputs[:1], [expected], probe, f"seeing nothing does not give {probe.config.blocked} in {precision}", atol)


def _finite(found: Differentiated, probe: Probe, where: str) -> None:
    for what, part in zip(("an output", "the gradient of a weight", "the gradient of an input"), found, strict=True):
        for array in part:
            assert array is None or np.isfinite(array).all(), f"{probe.name}: {what} is not finite {where}"


def _close(actual: list[Array], expected: list[Array], probe: Probe, otherwise: str, atol: float = 2e-5) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape, f"{probe.name}: {otherwise}: shape {a.shape}, not {e.shape}"
        gap = np.abs(a - e).max(initial=0)
        assert gap <= atol * max(1.0, np.abs(e).max(initial=0)), f"{probe.name}: {otherwise}, by {gap:.3g}"

"""Checks of masks: what is blocked is not seen, whichever way the mask comes, and is finite in every precision."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from attrs import field, frozen
from keras import ops
import maskkit
from maskkit import ConfigError, Mask, by_content, take
from maskkit_keras.testing.calls import differentiate
from maskkit_keras.testing.compare import Array, check_close, check_finite, rows_of, with_noise
from maskkit_keras.testing.probe import Probe

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


def blocked_keys_are_unseen(probe: Probe) -> None:
    """What stands at blocked keys changes nothing at the other positions."""
    if "keys" not in probe.masks:
        return
    layer, inputs = probe.layer(), probe.inputs()
    keep = probe.some_keys(inputs)
    changed = with_noise(inputs, ~keep)
    before, after = (probe.call(layer, x, **probe.key_mask(keep, x)) for x in (inputs, changed))
    rows, others = (None, None) if probe.cross else (keep, ~keep)
    swapped = probe.call(layer, with_noise(inputs, keep), **probe.key_mask(keep, inputs))
    turned = _equal_rows(swapped, before, others, inputs) and not _equal_rows(after, before, others, inputs)
    fault = "the mask is read the wrong way round: blocked keys are seen, and allowed ones are not"
    check_close(
        rows_of(after, rows, inputs),
        rows_of(before, rows, inputs),
        probe,
        fault if turned else "blocked keys are seen",
    )
    seen = probe.call(layer, changed)
    assert not np.allclose(seen[0], probe.call(layer, inputs)[0], atol=1e-3), f"{probe.name}: it sees nothing at all"


def _equal_rows(one: list[Array], other: list[Array], rows: Array | None, inputs: list[Array]) -> bool:
    parts = zip(rows_of(one, rows, inputs), rows_of(other, rows, inputs), strict=True)
    return all(np.allclose(a, b, atol=1e-5) for a, b in parts)


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
    check_close(probe.call(layer, inputs, carried), expected, probe, "a carried mask is not obeyed")
    both = probe.call(layer, inputs, carried, attention_mask=np.ones_like(keep))
    check_close(both, expected, probe, "a carried mask is dropped where an attention_mask is given")


def the_future_is_unseen(probe: Probe) -> None:
    """With the causal mask, later tokens change nothing; it equals the same mask as an array and as a mask value."""
    if "causal" not in probe.masks or probe.cross:
        return
    layer, inputs = probe.layer(), probe.inputs()
    tokens, t = probe.tokens(inputs), probe.tokens(inputs) // 2
    before = probe.call(layer, inputs, use_causal_mask=True)
    after = probe.call(layer, with_noise(inputs, np.arange(tokens)[None] >= t), use_causal_mask=True)
    check_close([y[:, :t] for y in after], [y[:, :t] for y in before], probe, "the future is seen")
    assert not np.allclose(before[0], probe.call(layer, inputs)[0], atol=1e-3), (
        f"{probe.name}: use_causal_mask does nothing"
    )
    if "pairs" in probe.masks and probe.config.row_local:
        array = np.tril(np.ones((1, tokens, tokens), bool))
        check_close(
            probe.call(layer, inputs, attention_mask=array), before, probe, "the causal mask as an array differs"
        )


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
        after = probe.call(layer, with_noise(inputs, blocked), attention_mask=allowed[None])
        rows = ~allowed[:, key] if probe.cross else ~allowed[:, key] & (np.arange(queries) != key)
        rows = np.broadcast_to(rows, (len(inputs[0]), queries))
        check_close(
            rows_of(after, rows, inputs), rows_of(before, rows, inputs), probe, f"key {key} is seen where it is blocked"
        )
    value = maskkit.from_array(allowed, true="allowed")
    check_close(probe.call(layer, inputs, attention_mask=value), before, probe, "a mask value differs from its array")


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
    check_close(probe.call(layer, inputs, **options), as_array, probe, "a mask value differs from its array")


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
        check_finite(found, probe, f"in {precision}", layer)
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
            check_finite(found, probe, f"in {precision}", layer)
            seen = rows_of(found.outputs[:1], rows, inputs)
            _seen_nothing(seen, rows_of(inputs[:1], rows, inputs), probe, precision)


def _seen_nothing(outputs: list[Array], inputs: list[Array], probe: Probe, precision: str) -> None:
    if not probe.config.blocked:
        return
    expected = inputs[0] if probe.config.blocked == "input" else np.zeros_like(outputs[0])
    atol = 0 if probe.config.blocked == "zeros" else 0.02
    check_close(
        outputs[:1], [expected], probe, f"seeing nothing does not give {probe.config.blocked} in {precision}", atol
    )


def what_is_no_mask_is_refused(probe: Probe) -> None:
    """Floats that are neither 0 nor 1 are no mask, nor is an array of which only its place says that it is one."""
    if "keys" not in probe.masks:
        return
    layer, inputs = probe.layer(), probe.inputs()
    (name, keep), *_ = probe.key_mask(probe.some_keys(inputs), inputs).items()
    for array in (0.7 * keep, keep - 1.0, -1 * keep):
        entry = next(number for number in array.flat if number not in (0, 1))
        with refusal(f"Parameter '{name}' must be booleans, or numbers that are 0 or 1", f"with the entry {entry:g}"):
            layer(*map(ops.convert_to_tensor, inputs), **{name: array}, **probe.defaults(layer))
    arguments = list(inspect.signature(layer.call).parameters)
    before = [*inputs, *[None] * arguments.index(name)][: arguments.index(name)]
    with refusal("by position", f"give it as {name}="):
        layer(*before, keep, **probe.defaults(layer))


@contextmanager
def refusal(*words: str) -> Iterator[None]:
    """What happens within is a ConfigError whose text has these words."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
    else:
        raise AssertionError(f"not refused: {words}")
    assert all(word in text for word in words), f"{words} are not all in: {text}"


def weights_are_shares(probe: Probe) -> None:
    """Returned weights are not negative where softmax makes them, blocked ones are 0, and asking changes no output."""
    layer, inputs = probe.layer(), probe.inputs()
    if not probe.takes(layer, "return_attention_scores"):
        return
    options = probe.key_mask(probe.some_keys(inputs), inputs) if "keys" in probe.masks else {}
    outputs = probe.call(layer, inputs, **options)
    *again, weights = probe.call(layer, inputs, return_attention_scores=True, **options)
    check_close(again, outputs, probe, "asking for the weights changes the output", atol=1e-5)
    assert weights.ndim == 4, f"{probe.name}: weights have the shape {weights.shape}, not (B, heads, queries, keys)"
    if len(weights) != len(inputs[0]):
        return  # windows of a map
    assert weights.shape[2] == probe.tokens(inputs, 0), f"{probe.name}: weights have the shape {weights.shape}"
    if options and weights.shape[3] == probe.tokens(inputs):
        blocked = np.broadcast_to(~probe.some_keys(inputs)[:, None, None], weights.shape)
        assert not weights[blocked].any(), f"{probe.name}: blocked keys have weights"


CHECKS: tuple[Callable[[Probe], None], ...] = (
    blocked_keys_are_unseen,
    carried_masks_are_obeyed,
    the_future_is_unseen,
    pairs_are_obeyed,
    mask_values_are_keys,
    nothing_allowed_is_finite,
    a_blocked_row_is_finite,
    what_is_no_mask_is_refused,
    weights_are_shares,
)

"""Padding changes nothing, or `trace_masks` says so: installed attention, Keras' layers, and layers of one's own."""

import keras
import numpy as np
import pytest
from keras import layers, ops
import maskkit
from maskkit_keras import MaskedAttention, MaskedEmbedding, TokenMasking, trace_masks
from maskkit_keras.masks import carry_mask
from maskkit_keras.obeyed import reads_blocked
from maskkit_keras.testing import Probe, ways

READ_PADDING = {"fnet"}
"""A Fourier transform depends on how long the padding is."""

NAMES = maskkit.names("attention")
if keras.backend.backend() != "torch":  # where every operation is compiled for every length, all take minutes
    NAMES = [name for name in NAMES if name in ("fnet", "multi_head", "perceiver")]

TOKENS = np.array([[1, 2, 3, 4], [5, 6, 7, 0]])


def installed():
    """The first sample of every attention, called in each way that it can be."""
    for name in NAMES:
        cls = maskkit.find(name, "attention")
        for way in range(len(ways(maskkit.build(cls, cls.samples[0])))):
            yield pytest.param(name, way, id=f"{name}-{way}")


def numbers(x):
    return ops.convert_to_numpy(x)


def masked(x, blocked=2):
    """A tensor that carries a mask of all axes but the last, with the last steps blocked in the first sample."""
    mask = np.ones(x.shape[:-1], bool)
    mask[0, -blocked:] = False
    return carry_mask(ops.convert_to_tensor(x), ops.convert_to_tensor(mask))


@pytest.mark.parametrize(("name", "way"), [*installed()])
def test_an_attention_reads_no_padding_or_is_known_to(name, way):
    cls = maskkit.find(name, "attention")
    probe = Probe(cls, cls.samples[0], way)
    layer = probe.layer()
    inputs = tuple(masked(x) for x in probe.inputs())
    assert reads_blocked(layer, inputs, probe.defaults(layer)) == (name in READ_PADDING)


def one_sequence():
    for name in NAMES:
        config = maskkit.config(f"attention.{name}", **maskkit.find(name, "attention").samples[0])
        if ways(config)[0][0][0][1] == "T":
            yield pytest.param(config, id=name)


@pytest.mark.parametrize("config", [*one_sequence()])
def test_more_padding_changes_nothing_in_a_model_or_the_trace_says_so(config):
    """As a user would test it: the same text, padded further."""
    probe = Probe(type(config), type(config).samples[0])
    tokens = keras.Input((None,), dtype="int32")
    embedded = MaskedEmbedding(10, probe.inputs()[0].shape[-1])(TokenMasking(0)(tokens))
    model = keras.Model(tokens, layers.GlobalAveragePooling1D()(config.layer(name="attention")(embedded)))
    longer = np.pad(TOKENS, ((0, 0), (0, 3)))
    gap = np.abs(numbers(model(TOKENS)) - numbers(model(longer))).max()
    assert trace_masks(model).dropped == (("attention",) if gap > 1e-4 else ())
    assert (gap > 1e-4) == (config.name in READ_PADDING)


def test_masked_attention_reads_no_padding():
    """Whose masks Keras does not carry, but hands over by name."""
    layer = MaskedAttention({"type": "multi_head", "embed_dim": 4, "num_heads": 2}, "causal")
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    assert not reads_blocked(layer, (masked(x),), {})


class Centred(layers.Layer):
    """Passes the mask on, and mixes the steps without it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.supports_masking = True

    def call(self, inputs):
        return inputs - ops.mean(inputs, axis=1, keepdims=True)


class Ignores(Centred):
    """Takes the mask, and mixes without it all the same."""

    def call(self, inputs, mask=None):
        return super().call(inputs)


class Pools(Ignores):
    """Takes the mask, and sums over the padding."""

    def call(self, inputs, mask=None):
        return ops.sum(inputs, axis=1)

    def compute_mask(self, inputs, mask=None):
        return None


class Counts(Centred):
    """Obeys the mask in what it reads, and divides by the padded length."""

    def call(self, inputs, mask=None):
        kept = inputs * ops.cast(mask, inputs.dtype)[..., None]
        return inputs - ops.mean(kept, axis=1, keepdims=True)


class Doubles(Centred):
    """Mixes nothing."""

    def call(self, inputs):
        return inputs * 2


READERS = {
    "own, passes on": Centred,
    "own, takes": Ignores,
    "own, ends": Pools,
    "own, length": Counts,
    "group norm": lambda **o: layers.GroupNormalization(2, **o),
    "layer norm of steps": lambda **o: layers.LayerNormalization(axis=(1, 2), **o),
}
OTHERS = {
    "own": Doubles,
    "dense": lambda **o: layers.Dense(3, **o),
    "layer norm": layers.LayerNormalization,
    "batch norm": layers.BatchNormalization,
    "lstm": lambda **o: layers.LSTM(3, return_sequences=True, **o),
    "last of lstm": lambda **o: layers.LSTM(3, **o),
    "both ways": lambda **o: layers.Bidirectional(layers.LSTM(3, return_sequences=True), **o),
    "pool": layers.GlobalAveragePooling1D,
}


@pytest.mark.parametrize("length", [None, 5])
@pytest.mark.parametrize("name", [*READERS, *OTHERS])
def test_a_layer_that_reads_padding_is_caught(name, length):
    """Though it passes the mask on, takes it, or ends it; also where the model has one length."""
    if (name, length) == ("layer norm of steps", None):
        pytest.skip("takes one length only")
    tokens = keras.Input((length,), dtype="int32")
    layer = {**READERS, **OTHERS}[name](name="mine")
    model = keras.Model(tokens, layer(MaskedEmbedding(10, 4)(TokenMasking(0)(tokens))))
    trace = trace_masks(model)
    assert trace.dropped == (("mine",) if name in READERS else ())
    assert trace.dropped == trace_masks(model, np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])).dropped
    assert ("mine reads padding" in str(trace)) == (name in READERS)


def test_cross_attention_reads_the_padding_of_no_input():
    text, pixels = keras.Input((4, 8)), keras.Input((6, 8))
    y = layers.MultiHeadAttention(2, 4, name="cross")(layers.Masking()(text), layers.Masking()(pixels))
    assert trace_masks(keras.Model([text, pixels], y)).dropped == ()


def test_in_half_precision_rounding_is_no_leak():
    tokens = keras.Input((None,), dtype="int32")
    embedded = MaskedEmbedding(10, 4, dtype="mixed_bfloat16")(TokenMasking(0)(tokens))
    attention = maskkit.config("multi_head", embed_dim=4, num_heads=2).layer(dtype="mixed_bfloat16")
    assert trace_masks(keras.Model(tokens, attention(embedded))).dropped == ()


def test_a_model_that_cannot_be_run_on_made_up_inputs_says_so():
    """And is measured on those that are given."""
    tokens = keras.Input((4,), dtype="int32")

    class Particular(keras.Model):
        def call(self, inputs, training=None, mask=None):
            if inputs.shape[0] == 2 and (numbers(inputs) == 1).sum() > 2:
                raise ValueError("wants other tokens")
            return super().call(inputs, training=training, mask=mask)

    model = Particular(tokens, Centred(name="mine")(MaskedEmbedding(10, 4)(TokenMasking(0)(tokens))))
    assert trace_masks(model, TOKENS).dropped == ("mine",)
    with pytest.raises(maskkit.ConfigError, match=r"(?s)made-up inputs: give some, trace_masks.*wants other tokens"):
        trace_masks(model)

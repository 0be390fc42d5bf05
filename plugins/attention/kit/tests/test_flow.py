"""From tokens to the end of a model: every attention of tokens obeys the padding, and carries its mask on."""

import keras
import numpy as np
import pytest
from keras import layers, ops
import maskkit
from maskkit_keras import MaskedEmbedding, TokenMasking, carried_mask, pad_sequences, trace_masks
from maskkit_keras.testing import Probe, ways


def attention_of_tokens():
    """The first sample of every installed attention that takes one sequence of tokens, and how it is called."""
    for name in maskkit.names("attention"):
        cls = maskkit.find(name, "attention")
        calls = ways(maskkit.config(f"attention.{name}", **cls.samples[0]))
        alone = [i for i, (ins, _) in enumerate(calls) if len(ins) == 1 and len(ins[0]) == 3]
        if alone:
            yield pytest.param(Probe(cls, cls.samples[0], alone[0]), id=name)


PROBES = [*attention_of_tokens()]


def model_with(probe):
    """TokenMasking, MaskedEmbedding, attention, LSTM, GlobalAveragePooling1D."""
    _, steps, width = probe.ins[0]
    tokens = keras.Input((None if probe.free(steps) else probe.size(steps),), dtype="int32")
    embedded = MaskedEmbedding(20, probe.size(width), name="embedding")(TokenMasking(name="masking")(tokens))
    attended = probe.config.layer(name="attention")(embedded)
    recurrent = layers.LSTM(3, return_sequences=True, name="lstm")(attended)
    return keras.Model(tokens, [attended, recurrent, layers.GlobalAveragePooling1D(name="pool")(recurrent)])


def batch_for(probe):
    """A full sample, and one that is padded to its length."""
    length = probe.size(probe.ins[0][1])
    tokens = np.random.default_rng(0).integers(1, 20, (2, length))
    tokens[1, length - 2 :] = 0
    return tokens


def test_there_are_such_layers():
    assert len(PROBES) >= 10


@pytest.mark.parametrize("probe", PROBES)
def test_the_mask_arrives_at_the_end(probe):
    """The pooled output is the mean over the real tokens alone; fnet alone reads how much padding there is."""
    model, tokens = model_with(probe), batch_for(probe)
    trace = trace_masks(model)
    assert trace.dropped == (("attention",) if probe.config.name == "fnet" else ())
    assert [step.layer for step in trace.steps] == ["masking", "embedding", "attention", "lstm", "pool"]
    assert [step.what for step in trace.steps[3:]] == ["uses it, passes it on", "uses it, ends it"]
    attended, recurrent, pooled = model(tokens)
    np.testing.assert_array_equal(ops.convert_to_numpy(carried_mask(recurrent)), tokens != 0)
    np.testing.assert_array_equal(ops.convert_to_numpy(carried_mask(attended)), tokens != 0)
    real = [ops.convert_to_numpy(recurrent)[i, row != 0].mean(axis=0) for i, row in enumerate(tokens)]
    np.testing.assert_allclose(ops.convert_to_numpy(pooled), real, atol=1e-6)


@pytest.mark.parametrize("probe", [p for p in PROBES if p.values[0].free(p.values[0].ins[0][1]) and p.id != "fnet"])
def test_more_padding_changes_nothing(probe):
    """Where the length is free; but the frequencies of fnet are those of the padded length, by definition."""
    model, tokens = model_with(probe), batch_for(probe)
    longer = np.pad(tokens, ((0, 0), (0, 3)))
    for found, expected in zip(model(longer), model(tokens), strict=True):
        found, expected = ops.convert_to_numpy(found), ops.convert_to_numpy(expected)
        if found.ndim == 3:
            found, expected = (y[:, : tokens.shape[1]][tokens != 0] for y in (found, expected))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_features_flow_as_tokens_do():
    """Features that are padded with a number of their own, through `TokenMasking` to the end of an LSTM."""
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    x[1, 3:] = -9
    features = keras.Input((None, 4))
    attended = maskkit.create("multi_head", embed_dim=4, num_heads=2)(TokenMasking(-9)(features))
    model = keras.Model(features, layers.LSTM(3)(attended))
    padded, short = (ops.convert_to_numpy(model(batch)) for batch in (x[1:], x[1:, :3]))
    np.testing.assert_allclose(padded, short, atol=1e-6)


def test_a_mask_as_a_second_input_lets_the_pad_value_be_a_token():
    """The mask of `pad_sequences` trains with the array; zeros inside a sequence stay real."""
    padded, mask = pad_sequences([[0, 5, 0], [7]])
    tokens, real = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="bool")
    pooled = layers.GlobalAveragePooling1D()(MaskedEmbedding(9, 2, name="embedding")(tokens, mask=real))
    model = keras.Model([tokens, real], pooled)
    model.compile("sgd", "mse")
    model.fit([padded, mask.allowed()], np.zeros((2, 2)), verbose=0)
    table = model.get_layer("embedding").get_weights()[0]
    found = model.predict([padded, mask.allowed()], verbose=0)
    np.testing.assert_allclose(found, [table[[0, 5, 0]].mean(axis=0), table[7]], atol=1e-6)

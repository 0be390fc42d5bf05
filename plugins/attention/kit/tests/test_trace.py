"""`trace_masks` shows who makes, uses, passes on and loses a mask, and how it is printed."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops
import maskkit
from maskkit_keras import MaskedAttention, MaskedEmbedding, TokenMasking, trace_masks

TOKENS = np.array([[1, 2, 0], [3, 0, 0]])


class Forgets(layers.Layer):
    def call(self, inputs):
        return inputs * 2


class Takes(layers.Layer):
    """Takes the mask, and forgets to say that it supports masking."""

    def call(self, inputs, mask=None):
        return inputs * 2


class Remembers(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.supports_masking = True

    def call(self, inputs):
        return inputs * 2


class Block(layers.Layer):
    """Passes the mask on, but loses it inside."""

    def __init__(self, **options):
        super().__init__(**options)
        self.supports_masking = True
        self.forgets, self.dense = Forgets(name="inner"), layers.Dense(4, name="dense")

    def call(self, inputs):
        return self.dense(self.forgets(inputs))


def chain(*more, length=None):
    x = tokens = keras.Input((length,), dtype="int32")
    for layer in (TokenMasking(name="masking"), MaskedEmbedding(9, 4, name="embedding"), *more):
        x = layer(x)
    return keras.Model(tokens, x)


def whats(trace):
    return [(step.layer, step.what) for step in trace.steps]


ATTENTION = {"type": "multi_head", "embed_dim": 4, "num_heads": 2}


def test_a_model_that_carries_the_mask_to_the_end():
    model = chain(
        MaskedAttention(ATTENTION, "causal", name="attention"),
        layers.Dense(4, name="dense"),
        Remembers(name="own"),
        layers.LSTM(3, return_sequences=True, name="lstm"),
        layers.GlobalAveragePooling1D(name="pool"),
    )
    trace = trace_masks(model)
    assert str(trace) == repr(trace)
    assert str(trace).splitlines() == [
        "layer                          mask in       what it does           mask out",
        "-----------------------------  ------------  ---------------------  ------------",
        "masking (TokenMasking)         -             makes it               (None, None)",
        "embedding (MaskedEmbedding)    (None, None)  uses it, passes it on  (None, None)",
        "attention (MaskedAttention)    (None, None)  uses it, passes it on  (None, None)",
        "dense (Dense)                  (None, None)  passes it on           (None, None)",
        "own (Remembers)                (None, None)  passes it on           (None, None)",
        "lstm (LSTM)                    (None, None)  uses it, passes it on  (None, None)",
        "pool (GlobalAveragePooling1D)  (None, None)  uses it, ends it       -",
    ]
    assert trace.dropped == ()


def test_the_page_prints_the_table_that_it_shows(capsys, tmp_path, monkeypatch):
    """On every backend; and all its snippets run."""
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[4] / "docs/keras-masks.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    namespace = {"__name__": "snippet"}
    for code in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(compile(code, "docs/keras-masks.md", "exec"), namespace)
    assert capsys.readouterr().out.startswith(table)


@pytest.mark.filterwarnings("ignore:.*does not support masking")
@pytest.mark.parametrize("layer", [Forgets, Takes])
def test_a_layer_that_forgets_the_mask_is_caught(layer):
    trace = trace_masks(chain(layer(name="mine"), layers.GlobalAveragePooling1D(name="pool"), length=5))
    assert whats(trace)[2:] == [("mine", "DROPS IT"), ("pool", "no mask")]
    assert trace.steps[2].incoming == ((None, 5),)
    assert trace.dropped == ("mine",)
    assert str(trace).splitlines()[-1] == (
        "mine loses the mask: set self.supports_masking = True in its __init__, or define compute_mask"
    )


@pytest.mark.filterwarnings("ignore:.*does not support masking")
def test_what_is_lost_inside_of_a_layer_is_caught():
    """The block itself passes the mask on."""
    trace = trace_masks(chain(Block(name="block")))
    assert whats(trace)[2:] == [("block", "passes it on"), ("inner", "DROPS IT"), ("dense", "no mask")]
    assert [step.depth for step in trace.steps] == [0, 0, 0, 1, 1]
    assert trace.dropped == ("inner",)


@pytest.mark.filterwarnings("ignore:.*does not support masking")
def test_masks_flow_into_models_inside():
    """Keras warns of models inside of others, and is wrong there."""
    x = keras.Input((None, 4))
    inner = keras.Model(x, layers.LSTM(4, return_sequences=True, name="lstm")(x), name="encoder")
    trace = trace_masks(chain(inner, layers.GlobalAveragePooling1D(name="pool")))
    assert whats(trace)[2:] == [
        ("encoder", "uses it, passes it on"),
        ("lstm", "uses it, passes it on"),
        ("pool", "uses it, ends it"),
    ]


def test_the_flag_per_sample_of_keras_masking_shows():
    tokens = keras.Input((5,))
    trace = trace_masks(keras.Model(tokens, layers.Masking()(tokens)))
    assert trace.steps[0].outgoing == ((None,),)


def test_several_inputs_show_each_their_mask():
    a, b = keras.Input((4, 8), name="a"), keras.Input((6, 8), name="b")
    y = layers.MultiHeadAttention(2, 4, name="mha")(layers.Masking()(a), b)
    trace = trace_masks(keras.Model({"a": a, "b": b}, y))
    last = trace.steps[-1]
    assert (last.layer, last.incoming, last.outgoing) == ("mha", ((None, 4), None), ((None, 4),))


@pytest.mark.filterwarnings("ignore:.*does not support masking")
def test_models_that_do_not_know_their_inputs_are_run_on_some():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.masking, self.embedding = TokenMasking(name="masking"), MaskedEmbedding(9, 4, name="embedding")
            self.takes = Takes(name="takes")

        def call(self, tokens):
            return self.takes(self.embedding(self.masking(tokens)))

    model = Subclassed()
    with pytest.raises(maskkit.ConfigError, match=r"does not know its inputs: give some, trace_masks\(model, x\)"):
        trace_masks(model)
    trace = trace_masks(model, TOKENS)
    assert [step.layer for step in trace.steps] == ["masking", "embedding", "takes"]
    assert trace.steps[0].outgoing == ((2, 3),)
    assert trace.dropped == ("takes",)


def test_sequential_models_and_single_layers_are_traced():
    model = keras.Sequential([TokenMasking(name="masking"), MaskedEmbedding(9, 4, name="embedding")])
    assert whats(trace_masks(model, TOKENS)) == [("masking", "makes it"), ("embedding", "uses it, passes it on")]
    assert whats(trace_masks(model)) == whats(trace_masks(model, TOKENS))
    assert whats(trace_masks(TokenMasking(name="masking"), ops.convert_to_tensor(TOKENS))) == [("masking", "makes it")]


def test_keras_is_left_as_it_was_even_after_an_error():
    before = layers.Layer.__call__
    model = chain(layers.GlobalAveragePooling1D())
    trace_masks(model)
    with pytest.raises(Exception, match=r".+"):
        trace_masks(model, np.zeros((2, 3, 4, 5)))
    assert layers.Layer.__call__ is before

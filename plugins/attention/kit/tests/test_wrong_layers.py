"""The kit for attention layers catches what it is there to catch, and says so in words that name the fault."""

import itertools

import keras
import numpy as np
import pytest
from attrs import field, frozen
from keras import ops
from maskkit import Attention, positive
from maskkit_keras import Allowed, AttentionLayer, allowed_pairs, project
from maskkit_keras.testing import CHECKS, Probe, check_config, contract

COUNT = itertools.count()


class GoodLayer(AttentionLayer):
    """Self-attention with one head, in parts that the faults below replace."""

    def build(self, input_shape):
        channels = input_shape[-1]
        self.query_kernel = self.kernel("query_kernel", (channels, self.width))
        self.key_kernel = self.kernel("key_kernel", (channels, self.width))
        self.value_kernel = self.kernel("value_kernel", (channels, channels))

    def kernel(self, name, shape):
        return self.add_weight(name=name, shape=shape, initializer="glorot_uniform")

    def call(self, inputs, attention_mask=None, use_causal_mask=False, return_attention_scores=False, mask=None):
        query, key, value = (project(inputs[:, :, None], kernel) for kernel in self.kernels())
        allowed = self.allowed(inputs, attention_mask, mask, use_causal_mask)
        outputs, weights = self.computed(query, key, value, allowed)
        return (outputs, weights) if return_attention_scores else outputs

    def kernels(self):
        return self.query_kernel, self.key_kernel, self.value_kernel

    def allowed(self, inputs, attention_mask, mask, causal):
        batch, tokens = inputs.shape[:2]
        return allowed_pairs(attention_mask, mask, causal, batch=batch, heads=1, queries=tokens, keys=tokens)

    def computed(self, query, key, value, allowed):
        context, weights = self.attend(query, key, value, allowed, weights=True)
        return context[:, :, 0], weights


class Good(Attention):
    """Self-attention with one head.

    Attributes:
        width: of queries and keys.
    """

    __annotations__ = {"width": int}
    name = "one_head"
    samples = ({"width": 4},)
    shapes = "(B, T, C) -> (B, T, C)"
    masks = ("keys", "causal", "pairs")
    width = field(validator=positive)


def make(config=None, **changes):
    """A config class whose layer has these changes, both under names by which they are found."""
    number = next(COUNT)
    layer = type(f"Layer{number}", (GoodLayer,), {"__module__": __name__, **changes})
    body = {key: value for key, value in vars(Good).items() if key not in ("__dict__", "__weakref__")}
    body |= {"layer_class": f"{__name__}:{layer.__name__}", "__module__": __name__, **(config or {})}
    cls = frozen(kw_only=True)(type("Good", (Attention,), body))
    layer.config_class = cls
    globals()[layer.__name__] = keras.saving.register_keras_serializable("wrong")(layer)
    return cls


def check(cls):
    """Everything but what is compiled, which takes seconds."""
    check_config(cls)
    for sample in cls.samples:
        for one in CHECKS:
            if one.__name__ != "compiled_is_eager":
                contract.run_one(one, Probe(cls, sample))


def masked_by(change):
    """A layer that does something else with the booleans that it is given."""

    def allowed(self, *args):
        found = GoodLayer.allowed(self, *args)
        return found if found.pairs is None else found._replace(pairs=change(found.pairs))

    return {"allowed": allowed}


def computed_by(blocked=-np.inf):
    """A layer that computes booleans by the formula, without the kit's care."""

    def computed(self, query, key, value, allowed):
        if allowed.causal or allowed.mask is not None:
            return GoodLayer.computed(self, query, key, value, allowed)
        scores = ops.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5
        if allowed.pairs is not None:
            scores = ops.where(allowed.pairs, scores, ops.cast(blocked, scores.dtype))
        powers = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
        weights = powers / ops.sum(powers, axis=-1, keepdims=True)
        return ops.einsum("bhqk,bkhd->bqhd", weights, value)[:, :, 0], weights

    return {"computed": computed}


def of_unit_length(self, query, key, value, allowed):
    """Outputs divided by their length, with an epsilon that is 0 in float16."""
    outputs, weights = GoodLayer.computed(self, query, key, value, allowed)
    return outputs / ops.sqrt(ops.sum(ops.square(outputs), axis=-1, keepdims=True) + 1e-8), weights


def frozen_query(self):
    """No gradient flows through the queries' kernel."""
    return ops.stop_gradient(self.query_kernel.value), self.key_kernel, self.value_kernel


def equal_kernels(self, name, shape):
    """Every kernel starts from one seed."""
    return self.add_weight(name=name, shape=shape, initializer=keras.initializers.GlorotUniform(seed=1))


def mixed_batch(self, query, key, value, allowed):
    """The batch leaks into every sample."""
    outputs, weights = GoodLayer.computed(self, query, key, value, allowed)
    return outputs + ops.mean(outputs, axis=0, keepdims=True), weights


def no_weight(self, name, shape):
    """A plain tensor is no weight: nothing trains or saves it."""
    return keras.random.normal(shape)


def forgets_its_name(self):
    """A config with another name than the layer's."""
    return {**AttentionLayer.get_config(self), "name": "layer"}


@pytest.fixture(autouse=True)
def imported_already(monkeypatch):
    """This module is no plugin's: what it imports is no matter, and another interpreter takes its time."""
    monkeypatch.setattr(contract, "check_light_import", lambda module: None)


def test_what_is_right_passes():
    check(make())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        # masks
        (masked_by(lambda pairs: None), "blocked keys are seen"),
        (masked_by(ops.logical_not), "the mask is read the wrong way round"),
        (
            {"allowed": lambda self, x, given, mask, causal: GoodLayer.allowed(self, x, given, None, causal)},
            "a carried mask is not obeyed",
        ),
        (
            {
                "allowed": lambda self, x, given, mask, causal: GoodLayer.allowed(
                    self, x, given, mask if given is None else None, causal
                )
            },
            "a carried mask is dropped where an attention_mask is given",
        ),
        (
            {"allowed": lambda self, x, given, mask, causal: GoodLayer.allowed(self, x, given, mask, False)},
            "the future is seen",
        ),
        (masked_by(lambda pairs: ops.swapaxes(pairs, -1, -2)), "blocked keys are seen"),
        (masked_by(lambda pairs: ops.roll(pairs, 1, axis=-1)), "blocked keys are seen"),
        ({"allowed": lambda self, *args: Allowed()}, "blocked keys are seen"),
        (computed_by(), "is not finite in float32"),
        (computed_by(blocked=-1e4), "seeing nothing does not give zeros in float32"),
        (computed_by(blocked=-3.0), "blocked keys are seen"),
        # numbers
        ({"computed": of_unit_length}, "is not finite in mixed_float16"),
        ({"kernels": frozen_query}, "gradient reaches .*query_kernel|gradient of .*query_kernel is 0"),
        ({"kernel": equal_kernels}, "kernels start equal"),
        ({"computed": mixed_batch}, "the batch is mixed"),
        # shapes and saving
        ({"config": {"shapes": "(B, T, C) -> (B, T, width)"}}, r"not \[\(3, 6, 4\)\]"),
        ({"kernel": no_weight}, "loading changed it"),
        ({"get_config": forgets_its_name}, "get_config loses the name"),
        # the class
        ({"config": {"samples": ()}}, "needs samples"),
        ({"config": {"__doc__": "One head."}}, "Attributes say nothing of 'width'"),
        ({"config": {"shapes": ""}}, "needs shapes, such as"),
    ],
)
def test_what_is_wrong_is_named(changes, words):
    with pytest.raises(AssertionError, match=words):
        check(make(**changes))

"""The Keras layer of Hopfield attention."""

import keras
from keras import ops
from maskkit import ConfigError
from maskkit_keras import (
    AttentionLayer,
    LayerNormalization,
    allowed_pairs,
    causal_mask,
    masked_softmax,
    pair_scores,
    project,
    token_mask,
    widen,
)

from . import Hopfield


@keras.saving.register_keras_serializable("maskkit")
class HopfieldAttention(AttentionLayer):
    """Queries (B, T, C) to (B, T, C), by themselves or from stored patterns; the parameters are those of `Hopfield`."""

    config_class = Hopfield
    weights_rate = "dropout_rate"

    def __init__(self, **params):
        super().__init__(**params)
        self.norms = []
        if self.normalize_patterns:
            self.norms = [
                LayerNormalization(epsilon=self.norm_epsilon, name=f"{part}_norm", dtype=self.dtype_policy)
                for part in ("query", "key", "value")
            ]

    def build(self, input_shape):
        shapes = _three(input_shape if isinstance(input_shape[0], (list, tuple)) else [input_shape])
        query, key, value = (shape[-1] for shape in shapes)
        heads, width, value_width = self.num_heads, self.key_dim, self.value_dim or self.key_dim
        self.query_kernel = self.add_kernel("query_kernel", (query, heads, width))
        self.key_kernel = self.add_kernel("key_kernel", (key, heads, width))
        self.value_kernel = self.add_kernel("value_kernel", (value, heads, value_width))
        self.output_kernel = self.add_kernel("output_kernel", (heads, value_width, query), inputs=2)
        self.query_bias = self.add_bias("query_bias", (heads, width)) if self.use_bias else None
        self.key_bias = self.add_bias("key_bias", (heads, width)) if self.use_bias else None
        self.value_bias = self.add_bias("value_bias", (heads, value_width)) if self.use_bias else None
        self.output_bias = self.add_bias("output_bias", (query,)) if self.use_bias else None
        for norm, shape in zip(self.norms, shapes, strict=False):
            norm.build(shape)

    def call(
        self,
        inputs,
        attention_mask=None,
        use_causal_mask=False,
        training=None,
        return_attention_scores=False,
        mask=None,
    ):
        """Retrieve.

        Args:
            inputs: one tensor (B, T, C), or a list of queries (B, T, C) and keys (B, S, D), the stored patterns, or of
                queries, keys and values (B, S, E). Without values the keys are read.
            attention_mask: a mask value, or an array in which non-zero means allowed: (B, S) keys, (B, T, S) or
                (B, num_heads, T, S).
            use_causal_mask: whether query i sees only the keys 0 to i, in every update.
            training: whether dropout acts.
            return_attention_scores: whether to return the weights (B, num_heads, T, S) too, after the last update.
            mask: the mask, or list of masks, that Keras carries along; of a list that of the keys counts.
        """
        alone = not isinstance(inputs, (list, tuple))
        patterns = _three([inputs] if alone else inputs)
        key_mask = _three(mask)[1] if isinstance(mask, (list, tuple)) else mask
        batch, queries = patterns[0].shape[:2]
        sizes = dict(batch=batch, heads=self.num_heads, queries=queries, keys=patterns[1].shape[1])
        allowed = allowed_pairs(attention_mask, key_mask, use_causal_mask, **sizes)
        if self.norms:
            patterns = [norm(pattern) for norm, pattern in zip(self.norms, patterns, strict=True)]
        query = project(patterns[0], self.query_kernel, self.query_bias)
        key = project(patterns[1], self.key_kernel, self.key_bias)
        value = project(patterns[2], self.value_kernel, self.value_bias)
        if not self.update_steps_max:
            options = dict(scale=self._scale, training=training, weights=return_attention_scores)
            context, weights = self.attend(query, key, value, allowed, **options)
        else:
            counted = token_mask(attention_mask, key_mask) if alone else None
            weights = ops.cast(self._retrieve(widen(query), widen(key), allowed, counted), value.dtype)
            context = self.read(weights, value, training)
        outputs = project(context, self.output_kernel, self.output_bias, inputs=2)
        return (outputs, weights) if return_attention_scores else outputs

    @property
    def _scale(self):
        return self.key_dim**-0.5 if self.beta is None else self.beta

    def _retrieve(self, query, key, allowed, counted):
        """The weights (B, heads, T, S) of the last update; a head that has stopped keeps those it had.

        In float32 at least: updates amplify rounding errors, and half precision knows no change as small as
        `update_steps_eps`.
        """
        dense = allowed.dense(query.shape[1], key.shape[1])

        def weigh(state):
            return masked_softmax(pair_scores(state, key, self._scale), dense)

        weights, stopped = weigh(query), None
        for _ in range(self.update_steps_max):
            updated = weigh(ops.einsum("bhqs,bshd->bqhd", weights, key))
            still = self._changed_little(updated, weights, allowed.causal, counted)
            weights = updated if stopped is None else ops.where(stopped, weights, updated)
            stopped = still if stopped is None else ops.logical_or(stopped, still)
        return weights

    def _changed_little(self, updated, weights, causal, counted):
        """Booleans (B, heads, 1 or T, 1): whether an update was the last one."""
        change = ops.sum(ops.square(updated - weights), axis=-1)
        if counted is not None:
            change = ops.where(counted[:, None, :], change, ops.zeros_like(change))
        if causal:
            until = ops.cast(causal_mask(change.shape[-1], change.shape[-1]), change.dtype)
            total = ops.einsum("bhr,qr->bhq", change, until)
        else:
            total = ops.sum(change, axis=-1, keepdims=True)
        return (ops.sqrt(total) <= self.update_steps_eps)[..., None]


def _three(parts):
    """Of queries, of keys and of values, where later ones are the earlier ones if they are not given."""
    if not 1 <= len(parts) <= 3:
        raise ConfigError(f"Parameter 'inputs' must be one tensor, or a list of 2 or 3, got {len(parts)}")
    return [*parts, *[parts[-1]] * (3 - len(parts))]

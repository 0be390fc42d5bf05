"""The Keras layer of attention with an adaptive temperature."""

import math

import keras
from keras import ops
from maskkit import ConfigError
from maskkit_keras import AttentionLayer, allowed_pairs, masked_softmax, pair_scores, project

from . import AdaptiveMultiHead

PUBLISHED = (-0.037, 0.481, -2.3, 4.917, -1.791)
"""The polynomial as arXiv:2410.01104 prints it, the highest power first."""


@keras.saving.register_keras_serializable("maskkit")
class AdaptiveMultiHeadAttention(AttentionLayer):
    """Queries (B, T, C) and values (B, S, D) to (B, T, C); the parameters are those of `AdaptiveMultiHead`."""

    config_class = AdaptiveMultiHead
    weights_rate = "dropout"

    def build(self, query_shape, value_shape=None, key_shape=None):
        value_shape = value_shape or query_shape
        key_shape = key_shape or value_shape
        heads, width, value_width = self.num_heads, self.key_dim, self.value_dim or self.key_dim
        outs = query_shape[-1] if self.output_shape is None else self.output_shape
        outs = (outs,) if isinstance(outs, int) else tuple(outs)
        self.query_kernel = self.add_kernel("query_kernel", (query_shape[-1], heads, width))
        self.key_kernel = self.add_kernel("key_kernel", (key_shape[-1], heads, width))
        self.value_kernel = self.add_kernel("value_kernel", (value_shape[-1], heads, value_width))
        self.output_kernel = self.add_kernel("output_kernel", (heads, value_width, *outs), inputs=2)
        self.query_bias = self.add_bias("query_bias", (heads, width)) if self.use_bias else None
        self.key_bias = self.add_bias("key_bias", (heads, width)) if self.use_bias else None
        self.value_bias = self.add_bias("value_bias", (heads, value_width)) if self.use_bias else None
        self.output_bias = self.add_bias("output_bias", outs) if self.use_bias else None

    def call(
        self,
        query,
        value=None,
        key=None,
        attention_mask=None,
        use_causal_mask=False,
        training=None,
        return_attention_scores=False,
        query_mask=None,
        value_mask=None,
        key_mask=None,
    ):
        """Attend.

        Args:
            query: (B, T, C), or with more axes, of which `attention_axes` are the tokens.
            value: (B, S, D); None is the query.
            key: (B, S, E); None is the value.
            attention_mask: a mask value, or an array in which non-zero means allowed: (B, S) keys, (B, T, S) or
                (B, num_heads, T, S). Where the tokens are several axes, T and S are their flattened sizes.
            use_causal_mask: whether a token sees only itself and what came before it.
            training: whether dropout acts.
            return_attention_scores: whether to return the weights (B, num_heads, T, S) too, after the softmax.
            query_mask: the mask that Keras carries along with the query; it counts in self-attention.
            value_mask: likewise, of the value.
            key_mask: likewise, of the key.
        """
        if value is None and key is not None:
            raise ConfigError(f"{type(self).__name__} {self.name!r} gets a key without a value; give both")
        carried = (query_mask, None) if value is None else (value_mask, key_mask)
        value = query if value is None else value
        tokens, values = self._flat(query), self._flat(value)
        keys = values if key is None else self._flat(key)
        allowed = self._allowed(attention_mask, carried, use_causal_mask, query, tokens.shape[1], keys.shape[1])
        query_heads = project(tokens, self.query_kernel, self.query_bias)
        key_heads = project(keys, self.key_kernel, self.key_bias)
        weights = self._weigh(query_heads, key_heads, allowed)
        context = self.read(weights, project(values, self.value_kernel, self.value_bias), training)
        outputs = self._unflat(project(context, self.output_kernel, self.output_bias, inputs=2), query)
        return (outputs, self._unflat_weights(weights, query)) if return_attention_scores else outputs

    def _weigh(self, query, key, allowed):
        """The weights (B, heads, T, S)."""
        scores = pair_scores(query, key, self.key_dim**-0.5)
        sharpness = ops.stop_gradient(self._sharpness(masked_softmax(scores, allowed)))
        return ops.cast(masked_softmax(scores * sharpness, allowed), query.dtype)

    def _sharpness(self, weights):
        """What to multiply the scores with, (..., queries, 1): the inverse of the temperature."""
        seen = weights > 0
        logs = ops.log(ops.where(seen, weights, ops.ones_like(weights)))
        entropy = -ops.sum(weights * logs, axis=-1, keepdims=True)
        value = ops.zeros_like(entropy)
        for coefficient in self.polynomial_coeffs or PUBLISHED:
            value = value * entropy + coefficient
        for limit, beyond in ((1 / self.max_temp, ops.less), (1 / self.min_temp, ops.greater)):
            limit = ops.full_like(value, limit)  # ops.clip would round it to float32
            value = ops.where(beyond(value, limit), limit, value)
        return ops.where(entropy > self.entropy_threshold, value, ops.ones_like(value))

    # -- inputs with more axes ------------------------------------------------------------------------------------

    def _order(self, x):
        """The axes of an input that go along with the batch (that first), and those that are attended over."""
        rank = len(x.shape)
        axes = range(1, rank - 1) if self.attention_axes is None else self.attention_axes
        attended = tuple(a % rank for a in ((axes,) if isinstance(axes, int) else axes))
        if not attended or not all(0 < a < rank - 1 for a in attended):
            raise ConfigError(
                f"Parameter 'attention_axes' must be axes between the batch and the channels of the input, which has "
                f"the shape {tuple(x.shape)}, got {self.attention_axes}"
            )
        return tuple(a for a in range(rank - 1) if a not in attended), attended

    def _flat(self, x):
        """As (batch and what goes along with it, tokens, channels)."""
        apart, attended = self._order(x)
        if (apart, attended) == ((0,), (1,)):
            return x
        sizes = ops.shape(x)
        x = ops.transpose(x, (*apart, *attended, len(x.shape) - 1))
        return ops.reshape(x, (math.prod(sizes[a] for a in apart), math.prod(sizes[a] for a in attended), x.shape[-1]))

    def _unflat(self, y, query):
        """The inverse of `_flat` for what came of the query."""
        apart, attended = self._order(query)
        if (apart, attended) == ((0,), (1,)):
            return y
        sizes, outs, order = ops.shape(query), tuple(y.shape[2:]), (*apart, *attended)
        y = ops.reshape(y, (*(sizes[a] for a in order), *outs))
        back = sorted(range(len(order)), key=order.__getitem__)
        return ops.transpose(y, (*back, *range(len(order), len(order) + len(outs))))

    def _unflat_weights(self, weights, query):
        apart, sizes = self._order(query)[0], ops.shape(query)
        if len(apart) == 1:
            return weights
        return ops.reshape(weights, (*(sizes[a] for a in apart), *ops.shape(weights)[1:]))

    def _allowed(self, attention_mask, carried, causal, query, queries, keys):
        """Booleans, for every place of the axes that go along with the batch, or None for all."""
        sizes = dict(batch=query.shape[0], heads=self.num_heads, queries=queries, keys=keys)
        allowed = allowed_pairs(attention_mask, carried[0], causal, **sizes)
        allowed = (allowed & allowed_pairs(key_mask=carried[1], **sizes)).dense(queries, keys)
        apart, sizes = self._order(query)[0][1:], ops.shape(query)
        if not apart or allowed is None or allowed.shape[0] == 1:
            return allowed
        return ops.repeat(allowed, math.prod(sizes[a] for a in apart), axis=0)

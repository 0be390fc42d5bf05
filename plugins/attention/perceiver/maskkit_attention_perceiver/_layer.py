"""The Keras layer of Perceiver's cross-attention."""

import keras
from maskkit import ConfigError
from maskkit_keras import AttentionLayer, LayerNormalization, allowed_pairs, project

from . import Perceiver


@keras.saving.register_keras_serializable("maskkit")
class PerceiverAttention(AttentionLayer):
    """Queries (B, T, dim) that read (B, S, C) to (B, T, dim); the parameters are those of `Perceiver`."""

    config_class = Perceiver
    weights_rate = "dropout"

    def __init__(self, **params):
        super().__init__(**params)
        if self.pre_norm:
            options = dict(epsilon=self.norm_epsilon, dtype=self.dtype_policy)
            self.query_norm = LayerNormalization(name="query_norm", **options)
            self.kv_norm = LayerNormalization(name="kv_norm", **options)

    def build(self, query_shape, kv_shape=None):
        kv_shape = kv_shape or query_shape
        for argument, shape in (("query", query_shape), ("kv", kv_shape)):
            if len(shape) != 3:
                raise ConfigError(
                    f"Parameter '{argument}' must have the shape (batch, tokens, width), got {tuple(shape)}"
                )
        self.require_width(query_shape, "dim")
        heads, width = self.num_heads, self.dim // self.num_heads
        self.query_kernel = self.add_kernel("query_kernel", (self.dim, heads, width))
        self.kv_kernel = self.add_kernel("kv_kernel", (kv_shape[-1], 2, heads, width), parts=2)
        self.output_kernel = self.add_kernel("output_kernel", (heads, width, self.dim), inputs=2)
        self.query_bias = self.add_bias("query_bias", (heads, width)) if self.use_bias else None
        self.kv_bias = self.add_bias("kv_bias", (2, heads, width)) if self.use_bias else None
        self.output_bias = self.add_bias("output_bias", (self.dim,)) if self.use_bias else None
        if self.pre_norm:
            self.query_norm.build(query_shape)
            self.kv_norm.build(kv_shape)

    def call(
        self,
        query,
        kv=None,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
        query_mask=None,
        kv_mask=None,
    ):
        """Attend.

        Args:
            query: (B, T, dim).
            kv: what is read, (B, S, C) of any width C; None is the query.
            attention_mask: a mask value, or an array in which non-zero means allowed: (B, S) tokens of `kv`, (B, T, S)
                or (B, num_heads, T, S).
            training: whether dropout acts.
            return_attention_scores: whether to return the weights (B, num_heads, T, S) too, after the softmax.
            query_mask: the mask that Keras carries along with the query; it counts in self-attention.
            kv_mask: the mask that Keras carries along with `kv`, (B, S).
        """
        key_mask, read = (query_mask, query) if kv is None else (kv_mask, kv)
        batch, queries = query.shape[:2]
        sizes = dict(batch=batch, heads=self.num_heads, queries=queries, keys=read.shape[1])
        allowed = allowed_pairs(attention_mask, key_mask, **sizes)
        asked = self.query_norm(query) if self.pre_norm else query
        read = self.kv_norm(read) if self.pre_norm else read
        asked, read = project(asked, self.query_kernel, self.query_bias), project(read, self.kv_kernel, self.kv_bias)
        options = dict(training=training, weights=return_attention_scores)
        context, weights = self.attend(asked, read[:, :, 0], read[:, :, 1], allowed, **options)
        outputs = project(context, self.output_kernel, self.output_bias, inputs=2)
        outputs = outputs + query if self.query_residual else outputs
        return (outputs, weights) if return_attention_scores else outputs

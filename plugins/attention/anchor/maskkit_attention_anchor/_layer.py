"""The Keras layer of anchor attention."""

import keras
from keras import ops
from maskkit import ConfigError
from maskkit.validators import is_integer, message
from maskkit_keras import AttentionLayer, allowed_pairs, project

from . import Anchor


@keras.saving.register_keras_serializable("maskkit")
class AnchorAttention(AttentionLayer):
    """Tokens (B, T, dim), the anchors first, to tokens of the same shape; the parameters are those of `Anchor`."""

    config_class = Anchor
    weights_rate = "dropout"

    def build(self, input_shape):
        heads, width = self.num_heads, self.dim // self.num_heads
        self.query_kernel = self.add_kernel("query_kernel", (self.dim, heads, width))
        self.kv_kernel = self.add_kernel("kv_kernel", (self.dim, 2, heads, width), parts=2)
        self.output_kernel = self.add_kernel("output_kernel", (heads, width, self.dim), inputs=2)
        self.query_bias = self.add_bias("query_bias", (heads, width)) if self.use_bias else None
        self.kv_bias = self.add_bias("kv_bias", (2, heads, width)) if self.use_bias else None
        self.output_bias = self.add_bias("output_bias", (self.dim,)) if self.use_bias else None
        if self.separate_query_projection:
            self.other_query_kernel = self.add_kernel("other_query_kernel", (self.dim, heads, width))
            self.other_query_bias = self.add_bias("other_query_bias", (heads, width)) if self.use_bias else None

    def call(
        self,
        inputs,
        num_anchor_tokens=None,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
        mask=None,
    ):
        """Attend.

        Args:
            inputs: (B, T, dim), the anchors first.
            num_anchor_tokens: the number A of anchors, an integer; None is what the layer was made with.
            attention_mask: a mask value, or an array in which non-zero means allowed: (B, T) keys, (B, T, T) or
                (B, num_heads, T, T); columns of tokens that are no anchors have no effect.
            training: whether dropout acts.
            return_attention_scores: whether to return the weights (B, num_heads, T, A) too, after the softmax.
            mask: the mask that Keras carries along, (B, T).
        """
        anchors = self._anchors(num_anchor_tokens)
        query, kv = self._query(inputs, anchors), project(inputs[:, :anchors], self.kv_kernel, self.kv_bias)
        key, value = kv[:, :, 0], kv[:, :, 1]
        tokens = inputs.shape[1]
        sizes = dict(batch=inputs.shape[0], heads=self.num_heads, queries=tokens, keys=tokens)
        allowed = allowed_pairs(attention_mask, mask, **sizes).cut(keys=slice(anchors))
        context, weights = self.attend(query, key, value, allowed, training=training, weights=return_attention_scores)
        outputs = project(context, self.output_kernel, self.output_bias, inputs=2)
        return (outputs, weights) if return_attention_scores else outputs

    def _anchors(self, given):
        if given is None:
            return self.num_anchor_tokens
        if not is_integer(given) or given < 1:
            raise ConfigError(message(self.config, "num_anchor_tokens", "must be a positive integer", given))
        return given

    def _query(self, inputs, anchors):
        if not self.separate_query_projection or anchors is None:
            return project(inputs, self.query_kernel, self.query_bias)
        own = project(inputs[:, :anchors], self.query_kernel, self.query_bias)
        others = project(inputs[:, anchors:], self.other_query_kernel, self.other_query_bias)
        return ops.concatenate([own, others], axis=1)

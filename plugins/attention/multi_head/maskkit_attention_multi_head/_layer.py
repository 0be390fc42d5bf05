"""The Keras layer of multi-head attention."""

import keras
from keras import ops
from maskkit_keras import AttentionLayer, allowed_pairs, project, rms_norm

from . import MultiHead


@keras.saving.register_keras_serializable("maskkit")
class MultiHeadAttention(AttentionLayer):
    """Tokens (B, T, embed_dim) to tokens of the same shape; the parameters are those of `MultiHead`."""

    config_class = MultiHead
    weights_rate = "dropout_rate"

    def build(self, input_shape):
        heads, width = self.num_heads, self.embed_dim // self.num_heads
        self.qkv_kernel = self.add_kernel("qkv_kernel", (self.embed_dim, 3, heads, width), parts=3)
        self.output_kernel = self.add_kernel("output_kernel", (heads, width, self.embed_dim), inputs=2)
        self.qkv_bias = self.add_bias("qkv_bias", (3, heads, width)) if self.use_bias else None
        self.output_bias = self.add_bias("output_bias", (self.embed_dim,)) if self.use_bias else None
        if self.qk_norm:
            self.query_gain = self.add_weight(name="query_gain", shape=(width,), initializer="ones")
            self.key_gain = self.add_weight(name="key_gain", shape=(width,), initializer="ones")

    def call(
        self,
        inputs,
        attention_mask=None,
        use_causal_mask=False,
        training=None,
        return_attention_scores=False,
        mask=None,
    ):
        """Attend.

        Args:
            inputs: (B, T, embed_dim).
            attention_mask: a mask value, or an array in which non-zero means allowed: (B, T) keys, (B, T, T) or
                (B, H, T, T).
            use_causal_mask: whether a token sees only itself and what came before it.
            training: whether dropout acts.
            return_attention_scores: whether to return the weights (B, H, T, T) too, after the softmax.
            mask: the mask that Keras carries along, (B, T).
        """
        query, key, value = ops.unstack(project(inputs, self.qkv_kernel, self.qkv_bias), 3, axis=2)
        if self.qk_norm:
            query, key = rms_norm(query, self.query_gain), rms_norm(key, self.key_gain)
        batch, tokens = inputs.shape[:2]
        sizes = dict(batch=batch, heads=self.num_heads, queries=tokens, keys=tokens)
        allowed = allowed_pairs(attention_mask, mask, use_causal_mask, **sizes)
        context, weights = self.attend(query, key, value, allowed, training=training, weights=return_attention_scores)
        outputs = project(context, self.output_kernel, self.output_bias, inputs=2)
        return (outputs, weights) if return_attention_scores else outputs

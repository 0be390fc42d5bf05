"""The Keras layer of grouped-query attention."""

import keras
from keras import ops
from maskkit import ConfigError
from maskkit_keras import AttentionLayer, allowed_pairs, project, split

from . import GroupQuery


@keras.saving.register_keras_serializable("maskkit")
class GroupedQueryAttention(AttentionLayer):
    """Tokens (B, T, d_model) to tokens of the same shape; the parameters are those of `GroupQuery`."""

    config_class = GroupQuery
    weights_rate = "dropout_rate"

    def build(self, input_shape):
        heads, key_heads, width = self.n_head, self.n_kv_head, self.d_model // self.n_head
        all_heads = heads + 2 * key_heads
        self.qkv_kernel = self.add_kernel(
            "qkv_kernel", (self.d_model, all_heads, width), parts=(heads, key_heads, key_heads)
        )
        self.output_kernel = self.add_kernel("output_kernel", (heads, width, self.d_model), inputs=2)
        self.qkv_bias = self.add_bias("qkv_bias", (all_heads, width)) if self.use_bias else None
        self.output_bias = self.add_bias("output_bias", (self.d_model,)) if self.use_bias else None

    def call(
        self,
        inputs,
        attention_mask=None,
        use_causal_mask=False,
        position_offset=0,
        training=None,
        return_attention_scores=False,
        mask=None,
    ):
        """Attend.

        Args:
            inputs: (B, T, d_model).
            attention_mask: a mask value, or an array in which non-zero means allowed: (B, T) keys, (B, T, T) or
                (B, n_head, T, T).
            use_causal_mask: whether a token sees only itself and what came before it.
            position_offset: position of the first token, for rotary positions.
            training: whether dropout acts.
            return_attention_scores: whether to return the weights (B, n_head, T, T) too, after the softmax.
            mask: the mask that Keras carries along, (B, T).
        """
        tokens = inputs.shape[1]
        self._check_length(tokens, position_offset)
        qkv = project(inputs, self.qkv_kernel, self.qkv_bias)
        query, key, value = split(qkv, (self.n_head, self.n_kv_head, self.n_kv_head), axis=2)
        if turned := 2 * int(query.shape[-1] * self.rope_percentage / 2):
            angles = rotary_angles(ops.shape(inputs)[1], turned, self.rope_theta, position_offset, query.dtype)
            query, key = turn(query, *angles), turn(key, *angles)
        sizes = dict(batch=inputs.shape[0], heads=self.n_head, queries=tokens, keys=tokens)
        allowed = allowed_pairs(attention_mask, mask, use_causal_mask, **sizes)
        context, weights = self.attend(query, key, value, allowed, training=training, weights=return_attention_scores)
        outputs = project(context, self.output_kernel, self.output_bias, inputs=2)
        return (outputs, weights) if return_attention_scores else outputs

    def _check_length(self, tokens, offset):
        if isinstance(tokens, int) and isinstance(offset, int) and tokens + offset > self.max_seq_len:
            raise ConfigError(
                f"{type(self).__name__} {self.name!r} has max_seq_len={self.max_seq_len}, "
                f"but gets {tokens} tokens from position {offset} on"
            )


def rotary_angles(tokens, turned, theta, offset, dtype):
    """Cosines and sines (tokens, 1, turned / 2) of the angles `t * theta ** (-2i / turned)`, in float32 at least."""
    dtype = keras.backend.standardize_dtype(dtype)
    dtype = "float32" if dtype in ("float16", "bfloat16") else dtype
    frequencies = theta ** (-2 / turned * ops.arange(turned // 2, dtype=dtype))
    positions = ops.cast(ops.arange(tokens, dtype="int32") + offset, dtype)
    angles = positions[:, None, None] * frequencies
    return ops.cos(angles), ops.sin(angles)


def turn(x, cos, sin):
    """Turn the pairs of channels (2i, 2i + 1) of x (B, T, heads, width); channels that have no angle stay.

    The turned pairs come out as halves. Scores do not notice an order of channels that queries and keys share.
    """
    half = cos.shape[-1]
    even, odd = (ops.cast(x[..., first : 2 * half : 2], cos.dtype) for first in (0, 1))
    turned = [ops.cast(part, x.dtype) for part in (even * cos - odd * sin, even * sin + odd * cos)]
    return ops.concatenate([*turned, x[..., 2 * half :]], axis=-1)

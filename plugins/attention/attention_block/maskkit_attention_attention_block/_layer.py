"""The Keras layer of the attention block."""

import keras
from keras import ops
from maskkit_keras import (
    AttentionLayer,
    LayerNormalization,
    MaskValue,
    allowed_pixels,
    boolean,
    is_of_pixels,
    project,
)

from . import AttentionBlockConfig

_MOST_KERNELS = 8
"""Of a layer inside: the block's own seeded kernels start apart from that many."""


@keras.saving.register_keras_serializable("maskkit")
class AttentionBlock(AttentionLayer):
    """Maps (B, H, W, dim) to maps of the same shape; the parameters are those of `AttentionBlockConfig`."""

    config_class = AttentionBlockConfig

    def __init__(self, **params):
        super().__init__(**params)
        attention = self.config.attention(
            kernel_initializer=self.fresh_initializer(kernels=_MOST_KERNELS),
            bias_initializer=self.fresh_initializer("bias_initializer", kernels=_MOST_KERNELS),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
        )
        self.attention = attention.layer(dtype=self.dtype_policy, name="attention")
        norm = dict(epsilon=self.norm_epsilon, dtype=self.dtype_policy)
        self.attention_norm = LayerNormalization(**norm, name="attention_norm")
        self.mlp_norm = LayerNormalization(**norm, name="mlp_norm")
        self.dropout = self.new_dropout("dropout_rate")

    def build(self, input_shape):
        batch, height, width, dim = input_shape
        pixels = None if height is None or width is None else height * width
        self.attention.build(input_shape if self.config.inner == "window" else (batch, pixels, dim))
        self.attention_norm.build(input_shape)
        self.mlp_norm.build(input_shape)
        self.hidden_kernel = self.add_kernel("hidden_kernel", (dim, self.config.hidden))
        self.output_kernel = self.add_kernel("output_kernel", (self.config.hidden, dim))
        self.hidden_bias = self.add_bias("hidden_bias", (self.config.hidden,)) if self.use_bias else None
        self.output_bias = self.add_bias("output_bias", (dim,)) if self.use_bias else None
        self.attention_scale = self._scale("attention_scale") if self.use_layer_scale else None
        self.mlp_scale = self._scale("mlp_scale") if self.use_layer_scale else None

    def _scale(self, name):
        start = keras.initializers.Constant(self.layer_scale_init)
        return self.add_weight(name=name, shape=(self.dim,), initializer=start)

    def call(self, inputs, attention_mask=None, training=None, mask=None):
        """Attend, and think.

        Args:
            inputs: (B, H, W, dim).
            attention_mask: a mask value, or an array in which non-zero means allowed: pixels, (B, H, W) or (B, H * W),
                or queries and keys, (B, H * W, H * W) or (B, num_heads, H * W, H * W); batch and heads may be 1. Three
                axes are the pixels' if they have the map's size.
            training: whether dropout acts.
            mask: the mask that Keras carries along, (B, H, W).
        """
        masks = self._masks(inputs, attention_mask, mask)
        if self.normalization_position == "pre":
            x = inputs + self._attend(self.attention_norm(inputs), masks, training)
            return x + self._mlp(self.mlp_norm(x), training)
        x = self.attention_norm(inputs + self._attend(inputs, masks, training))
        return self.mlp_norm(x + self._mlp(x, training))

    def _masks(self, inputs, attention_mask, mask):
        """What the layer inside takes: a mask of pairs as it was given, and of pixels booleans (B, H * W)."""
        size = tuple(ops.shape(inputs)[1:3])
        pairs = None
        if attention_mask is not None and self.config.inner != "window":
            attention_mask = attention_mask if isinstance(attention_mask, MaskValue) else boolean(attention_mask)
            if not is_of_pixels(attention_mask, size):
                pairs, attention_mask = attention_mask, None
        keep = allowed_pixels(attention_mask, mask, size=size, batch=ops.shape(inputs)[0])
        return {"attention_mask": keep} if pairs is None else {"attention_mask": pairs, "mask": keep}

    def _attend(self, x, masks, training):
        batch, height, width, dim = ops.shape(x)
        tokens = x if self.config.inner == "window" else ops.reshape(x, (batch, height * width, dim))
        y = self.attention(tokens, **masks, training=training)
        return self._finish(ops.reshape(y, (batch, height, width, dim)), self.attention_scale, training)

    def _mlp(self, x, training):
        hidden = ops.gelu(project(x, self.hidden_kernel, self.hidden_bias), approximate=False)
        hidden = self._finish(hidden, None, training)
        return self._finish(project(hidden, self.output_kernel, self.output_bias), self.mlp_scale, training)

    def _finish(self, x, scale, training):
        x = self.dropout.drop(x, training)
        return x if scale is None else x * scale

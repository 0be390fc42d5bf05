"""The Keras layer of mobile multi-query attention."""

import keras
from keras import ops
from maskkit import ConfigError
from maskkit_keras import AttentionLayer, BatchNormalization, allowed_pairs, allowed_pixels, project

from . import MobileMQAConfig


@keras.saving.register_keras_serializable("maskkit")
class MobileMQA(AttentionLayer):
    """Maps (B, H, W, dim) to maps of the same shape; the parameters are those of `MobileMQAConfig`."""

    config_class = MobileMQAConfig
    weights_rate = "dropout_rate"

    def __init__(self, **params):
        super().__init__(**params)
        if self.use_downsampling:
            self.key_convolution, self.key_norm = self._downsampling("key")
            self.value_convolution, self.value_norm = self._downsampling("value")

    def _downsampling(self, part):
        convolution = keras.layers.DepthwiseConv2D(
            self.dw_kernel_size,
            strides=self.kv_stride,
            padding="same",
            data_format="channels_last",
            use_bias=False,
            depthwise_initializer=self.fresh_initializer(),
            depthwise_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name=f"{part}_convolution",
        )
        norm = BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=self.dtype_policy, name=f"{part}_norm")
        return convolution, norm

    def build(self, input_shape):
        width = self.dim // self.num_heads
        self.query_kernel = self.add_kernel("query_kernel", (self.dim, self.num_heads, width))
        self.key_kernel = self.add_kernel("key_kernel", (self.dim, 1, width))
        self.value_kernel = self.add_kernel("value_kernel", (self.dim, 1, width))
        self.output_kernel = self.add_kernel("output_kernel", (self.num_heads, width, self.dim), inputs=2)
        self.query_bias = self.add_bias("query_bias", (self.num_heads, width)) if self.use_bias else None
        self.key_bias = self.add_bias("key_bias", (1, width)) if self.use_bias else None
        self.value_bias = self.add_bias("value_bias", (1, width)) if self.use_bias else None
        self.output_bias = self.add_bias("output_bias", (self.dim,)) if self.use_bias else None
        if self.use_downsampling:
            for layer in (self.key_convolution, self.key_norm, self.value_convolution, self.value_norm):
                layer.build(input_shape)

    def call(self, inputs, attention_mask=None, training=None, return_attention_scores=False, mask=None):
        """Attend.

        Args:
            inputs: (B, H, W, dim).
            attention_mask: which pixels may be seen: a mask value, or an array (B, H, W) or (B, H * W) in which
                non-zero means allowed. Not with `use_downsampling`.
            training: whether dropout acts, and batch norms learn.
            return_attention_scores: whether to return the weights (B, num_heads, H * W, keys) too, after the softmax.
            mask: the mask that Keras carries along, (B, H, W).
        """
        self._check_unmasked(attention_mask=attention_mask, mask=mask)
        batch, *size = ops.shape(inputs)[:3]
        allowed = allowed_pairs(allowed_pixels(attention_mask, mask, size=tuple(size), batch=batch))
        query = project(_pixels(inputs), self.query_kernel, self.query_bias)
        key = value = inputs
        if self.use_downsampling:
            key = self.key_norm(self.key_convolution(key), training=training)
            value = self.value_norm(self.value_convolution(value), training=training)
        key = project(_pixels(key), self.key_kernel, self.key_bias)
        value = project(_pixels(value), self.value_kernel, self.value_bias)
        context, weights = self.attend(query, key, value, allowed, training=training, weights=return_attention_scores)
        outputs = project(context, self.output_kernel, self.output_bias, inputs=2)
        outputs = ops.reshape(outputs, ops.shape(inputs))
        return (outputs, weights) if return_attention_scores else outputs

    def _check_unmasked(self, **masks):
        for name, mask in masks.items():
            if mask is not None and self.use_downsampling:
                raise ConfigError(
                    f"Parameter '{name}' must be None with use_downsampling=True, got an array of shape "
                    f"{tuple(mask.shape)}: the convolution mixes blocked pixels into others; use_downsampling=False "
                    "obeys masks"
                )


def _pixels(x):
    """(B, H, W, C) -> (B, H * W, C)."""
    batch, height, width = ops.shape(x)[:3]
    return ops.reshape(x, (batch, height * width, x.shape[-1]))

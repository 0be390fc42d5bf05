"""The Keras layer of non-local attention."""

import keras
from keras import ops
from maskkit import ConfigError
from maskkit.validators import message
from maskkit_keras import (
    AttentionLayer,
    BatchNormalization,
    LayerNormalization,
    allowed_pairs,
    allowed_pixels,
    project,
    widen,
)

from . import NonLocal


@keras.saving.register_keras_serializable("maskkit")
class NonLocalAttention(AttentionLayer):
    """Maps (B, H, W, C) to maps (B, H, W, output channels); the parameters are those of `NonLocal`."""

    config_class = NonLocal
    weights_rate = "dropout_rate"

    def __init__(self, **params):
        super().__init__(**params)
        try:
            self.activation = keras.activations.get(self.output_activation)
        except ValueError as error:
            rule = "must be an activation that Keras knows"
            raise ConfigError(message(self.config, "output_activation", rule, self.output_activation)) from error
        options = dict(epsilon=1e-5, gamma_initializer="zeros", dtype=self.variable_dtype, name="norm")
        if self.normalization == "batch":
            self.norm = BatchNormalization(momentum=0.9, **options)
        else:
            self.norm = LayerNormalization(**options) if self.normalization else None
        self.convolution = self._depthwise() if self.kernel_size else None

    def _depthwise(self):
        return keras.layers.DepthwiseConv2D(
            self.kernel_size,
            padding="same",
            data_format="channels_last",
            use_bias=False,
            depthwise_initializer=self.fresh_initializer(),
            depthwise_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name="convolution",
        )

    def build(self, input_shape):
        channels, width = input_shape[-1], self.attention_channels
        if channels is None:
            raise ConfigError(f"{type(self).__name__} {self.name!r} needs to know the channels of its input")
        outputs = channels if self.output_channels == -1 else self.output_channels
        if self.use_residual and outputs != channels:
            raise ConfigError(
                f"Parameter 'output_channels' must be -1 or {channels}, as many as the input has, with "
                f"use_residual=True, got {outputs}; use_residual=False allows others"
            )
        embedded = self.attention_mode != "gaussian"
        self.query_kernel = self.add_kernel("query_kernel", (channels, width)) if embedded else None
        self.key_kernel = self.add_kernel("key_kernel", (channels, width)) if embedded else None
        self.value_kernel = self.add_kernel("value_kernel", (channels, width))
        self.query_bias = self.add_bias("query_bias", (width,)) if embedded and self.use_bias else None
        self.key_bias = self.add_bias("key_bias", (width,)) if embedded and self.use_bias else None
        self.value_bias = self.add_bias("value_bias", (width,)) if self.use_bias else None
        if self.attention_mode == "concatenation":
            self.pair_kernel = self.add_kernel("pair_kernel", (2 * width,))
        self.output_kernel = self._output_kernel((width, outputs))
        self.output_bias = self.add_bias("output_bias", (outputs,)) if self.use_bias else None
        if self.convolution:
            self.convolution.build(input_shape)
        if self.norm:
            self.norm.build((*input_shape[:-1], outputs))

    def _output_kernel(self, shape):
        if self.norm:
            return self.add_kernel("output_kernel", shape)
        return self.add_weight(
            name="output_kernel", shape=shape, initializer="zeros", regularizer=self.kernel_regularizer
        )

    def call(self, inputs, attention_mask=None, training=None, mask=None):
        """Gather.

        Args:
            inputs: (B, H, W, C).
            attention_mask: which pixels may be seen: a mask value, or an array (B, H, W) or (B, H * W) in which
                non-zero means allowed.
            training: whether dropout acts, and a batch norm learns.
            mask: the mask that Keras carries along, (B, H, W).
        """
        batch, height, width, channels = ops.shape(inputs)
        keep = allowed_pixels(attention_mask, mask, size=(height, width), batch=batch)
        x = inputs
        if self.convolution:
            if keep is not None:
                x = ops.where(ops.reshape(keep, (ops.shape(keep)[0], height, width, 1)), x, ops.zeros_like(x))
            x = self.convolution(x)
        context = self._gather(ops.reshape(x, (batch, height * width, channels)), keep, training)
        weights = (None if w is None else ops.cast(w, context.dtype) for w in (self.output_kernel, self.output_bias))
        outputs = project(context, *weights)
        outputs = ops.reshape(outputs, (batch, height, width, outputs.shape[-1]))
        if self.norm:
            outputs = self.norm(outputs, **({"training": training} if self.normalization == "batch" else {}))
        outputs = self.activation(ops.cast(outputs, inputs.dtype))
        return inputs + outputs if self.use_residual else outputs

    def _gather(self, x, keep, training):
        """f g (B, N, attention channels), of pixels x (B, N, C).

        Where no softmax bounds f, it grows with the square of x: it stays in float32 at least, and so does f g.
        """
        value = project(x, self.value_kernel, self.value_bias)
        if self.attention_mode == "gaussian":
            wide = widen(x)  # unscaled products would soon overflow in float16
            context = self._by_softmax(wide, wide, widen(value), 1.0, keep, training)
            return ops.cast(context, value.dtype)
        query = project(x, self.query_kernel, self.query_bias)
        key = project(x, self.key_kernel, self.key_bias)
        if self.attention_mode == "embedded_gaussian":
            return self._by_softmax(query, key, value, self.scale, keep, training)
        wide = widen(query), widen(key), shares(widen(value), keep)
        if self.attention_mode == "dot_product" and not self.weights_dropout.acts(training):
            context = ops.einsum("bqa,bav->bqv", wide[0], ops.einsum("bka,bkv->bav", *wide[1:]))
        else:
            weights = self.weights_dropout.drop(self._pairs(*wide[:2]), training)
            context = ops.einsum("bqk,bkv->bqv", weights, wide[2])
        return context

    def _by_softmax(self, query, key, value, scale, keep, training):
        heads = (x[:, :, None, :] for x in (query, key, value))
        context, _ = self.attend(*heads, allowed_pairs(keep), training=training, scale=scale)
        return context[:, :, 0]

    def _pairs(self, query, key):
        """f (B, N, N), before it is divided by the number of pixels."""
        if self.attention_mode == "dot_product":
            return ops.einsum("bqa,bka->bqk", query, key)
        kernel = ops.cast(self.pair_kernel, query.dtype)
        of_queries = project(query, kernel[: self.attention_channels])
        of_keys = project(key, kernel[self.attention_channels :])
        return ops.relu(of_queries[:, :, None] + of_keys[:, None, :])


def shares(value, keep):
    """Values (B, N, V) divided by the number of allowed pixels; 0 at blocked ones."""
    if keep is None:
        return value / ops.cast(ops.shape(value)[1], value.dtype)
    keep = ops.cast(keep, value.dtype)[:, :, None]
    count = ops.sum(keep, axis=1, keepdims=True)
    return ops.where(keep > 0, value, ops.zeros_like(value)) / ops.where(count > 0, count, ops.ones_like(count))

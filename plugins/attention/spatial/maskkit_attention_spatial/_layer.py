"""The Keras layer of spatial attention."""

import keras
from keras import ops
from maskkit_keras import AttentionLayer, mean, pixel_mask

from . import Spatial


@keras.saving.register_keras_serializable("maskkit")
class SpatialAttention(AttentionLayer):
    """A map (B, H, W, C) to gates (B, H, W, 1), or to the gated map; the parameters are those of `Spatial`."""

    config_class = Spatial

    def __init__(self, **params):
        super().__init__(**params)
        self.convolution = keras.layers.Conv2D(
            1,
            self.kernel_size,
            padding="same",
            data_format="channels_last",
            use_bias=self.use_bias,
            kernel_initializer=self.fresh_initializer(),
            bias_initializer=self.fresh_initializer("bias_initializer"),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            dtype=self.variable_dtype,  # not mixed: on CPUs, Torch cannot differentiate it in float16
            name="convolution",
        )

    def known_shape(self):
        """Of any width: the convolution is over two pools of the channels."""
        return (None,) * 4

    def build(self, input_shape):
        self.convolution.build((*input_shape[:-1], 2))

    def call(self, inputs, mask=None):
        """The gates, or the map times the gates.

        Args:
            inputs: (B, H, W, C).
            mask: which pixels count: a mask value, or an array (B, H, W) in which non-zero means allowed.
        """
        gates = self.gates(inputs, mask)
        return inputs * gates if self.apply_gate else gates

    def gates(self, inputs, mask=None):
        """(B, H, W, 1), each between 0 and 1."""
        pools = [mean(inputs, keepdims=True), ops.amax(inputs, axis=-1, keepdims=True)]
        pools = ops.concatenate(pools, axis=-1)
        if mask is not None:
            batch, height, width = ops.shape(pools)[:3]
            keep = pixel_mask(mask, "mask", (height, width), batch=batch)
            keep = ops.reshape(keep, (ops.shape(keep)[0], height, width, 1))
            pools = ops.where(keep, pools, ops.zeros_like(pools))
        return ops.cast(ops.sigmoid(self.convolution(pools)), inputs.dtype)

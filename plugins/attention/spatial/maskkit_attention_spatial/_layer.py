"""The Keras layer of spatial attention."""

import keras
from keras import ops
from maskkit_keras import AttentionLayer, mean

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
            dtype=self.dtype_policy,
            name="convolution",
        )

    def build(self, input_shape):
        self.convolution.build((*input_shape[:-1], 2))

    def call(self, inputs):
        """The gates, or the map times the gates.

        Args:
            inputs: (B, H, W, C).
        """
        gates = self.gates(inputs)
        return inputs * gates if self.apply_gate else gates

    def gates(self, inputs):
        """(B, H, W, 1), each between 0 and 1."""
        pools = [mean(inputs, keepdims=True), ops.amax(inputs, axis=-1, keepdims=True)]
        return ops.sigmoid(self.convolution(ops.concatenate(pools, axis=-1)))

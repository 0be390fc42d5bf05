"""The Keras layer of channel attention."""

import keras
from keras import ops
from maskkit_keras import AttentionLayer, mean, pixel_mask, project, widen

from . import Channel


@keras.saving.register_keras_serializable("maskkit")
class ChannelAttention(AttentionLayer):
    """A map (B, H, W, channels) to gates (B, 1, 1, channels) or the gated map; parameters as of `Channel`."""

    config_class = Channel

    def build(self, input_shape):
        hidden = self.channels // self.ratio
        self.squeeze_kernel = self.add_kernel("squeeze_kernel", (self.channels, hidden))
        self.expand_kernel = self.add_kernel("expand_kernel", (hidden, self.channels))
        self.squeeze_bias = self.add_bias("squeeze_bias", (hidden,)) if self.use_bias else None
        self.expand_bias = self.add_bias("expand_bias", (self.channels,)) if self.use_bias else None

    def call(self, inputs, mask=None):
        """The gates, or the map times the gates.

        Args:
            inputs: (B, H, W, channels).
            mask: which pixels count: a mask value, or an array (B, H, W) in which non-zero means allowed.
        """
        gates = self.gates(inputs, mask)
        return inputs * gates if self.apply_gate else gates

    def gates(self, inputs, mask=None):
        """(B, 1, 1, channels), each between 0 and 1."""
        means, most = pooled(inputs, mask)
        return ops.sigmoid(self._perceptron(means) + self._perceptron(most))[:, None, None, :]

    def _perceptron(self, x):
        hidden = ops.relu(project(x, self.squeeze_kernel, self.squeeze_bias))
        return project(hidden, self.expand_kernel, self.expand_bias)


def pooled(inputs, mask=None):
    """Mean and maximum (B, C) over the pixels of a map (B, H, W, C) that the mask allows; 0 where it allows none."""
    batch, height, width, channels = ops.shape(inputs)
    pixels = ops.reshape(widen(inputs), (batch, height * width, channels))
    if mask is None:
        means, most = mean(pixels, axis=1), ops.amax(pixels, axis=1)
    else:
        keep = pixel_mask(mask, "mask", (height, width), batch=batch)[:, :, None]
        count = ops.sum(ops.cast(keep, pixels.dtype), axis=1)
        means = ops.sum(ops.where(keep, pixels, 0), axis=1) / ops.where(count > 0, count, 1)
        most = ops.where(count > 0, ops.amax(ops.where(keep, pixels, -float("inf")), axis=1), 0)
    return ops.cast(means, inputs.dtype), ops.cast(most, inputs.dtype)

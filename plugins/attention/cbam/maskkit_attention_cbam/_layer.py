"""The Keras layer of CBAM: two layers that are plugins of their own."""

import keras
from maskkit_attention_channel import ChannelAttention
from maskkit_attention_spatial import SpatialAttention
from maskkit_keras import AttentionLayer

from . import CBAMConfig


@keras.saving.register_keras_serializable("maskkit")
class CBAM(AttentionLayer):
    """A map (B, H, W, channels) to a map of the same shape; the parameters are those of `CBAMConfig`."""

    config_class = CBAMConfig

    def __init__(self, **params):
        super().__init__(**params)
        self.channel = ChannelAttention(
            channels=self.channels,
            ratio=self.ratio,
            use_bias=self.channel_use_bias,
            **self._shared("channel", kernels=2),
        )
        self.spatial = SpatialAttention(
            kernel_size=self.kernel_size,
            use_bias=self.spatial_use_bias,
            **self._shared("spatial", kernels=1),
        )

    def _shared(self, part, kernels):
        """What both parts take alike; `None` for one of them means as for all."""
        own = f"{part}_kernel_initializer"
        own = own if getattr(self, own) is not None else "kernel_initializer"
        return dict(
            kernel_initializer=self.fresh_initializer(own, kernels),
            bias_initializer=self.fresh_initializer("bias_initializer", kernels),
            kernel_regularizer=getattr(self, f"{part}_kernel_regularizer") or self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            dtype=self.dtype_policy,
            name=part,
        )

    def build(self, input_shape):
        self.channel.build(input_shape)
        self.spatial.build(input_shape)

    def call(self, inputs, mask=None):
        """Refine.

        Args:
            inputs: (B, H, W, channels).
            mask: which pixels count: a mask value, or an array (B, H, W) in which non-zero means allowed.
        """
        x = inputs * self.channel.gates(inputs, mask)
        return x * self.spatial.gates(x, mask)

"""The Keras layer of window attention."""

import keras
from keras import ops
from maskkit import ConfigError
from maskkit_keras import (
    AttentionLayer,
    allowed_pairs,
    allowed_pixels,
    boolean,
    masked_softmax,
    pair_scores,
    project,
    widen,
)

from . import Window
from ._grid import Grid, by_row, relative_positions


@keras.saving.register_keras_serializable("maskkit")
class WindowAttention(AttentionLayer):
    """Maps (B, H, W, dim) or windows (B * windows, N, dim) to the same shape; the parameters are those of `Window`."""

    config_class = Window
    weights_rate = "attn_dropout_rate"

    def __init__(self, **params):
        super().__init__(**params)
        self.output_dropout = self.new_dropout("proj_dropout_rate")

    def build(self, input_shape):
        heads, head_width = self.num_heads, self.dim // self.num_heads
        self.qkv_kernel = self.add_kernel("qkv_kernel", (self.dim, 3, heads, head_width), parts=3)
        self.output_kernel = self.add_kernel("output_kernel", (heads, head_width, self.dim), inputs=2)
        self.qkv_biases = self.add_bias("qkv_bias", (3, heads, head_width)) if self.qkv_bias else None
        self.output_bias = self.add_bias("output_bias", (self.dim,)) if self.proj_bias else None
        height, width = self.config.window
        self.position_table = self.add_weight(
            name="position_table",
            shape=((2 * height - 1) * (2 * width - 1), heads),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        )

    def _check_shape(self, shape):
        height, width = self.config.window
        takes = f"{type(self).__name__} {self.name!r} takes maps (batch, height, width, {self.dim})"
        cut = f"windows of window_size={self.window_size}, (batch, {height * width}, {self.dim})"
        if len(shape) == 3 and self.shift_size:
            raise ConfigError(f"{takes}, and with shift_size={self.shift_size} no {cut}, got the shape {tuple(shape)}")
        if len(shape) not in (3, 4) or (len(shape) == 3 and shape[1] != height * width):
            raise ConfigError(f"{takes} or {cut}, got the shape {tuple(shape)}")

    def call(self, inputs, attention_mask=None, training=None, return_attention_scores=False, mask=None):
        """Attend.

        Args:
            inputs: a map (B, H, W, dim), or windows (B * windows, N, dim).
            attention_mask: a mask value, or an array in which non-zero means allowed. For maps the pixels, (B, H, W) or
                (B, H * W). For windows the pixels of each, (B * windows, N), or queries and keys, (windows, N, N)
                or (windows, num_heads, N, N): row `b` of the inputs uses entry `b % windows`.
            training: whether dropout acts.
            return_attention_scores: whether to return the weights (B * windows, num_heads, N, N) too, after the
                softmax.
            mask: the mask that Keras carries along, (B, H, W) or (B * windows, N).
        """
        self._check_shape(inputs.shape)
        if len(inputs.shape) == 3:
            allowed = self._allowed_in_windows(inputs, attention_mask, mask)
            outputs, weights = self._attend(inputs, allowed, training)
        else:
            grid = Grid(*ops.shape(inputs)[1:3], self.config.window, self.shift_size)
            keep = allowed_pixels(attention_mask, mask, size=(grid.height, grid.width), batch=ops.shape(inputs)[0])
            windows = grid.cut(inputs)
            allowed = grid.allowed(keep, ops.shape(windows)[0], self.mask_padding)
            outputs, weights = self._attend(windows, allowed, training)
            outputs = grid.join(outputs, ops.shape(inputs)[0])
        return (outputs, weights) if return_attention_scores else outputs

    def _attend(self, windows, allowed, training):
        """Among the pixels of each window (rows, N, dim)."""
        qkv = project(windows, self.qkv_kernel, self.qkv_biases)
        query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        scale = (self.dim // self.num_heads) ** -0.5 if self.qk_scale is None else self.qk_scale
        positions = relative_positions(ops.arange(windows.shape[1], dtype="int32"), *self.config.window)
        bias = ops.transpose(ops.take(self.position_table, positions, axis=0), (2, 0, 1))
        scores = pair_scores(query, key, scale) + widen(bias)
        weights = ops.cast(masked_softmax(scores, allowed), value.dtype)
        outputs = project(self.read(weights, value, training), self.output_kernel, self.output_bias, inputs=2)
        return self.output_dropout.drop(outputs, training), weights

    def _allowed_in_windows(self, windows, attention_mask, mask):
        rows, pixels = ops.shape(windows)[:2]
        if attention_mask is not None:
            attention_mask = boolean(attention_mask)
            self._check_entries(attention_mask.shape[0], rows)
            attention_mask = by_row(attention_mask, rows)
        sizes = dict(batch=rows, heads=self.num_heads, queries=pixels, keys=pixels)
        return allowed_pairs(attention_mask, mask, **sizes).pairs

    def _check_entries(self, entries, rows):
        if isinstance(entries, int) and isinstance(rows, int) and (rows % entries if entries else rows):
            raise ConfigError(
                f"Parameter 'attention_mask' must have as many entries as a map has windows, and so divide the {rows} "
                f"windows of all maps, got {entries}"
            )

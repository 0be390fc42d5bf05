"""The Keras layer of FNet's Fourier mixing."""

import math

import keras
import numpy as np
from keras import ops
from maskkit import ConfigError
from maskkit_keras import AttentionLayer, boolean

from . import FNet


@keras.saving.register_keras_serializable("maskkit")
class FNetFourierTransform(AttentionLayer):
    """Tokens (B, T, C) to tokens of the same shape; the parameters are those of `FNet`."""

    config_class = FNet

    def call(self, inputs, attention_mask=None, mask=None):
        """Mix.

        Args:
            inputs: (B, T, C).
            attention_mask: an array (B, T) in which non-zero means a token and zero means padding.
            mask: the mask that Keras carries along, (B, T).
        """
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        x = ops.cast(inputs, "float32") if dtype in ("float16", "bfloat16") else inputs
        kept = [_token_mask(m, x.dtype) for m in (attention_mask, mask) if m is not None]
        for keep in kept:
            x = x * keep
        y = (_by_fft if self.implementation == "fft" else _by_matrix)(x)
        if self.normalize_dft:
            tokens, channels = ops.shape(x)[1], x.shape[-1]
            y = y / ops.sqrt(ops.cast(tokens * channels, y.dtype))
        for keep in kept:
            y = y * keep
        return ops.cast(y, dtype)


def _token_mask(mask, dtype):
    mask = boolean(mask)
    if len(mask.shape) != 2:
        raise ConfigError(
            f"Parameter 'attention_mask' must have the shape (batch, tokens), got {tuple(mask.shape)}: "
            "every output of a Fourier transform sees every token, so pairs cannot be blocked"
        )
    return ops.cast(mask, dtype)[:, :, None]


def _by_fft(x):
    if x.shape[0] == 0:  # which Torch's transform does not take
        return x
    real, _ = ops.fft2((x, ops.zeros_like(x)))
    return real


def _by_matrix(x):
    """`cos x cos - sin x sin`: the sign of the angle cancels in the real part."""
    cos, sin = _tables(x.shape[-1], x.dtype)
    by_cos, by_sin = ops.einsum("btc,cd->btd", x, cos), ops.einsum("btc,cd->btd", x, sin)
    cos, sin = _tables(ops.shape(x)[1], x.dtype)
    return ops.einsum("st,btd->bsd", cos, by_cos) - ops.einsum("st,btd->bsd", sin, by_sin)


def _tables(size, dtype):
    """Cosines and sines (size, size) of `2 pi j k / size`; `j k` modulo size in integers keeps large angles exact."""
    dtype = keras.backend.standardize_dtype(dtype)
    if isinstance(size, int):
        return tuple(ops.convert_to_tensor(table) for table in _host_tables(size, dtype))
    index = ops.arange(size, dtype="int32")
    angles = ops.cast((index[:, None] * index) % size, dtype) * (2 * math.pi / ops.cast(size, dtype))
    return ops.cos(angles), ops.sin(angles)


_TABLES = {}
"""The last few tables; not `functools.lru_cache`, of which torch.compile warns."""


def _host_tables(size, dtype):
    if (size, dtype) not in _TABLES:
        if len(_TABLES) >= 8:
            _TABLES.clear()
        index = np.arange(size, dtype=np.int64)
        angles = (index[:, None] * index % size) * (2 * np.pi / size)
        _TABLES[size, dtype] = np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
    return _TABLES[size, dtype]

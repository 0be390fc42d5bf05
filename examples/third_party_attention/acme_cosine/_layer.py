"""The Keras layer: imported when the first one is built."""

import keras
from maskkit_keras import AttentionLayer, allowed_pairs, merge_heads, project, rms_norm

from . import Cosine


@keras.saving.register_keras_serializable("acme_cosine")
class CosineAttention(AttentionLayer):
    """Tokens (B, T, width) to tokens of the same shape; the parameters are those of `Cosine`."""

    config_class = Cosine

    def build(self, input_shape):
        self.require_width(input_shape, "width")
        shape = (self.width, self.heads, self.width // self.heads)
        self.query_kernel = self.add_kernel("query_kernel", shape)
        self.key_kernel = self.add_kernel("key_kernel", shape)
        self.value_kernel = self.add_kernel("value_kernel", shape)

    def call(self, inputs, attention_mask=None, use_causal_mask=False, return_attention_scores=False, mask=None):
        """Attend; the arguments are those of every layer of maskkit."""
        kernels = (self.query_kernel, self.key_kernel, self.value_kernel)
        query, key, value = (project(inputs, kernel) for kernel in kernels)
        batch, tokens = inputs.shape[:2]
        sizes = dict(batch=batch, heads=self.heads, queries=tokens, keys=tokens)
        allowed = allowed_pairs(attention_mask, mask, use_causal_mask, **sizes)
        # Vectors of length sqrt(width of a head): their product, divided by that width, is the cosine.
        scale = self.sharpness / query.shape[-1]
        context, weights = self.attend(
            rms_norm(query), rms_norm(key), value, allowed, scale=scale, weights=return_attention_scores
        )
        outputs = merge_heads(context)
        return (outputs, weights) if return_attention_scores else outputs

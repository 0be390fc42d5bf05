"""The Keras layer of reflect."""

import keras
from maskkit_keras import AttentionLayer, allowed_pairs, project

from . import Reflect


@keras.saving.register_keras_serializable("maskkit")
class ReflectAttention(AttentionLayer):
    """Tokens (B, T, C) to tokens of the same shape; the parameters are those of `Reflect`."""

    config_class = Reflect

    def build(self, input_shape):
        square = (input_shape[-1], input_shape[-1])
        self.query_kernel = self.add_kernel("query_kernel", square)
        self.key_kernel = self.add_kernel("key_kernel", square)
        self.value_kernel = self.add_kernel("value_kernel", square)

    def call(
        self,
        inputs,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        mask=None,
    ):
        """Attend.

        Args:
            inputs: (B, T, C).
            attention_mask: a mask value, or an array in which non-zero means allowed: (B, T) keys, (B, T, T) or
                (B, 1, T, T).
            use_causal_mask: whether a token sees only itself and what came before it.
            return_attention_scores: whether to return the weights (B, 1, T, T) too, after the softmax.
            mask: the mask that Keras carries along, (B, T).
        """
        one_head = inputs[:, :, None]
        query = project(one_head, self.query_kernel)
        key = project(one_head, self.key_kernel)
        value = project(one_head, self.value_kernel)
        batch, tokens = inputs.shape[:2]
        sizes = dict(batch=batch, heads=1, queries=tokens, keys=tokens)
        allowed = allowed_pairs(attention_mask, mask, use_causal_mask, **sizes)
        context, weights = self.attend(query, key, value, allowed, weights=return_attention_scores)
        outputs = context[:, :, 0]
        return (outputs, weights) if return_attention_scores else outputs

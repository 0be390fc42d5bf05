"""The Keras layer of self-attention with capsule routing."""

import keras
from keras import ops
from maskkit import ConfigError
from maskkit_keras import (
    AttentionLayer,
    allowed_pairs,
    causal_mask,
    masked_softmax,
    pair_scores,
    project,
    token_mask,
)

from . import CapsuleRouting


@keras.saving.register_keras_serializable("maskkit")
class CapsuleRoutingSelfAttention(AttentionLayer):
    """Tokens (B, T, C) to tokens of the same shape; the parameters are those of `CapsuleRouting`."""

    config_class = CapsuleRouting
    weights_rate = "dropout"

    def build(self, input_shape):
        channels, heads = input_shape[-1], self.num_heads
        if self.key_dim is None and channels % heads:
            raise ConfigError(
                f"Parameter 'num_heads' must divide the inputs' width {channels}, or key_dim be given, got {heads}"
            )
        width = self.key_dim or channels // heads
        value_width = self.value_dim or width
        self.query_kernel = self.add_kernel("query_kernel", (channels, heads, width))
        self.key_kernel = self.add_kernel("key_kernel", (channels, heads, width))
        self.value_kernel = self.add_kernel("value_kernel", (channels, heads, value_width))
        self.output_kernel = self.add_kernel("output_kernel", (heads, value_width, channels), inputs=2)
        self.query_bias = self.add_bias("query_bias", (heads, width)) if self.use_bias else None
        self.key_bias = self.add_bias("key_bias", (heads, width)) if self.use_bias else None
        self.value_bias = self.add_bias("value_bias", (heads, value_width)) if self.use_bias else None
        self.output_bias = self.add_bias("output_bias", (channels,)) if self.use_bias else None
        if self.use_vertical_routing:
            self.head_gain = self.add_weight(name="head_gain", shape=(heads,), initializer="zeros")
            self.head_offset = self.add_weight(name="head_offset", shape=(heads,), initializer="zeros")

    def call(
        self,
        inputs,
        attention_mask=None,
        use_causal_mask=False,
        training=None,
        return_attention_scores=False,
        mask=None,
    ):
        """Route, then attend.

        Args:
            inputs: (B, T, C).
            attention_mask: a mask value, or an array in which non-zero means allowed: (B, T) keys, (B, T, T) or
                (B, num_heads, T, T).
            use_causal_mask: whether a token sees only itself and what came before it.
            training: whether dropout acts.
            return_attention_scores: whether to return the weights (B, num_heads, T, T) too, after the softmax.
            mask: the mask that Keras carries along, (B, T).
        """
        if use_causal_mask and self.config.routes_everywhere:
            raise ConfigError(
                "Parameter 'use_causal_mask' must be False with use_horizontal_routing=True and "
                "use_positional_routing=False, got True: later tokens would have a vote on earlier ones"
            )
        query = project(inputs, self.query_kernel, self.query_bias)
        key = project(inputs, self.key_kernel, self.key_bias)
        value = project(inputs, self.value_kernel, self.value_bias)
        scores = pair_scores(query, key, query.shape[-1] ** -0.5)
        tokens = inputs.shape[1]
        sizes = dict(batch=inputs.shape[0], heads=self.num_heads, queries=tokens, keys=tokens)
        allowed = allowed_pairs(attention_mask, mask, use_causal_mask, **sizes)
        allowed = allowed.dense(*ops.shape(scores)[2:])
        scores = self._refine(scores, allowed, token_mask(attention_mask, mask))
        weights = ops.cast(masked_softmax(scores, allowed), value.dtype)
        outputs = project(self.read(weights, value, training), self.output_kernel, self.output_bias, inputs=2)
        return (outputs, weights) if return_attention_scores else outputs

    def _refine(self, scores, allowed, kept):
        """The scores (B, heads, T, S), plus what heads and tokens agree on."""
        votes = scores if allowed is None else ops.where(allowed, scores, ops.zeros_like(scores))
        voters = None if allowed is None else ops.broadcast_to(ops.any(allowed, axis=-1), ops.shape(scores)[:3])
        refined = scores
        if self.use_vertical_routing:
            refined = refined + self._vertical(votes, voters)
        if self.use_horizontal_routing:
            voters = voters if kept is None else ops.logical_and(voters, kept[:, None, :])
            refined = refined + self._horizontal(votes, voters)
        return refined

    def _vertical(self, votes, voters):
        """For every query one capsule of its heads, handed out to the heads by importance."""
        who = None if voters is None else ops.swapaxes(voters, 1, 2)[:, :, None, :]
        capsule = ops.swapaxes(self._route(ops.swapaxes(votes, 1, 2), who, 1), 2, 3)
        gain, offset = (ops.cast(weight, votes.dtype) for weight in (self.head_gain, self.head_offset))
        return ops.transpose(masked_softmax(capsule * gain + offset) * capsule, (0, 3, 1, 2))

    def _horizontal(self, votes, voters):
        """For every head a capsule of the queries up to each, the first of which stays as it is; or one of all."""
        tokens = ops.shape(votes)[2]
        who = None if voters is None else voters[:, :, None, :]
        if not self.use_positional_routing:
            return self._route(votes, who, 1)
        until = causal_mask(tokens, tokens)
        capsules = self._route(votes, until if who is None else ops.logical_and(who, until), tokens)
        return ops.concatenate([votes[:, :, :1], capsules[:, :, 1:]], axis=2)

    def _route(self, votes, who, capsules):
        """Routing by agreement, for all capsules at once.

        Args:
            votes: (B, _, voters, S).
            who: booleans that broadcast to (B, _, capsules, voters): who votes on which; None is all on all.
            capsules: their number.

        Returns:
            (B, _, capsules, S).
        """
        batch, others, voters, _ = ops.shape(votes)
        logits = ops.zeros((batch, others, capsules, voters), dtype=votes.dtype)
        for i in range(self.routing_iterations):
            if i:
                logits = logits + ops.einsum("bxcs,bxvs->bxcv", found, votes)  # noqa: F821
            found = squash(ops.einsum("bxcv,bxvs->bxcs", masked_softmax(logits, who), votes), self.epsilon)
        return found


def squash(x, epsilon):
    """Vectors with their lengths n drawn below 1, to `n ** 2 / (1 + n ** 2)`."""
    square = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return square / (1 + square) * x * ops.rsqrt(square + epsilon)

"""The Keras layer of cross-attention with shared weights."""

import keras
from keras import ops
from maskkit import ConfigError
from maskkit.validators import message
from maskkit_keras import AttentionLayer, allowed_pairs, boolean, project

from . import SharedWeightsCross, group_sizes


@keras.saving.register_keras_serializable("maskkit")
class SharedWeightsCrossAttention(AttentionLayer):
    """Two groups of tokens (B, S, dim) to tokens of that shape; the parameters are those of `SharedWeightsCross`."""

    config_class = SharedWeightsCross
    weights_rate = "dropout_rate"

    def build(self, input_shape):
        heads, width = self.num_heads, self.dim // self.num_heads
        self.qkv_kernel = self.add_kernel("qkv_kernel", (self.dim, 3, heads, width), parts=3)
        self.output_kernel = self.add_kernel("output_kernel", (heads, width, self.dim), inputs=2)
        self.qkv_bias = self.add_bias("qkv_bias", (3, heads, width)) if self.use_bias else None
        self.output_bias = self.add_bias("output_bias", (self.dim,)) if self.use_bias else None

    def call(
        self,
        inputs,
        split_sizes=None,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
        mask=None,
    ):
        """Attend.

        Args:
            inputs: (B, S, dim), group A and then group B; or a list of both, (B, a, dim) and (B, b, dim), for which a
                pair comes back.
            split_sizes: `[a, b]`, or `[A's anchors, A's queries, B's anchors, B's queries]`, integers whose sum is S;
                None is what the layer was made with. A list of inputs has its own sizes.
            attention_mask: a mask value, or an array in which non-zero means allowed, over the whole sequence: (B, S)
                keys, (B, S, S) or (B, num_heads, S, S). No mask lets a group see itself.
            training: whether dropout acts.
            return_attention_scores: whether to return the weights (B, num_heads, S, S) too, after the softmax.
            mask: the mask, or list of masks, that Keras carries along.
        """
        pair = isinstance(inputs, (list, tuple))
        if pair:
            split_sizes = self._sizes_of(inputs, split_sizes)
            mask = _joined(mask, inputs) if isinstance(mask, (list, tuple)) else mask
            inputs = ops.concatenate(inputs, axis=1)
        tokens = inputs.shape[1]
        a_anchors, a_queries, b_anchors, b_queries = self._four(split_sizes, tokens)
        a, both = a_anchors + a_queries, a_anchors + a_queries + b_anchors + b_queries
        qkv = project(inputs, self.qkv_kernel, self.qkv_bias)
        sizes = dict(batch=inputs.shape[0], heads=self.num_heads, queries=tokens, keys=tokens)
        allowed = allowed_pairs(attention_mask, mask, **sizes)
        options = dict(training=training, weights=return_attention_scores)
        parts = [
            self._read(qkv, allowed, slice(0, a), slice(a, a + b_anchors), options),
            self._read(qkv, allowed, slice(a, both), slice(0, a_anchors), options),
        ]
        context = ops.concatenate([context for context, _ in parts], axis=1)
        outputs = project(context, self.output_kernel, self.output_bias, inputs=2)
        outputs = (outputs[:, :a], outputs[:, a:]) if pair else outputs
        return (outputs, ops.concatenate([w for _, w in parts], axis=2)) if return_attention_scores else outputs

    def compute_mask(self, inputs, mask=None):
        return mask

    def compute_output_spec(self, inputs, split_sizes=None, return_attention_scores=False, **options):
        """Said, not traced: sizes are numbers, and JAX would trace those of the call."""
        pair = isinstance(inputs, (list, tuple))
        parts = inputs if pair else [inputs]
        lengths = [x.shape[1] for x in parts]
        tokens = None if None in lengths else sum(lengths)
        if pair:
            self._sizes_of(inputs, split_sizes)
        else:
            self._four(split_sizes, tokens)
        outputs = tuple(keras.KerasTensor(x.shape, dtype=self.compute_dtype) for x in parts)
        outputs = outputs if pair else outputs[0]
        shape = (parts[0].shape[0], self.num_heads, tokens, tokens)
        return (outputs, keras.KerasTensor(shape, dtype=self.compute_dtype)) if return_attention_scores else outputs

    def _read(self, qkv, allowed, queries, keys, options):
        """What some tokens read in others, and their weights over the whole sequence."""
        query, key, value = qkv[:, queries, 0], qkv[:, keys, 1], qkv[:, keys, 2]
        total = qkv.shape[1]
        if not (query.shape[1] and key.shape[1]):  # no softmax over nothing
            shape = (ops.shape(qkv)[0], self.num_heads, query.shape[1], total)
            return ops.zeros_like(query), ops.zeros(shape, query.dtype)
        context, weights = self.attend(query, key, value, allowed.cut(queries, keys), **options)
        if weights is not None:
            weights = ops.pad(weights, ((0, 0), (0, 0), (0, 0), (keys.start, total - keys.stop)))
        return context, weights

    # -- sizes ----------------------------------------------------------------------------------------------------

    def _four(self, given, tokens):
        """The four sizes, from two or four."""
        found = self.split_sizes if given is None else given
        if found is None:
            raise ConfigError(
                f"Parameter 'split_sizes' must be given to {type(self).__name__} {self.name!r} or to its call, for one "
                "input does not tell where its groups part; or call it with a list of two inputs"
            )
        found = tuple(found) if hasattr(found, "__iter__") else (found,)
        if not group_sizes.test(found):
            raise ConfigError(message(self.config, "split_sizes", group_sizes.rule, found))
        if isinstance(tokens, int) and sum(found) != tokens:
            raise ConfigError(
                f"Parameter 'split_sizes' must add up to the {tokens} tokens of the input, got {found}: {sum(found)}"
            )
        return found if len(found) == 4 else (found[0], 0, found[1], 0)

    def _sizes_of(self, inputs, given):
        if len(inputs) != 2:
            raise ConfigError(f"Parameter 'inputs' must be one tensor, or a list of 2, got {len(inputs)}")
        if given is not None:
            raise ConfigError(f"Parameter 'split_sizes' must be None for a list of inputs, got {given}")
        return [x.shape[1] for x in inputs]


def _joined(masks, inputs):
    """The masks of two inputs as that of both; an input without a mask has none of it dropped."""
    masks = [
        ops.ones(ops.shape(x)[:2], dtype="bool") if mask is None else boolean(mask, "mask")
        for mask, x in zip(masks, inputs, strict=True)
    ]
    return ops.concatenate(masks, axis=1)

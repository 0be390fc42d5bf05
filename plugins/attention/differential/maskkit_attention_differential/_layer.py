"""The Keras layer of differential attention."""

import keras
from keras import ops
from maskkit_keras import AttentionLayer, allowed_pairs, project, rms_norm

from . import Differential


@keras.saving.register_keras_serializable("maskkit")
class DifferentialMultiHeadAttention(AttentionLayer):
    """Tokens (B, T, dim) to tokens of the same shape; the parameters are those of `Differential`."""

    config_class = Differential
    weights_rate = "attention_dropout"

    def __init__(self, **params):
        super().__init__(**params)
        self.output_dropout = self.new_dropout("dropout", apart=1)

    def build(self, input_shape):
        heads, width, value_width = self.num_heads, self.head_dim, self.value_dim or 2 * self.head_dim
        self.query_kernel = self.add_kernel("query_kernel", (self.dim, 2, heads, width), parts=2)
        self.key_kernel = self.add_kernel("key_kernel", (self.dim, 2, heads, width), parts=2)
        self.value_kernel = self.add_kernel("value_kernel", (self.dim, heads, value_width))
        self.output_kernel = self.add_kernel("output_kernel", (heads, value_width, self.dim), inputs=2)
        self.query_bias = self.add_bias("query_bias", (2, heads, width)) if self.use_bias else None
        self.key_bias = self.add_bias("key_bias", (2, heads, width)) if self.use_bias else None
        self.value_bias = self.add_bias("value_bias", (heads, value_width)) if self.use_bias else None
        self.output_bias = self.add_bias("output_bias", (self.dim,)) if self.proj_bias else None
        self.lambdas = [self._lambda(name) for name in ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")]
        if self.sub_norm:
            self.norm_gain = self.add_weight(name="norm_gain", shape=(value_width,), initializer="ones")

    def _lambda(self, name):
        """A vector in float32 at least, whatever the layer computes in."""
        dtype = "float64" if self.variable_dtype == "float64" else "float32"
        start = keras.initializers.RandomNormal(0.0, 0.1)
        return self.add_weight(name=name, shape=(self.head_dim,), initializer=start, dtype=dtype, autocast=False)

    def call(
        self,
        inputs,
        attention_mask=None,
        use_causal_mask=False,
        training=None,
        return_attention_scores=False,
        mask=None,
    ):
        """Attend.

        Args:
            inputs: (B, T, dim).
            attention_mask: a mask value, or an array in which non-zero means allowed: (B, T) keys, (B, T, T) or
                (B, num_heads, T, T); both maps of a head obey it.
            use_causal_mask: whether a token sees only itself and what came before it.
            training: whether dropout acts.
            return_attention_scores: whether to return the weights (B, num_heads, T, T) too: the first map minus lambda
                times the second, so some are negative.
            mask: the mask that Keras carries along, (B, T).
        """
        query = project(inputs, self.query_kernel, self.query_bias)
        key = project(inputs, self.key_kernel, self.key_bias)
        value = project(inputs, self.value_kernel, self.value_bias)
        batch, tokens = inputs.shape[:2]
        sizes = dict(batch=batch, heads=self.num_heads, queries=tokens, keys=tokens)
        allowed = allowed_pairs(attention_mask, mask, use_causal_mask, **sizes)
        options = dict(training=training, weights=return_attention_scores)
        first, first_map = self.attend(query[:, :, 0], key[:, :, 0], value, allowed, **options)
        second, second_map = self.attend(query[:, :, 1], key[:, :, 1], value, allowed, **options)
        factor = ops.cast(self._factor(), first.dtype)
        context = first - factor * second
        if self.sub_norm:
            context = rms_norm(context, self.norm_gain, self.norm_epsilon) * (1 - self.config.lambda_start)
        outputs = project(context, self.output_kernel, self.output_bias, inputs=2)
        outputs = self.output_dropout.drop(outputs, training)
        return (outputs, first_map - factor * second_map) if return_attention_scores else outputs

    def _factor(self):
        """Lambda, equation 2."""
        q1, k1, q2, k2 = (ops.convert_to_tensor(vector) for vector in self.lambdas)
        return ops.exp(ops.sum(q1 * k1)) - ops.exp(ops.sum(q2 * k2)) + self.config.lambda_start

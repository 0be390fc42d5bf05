"""The examples that people know of the seventeen layers, as they are written, and one block for all token layers."""

import json

import keras
import numpy as np
import pytest
import maskkit
from maskkit import create_attention_from_config, create_attention_layer, validate_attention_config
from maskkit_keras import adapt_params

EXAMPLES = {
    "adaptive_multi_head": dict(num_heads=8, key_dim=64, dropout=0.1, min_temp=0.05),
    "anchor": dict(dim=512, num_heads=8, dropout=0.1),
    "attention_block": dict(dim=256, num_heads=4, attention_type="window_attention"),
    "capsule_routing": dict(num_heads=8, key_dim=64, routing_iterations=5),
    "channel": dict(channels=256, ratio=16),
    "cbam": dict(channels=256, ratio=16, kernel_size=5),
    "perceiver": dict(dim=256, num_heads=8, dropout=0.1),
    "differential": dict(dim=512, num_heads=8, head_dim=64, attention_dropout=0.1),
    "fnet": dict(implementation="fft"),
    "group_query": dict(d_model=1024, n_head=16, n_kv_head=4),
    "hopfield": dict(num_heads=8, key_dim=64, update_steps_max=3),
    "mobile_mqa": dict(dim=256, num_heads=8, use_downsampling=True),
    "multi_head": dict(embed_dim=512, num_heads=8, dropout_rate=0.1),
    "non_local": dict(attention_channels=128, normalization="layer", attention_mode="dot_product"),
    "shared_weights_cross": dict(dim=256, num_heads=4, dropout_rate=0.1),
    "spatial": dict(kernel_size=5),
    "window": dict(dim=96, window_size=7, num_heads=4, attn_dropout_rate=0.05),
}

CLASSES = {
    "adaptive_multi_head": "AdaptiveMultiHeadAttention",
    "anchor": "AnchorAttention",
    "attention_block": "AttentionBlock",
    "capsule_routing": "CapsuleRoutingSelfAttention",
    "channel": "ChannelAttention",
    "cbam": "CBAM",
    "perceiver": "PerceiverAttention",
    "differential": "DifferentialMultiHeadAttention",
    "fnet": "FNetFourierTransform",
    "group_query": "GroupedQueryAttention",
    "hopfield": "HopfieldAttention",
    "mobile_mqa": "MobileMQA",
    "multi_head": "MultiHeadAttention",
    "non_local": "NonLocalAttention",
    "shared_weights_cross": "SharedWeightsCrossAttention",
    "spatial": "SpatialAttention",
    "window": "WindowAttention",
}

REQUIRED_AND_DEFAULTS = {
    "adaptive_multi_head": (["num_heads", "key_dim"], dict(dropout=0.0, min_temp=0.1, max_temp=1.0)),
    "anchor": (["dim"], dict(num_heads=8, dropout=0.0)),
    "attention_block": (["dim"], dict(num_heads=8, attention_type="multi_head_attention", use_layer_scale=True)),
    "capsule_routing": (["num_heads"], dict(key_dim=None, routing_iterations=3)),
    "channel": (["channels"], dict(ratio=8, use_bias=False)),
    "cbam": (["channels"], dict(ratio=8, kernel_size=7)),
    "perceiver": (["dim"], dict(num_heads=8, dropout=0.0)),
    "differential": (["dim", "num_heads", "head_dim"], dict(dropout=0.0, attention_dropout=0.0, lambda_init=0.8)),
    "fnet": ([], dict(implementation="matrix", normalize_dft=True)),
    "group_query": (["d_model", "n_head", "n_kv_head"], dict(max_seq_len=2048, dropout_rate=0.0)),
    "hopfield": (["num_heads", "key_dim"], dict(update_steps_max=0, update_steps_eps=1e-4)),
    "mobile_mqa": (["dim"], dict(num_heads=8, use_downsampling=False)),
    "multi_head": (["embed_dim"], dict(num_heads=8, dropout_rate=0.0)),
    "non_local": (["attention_channels"], dict(normalization="batch", attention_mode="gaussian")),
    "shared_weights_cross": (["dim"], dict(num_heads=8, dropout_rate=0.0)),
    "spatial": ([], dict(kernel_size=7, use_bias=True)),
    "window": (["dim", "window_size", "num_heads"], dict(attn_dropout_rate=0.0, qkv_bias=True)),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_builds_the_layer(name):
    validate_attention_config(name, **EXAMPLES[name])
    layer = create_attention_layer(name, **EXAMPLES[name])
    assert type(layer).__name__ == CLASSES[name]
    assert {key: layer.get_config()[key] for key in EXAMPLES[name]} == EXAMPLES[name]


@pytest.mark.parametrize("name", REQUIRED_AND_DEFAULTS)
def test_required_parameters_and_defaults(name):
    """Names and defaults that configs out there rely on."""
    required, defaults = REQUIRED_AND_DEFAULTS[name]
    info = maskkit.get_attention_info()[name]
    assert info["required_params"] == required
    assert {key: info["optional_params"][key] for key in defaults} == defaults
    assert info["class"].__name__ == CLASSES[name]


def test_a_model_file_holds_its_attention(tmp_path):
    """A section of a JSON file, with a parameter that only the block as a whole has."""
    attention = {"type": "attention_block", "dim": 384, "num_heads": 6, "dropout_rate": 0.1}
    path = tmp_path / "model_config.json"
    path.write_text(json.dumps({"model_name": "VisionTransformer-S", "attention": attention, "ffn": {}}))
    layer = create_attention_from_config(json.loads(path.read_text())["attention"])
    assert (layer.dim, layer.num_heads, layer.dropout_rate) == (384, 6, 0.1)
    assert type(maskkit.load(path, "attention")) is type(layer)


def test_window_is_validated():
    assert validate_attention_config("window", dim=96, window_size=7, num_heads=4) is None


def test_direct_construction():
    """The classes are there without the factory, with the same checks."""
    from maskkit_attention_cbam import CBAM
    from maskkit_attention_multi_head import MultiHeadAttention
    from maskkit_attention_window import WindowAttention

    assert MultiHeadAttention(embed_dim=512, num_heads=8).num_heads == 8
    assert CBAM(channels=256, ratio=16).ratio == 16
    assert WindowAttention(dim=96, window_size=7, num_heads=4).window_size == 7


class TransformerBlock(keras.layers.Layer):
    """One block for every token layer."""

    def __init__(self, dim, num_heads, attention_type="multi_head", **options):
        super().__init__(**options)
        params = adapt_params(attention_type, dim=dim, num_heads=num_heads)
        self.attention = create_attention_layer(attention_type, name="attention", **params)
        self.norm = keras.layers.LayerNormalization()

    def call(self, inputs):
        return inputs + self.attention(self.norm(inputs))


TOKEN_LAYERS = [
    "adaptive_multi_head",
    "anchor",
    "capsule_routing",
    "differential",
    "fnet",
    "group_query",
    "hopfield",
    "multi_head",
    "perceiver",
]


@pytest.mark.parametrize("name", TOKEN_LAYERS)
def test_one_transformer_block_takes_every_token_layer(name):
    y = TransformerBlock(dim=16, num_heads=4, attention_type=name)(np.ones((2, 5, 16), "float32"))
    assert tuple(y.shape) == (2, 5, 16)

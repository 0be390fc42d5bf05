"""Group-query: the contract, the oracles, and the facts."""

import numpy as np
import pytest
from keras import ops
from maskkit_attention_group_query import GroupedQueryAttention, GroupQuery
from maskkit_attention_multi_head import MultiHeadAttention
from maskkit_keras.testing import check_attention, golden, head_kernel, output_kernel


def test_contract():
    check_attention(GroupQuery)


@golden("group_query")
def test_golden_group_query(case):
    """Equal to Keras without rotary positions, and to transformers' Cohere with them."""
    x = case.inputs["x"]
    layer = case.build(GroupedQueryAttention, x.shape)
    case.transplant(layer, (_from_cohere if "q_proj.weight" in case.weights else _from_keras)(case))
    causal = case.name.endswith("_causal") and "attention_mask" not in case.inputs
    options = {"attention_mask": case.inputs.get("attention_mask"), "use_causal_mask": causal}
    y, weights = layer(x, return_attention_scores=True, **options)
    case.check("y", y)
    case.check("y", layer(x, **options))
    if "weights" in case.outputs:
        case.check("weights", weights)


def _from_keras(case):
    w = case.weights
    return {
        "qkv_kernel": np.concatenate([w[f"{part}.kernel"] for part in ("query", "key", "value")], axis=1),
        "qkv_bias": np.concatenate([w[f"{part}.bias"] for part in ("query", "key", "value")]),
        "output_kernel": w["attention_output.kernel"],
        "output_bias": w["attention_output.bias"],
    }


def _from_cohere(case):
    w, heads, key_heads = case.weights, case.params["n_head"], case.params["n_kv_head"]
    parts = {"q": heads, "k": key_heads, "v": key_heads}
    return {
        "qkv_kernel": np.concatenate([head_kernel(w[f"{p}_proj.weight"], n) for p, n in parts.items()], axis=1),
        "output_kernel": output_kernel(w["o_proj.weight"], heads),
    }


def tokens(batch=2, length=6, width=16, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, length, width)).astype("float32")


def built(**params):
    layer = GroupedQueryAttention(**{"d_model": 16, "n_head": 4, "n_kv_head": 2} | params)
    layer.build((None, None, layer.d_model))
    return layer


def test_with_as_many_key_heads_and_no_rotary_it_is_multi_head():
    layer = built(n_kv_head=4, rope_percentage=0.0)
    other = MultiHeadAttention(embed_dim=16, num_heads=4)
    other.build((None, None, 16))
    other.qkv_kernel.assign(ops.reshape(layer.qkv_kernel, (16, 3, 4, 4)))
    other.output_kernel.assign(layer.output_kernel)
    x = tokens()
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), ops.convert_to_numpy(other(x)), atol=1e-5)


def test_neighbouring_query_heads_share_a_key_head():
    """Query head h uses key head h // (n_head / n_kv_head): silencing values of head 0 silences query heads 0 and 1."""
    layer = built()
    kernel = np.array(ops.convert_to_numpy(layer.qkv_kernel.value))
    kernel[:, 4 + 2 + 0] = 0
    layer.qkv_kernel.assign(kernel)
    layer.output_kernel.assign(np.ones((4, 4, 16)) * np.array([1, 1, 0, 0])[:, None, None])
    assert not ops.convert_to_numpy(layer(tokens())).any()


def test_weights_depend_on_distances_of_positions_only():
    layer, x = built(), tokens(length=5)
    _, here = layer(x, return_attention_scores=True)
    _, there = layer(x, position_offset=100, return_attention_scores=True)
    np.testing.assert_allclose(ops.convert_to_numpy(there), ops.convert_to_numpy(here), atol=1e-5)


def test_order_matters_with_rotary_positions_only():
    x = np.tile(tokens(1, 1), (1, 4, 1)) + np.array([0, 0, 0, 1.0], "float32")[None, :, None]
    for share, matters in ((0.0, False), (0.5, True)):
        layer = built(rope_percentage=share)
        forth, back = (ops.convert_to_numpy(layer(a)) for a in (x, x[:, ::-1].copy()))
        assert np.allclose(forth, back[:, ::-1], atol=1e-6) is not matters


def test_odd_heads_keep_their_last_channel():
    """With 3 channels a head, only one pair turns."""
    layer = built(d_model=12, n_head=4)
    assert ops.convert_to_numpy(layer(tokens(width=12))).shape == (2, 6, 12)


@pytest.mark.parametrize(("length", "offset"), [(9, 0), (3, 6)])
def test_longer_than_max_seq_len_is_refused(length, offset):
    layer = built(max_seq_len=8)
    layer(tokens(length=length - 1), position_offset=offset)
    with pytest.raises(ValueError, match=f"max_seq_len=8, but gets {length} tokens from position {offset} on"):
        layer(tokens(length=length), position_offset=offset)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (dict(n_kv_head=0), "Parameter 'n_kv_head' must be positive, got 0"),
        (dict(n_kv_head=3), "Parameter 'n_head' must be divisible by n_kv_head=3, got 4"),
        (dict(n_head=3), "Parameter 'd_model' must be divisible by n_head=3, got 16"),
        (dict(rope_theta=0), "Parameter 'rope_theta' must be positive, got 0"),
        (dict(rope_percentage=1.5), "Parameter 'rope_percentage' must be between 0.0 and 1.0, got 1.5"),
    ],
)
def test_bad_parameters_are_named(params, text):
    with pytest.raises(ValueError, match=text):
        built(**params)

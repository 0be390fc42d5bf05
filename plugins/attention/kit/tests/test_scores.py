"""Masks of scores: by the names of axes or by their number, in every layer that has scores, and what is refused."""

import numpy as np
import pytest
from keras import ops
import maskkit
from maskkit_keras import MaskedAttention, scores_mask

T = 5
RANDOM = np.random.default_rng(0)

LAYERS = {
    "adaptive_multi_head": dict(num_heads=2, key_dim=4),
    "anchor": dict(dim=8, num_heads=2),
    "capsule_routing": dict(num_heads=2),
    "differential": dict(dim=8, num_heads=2, head_dim=2),
    "group_query": dict(d_model=8, n_head=2, n_kv_head=1),
    "hopfield": dict(num_heads=2, key_dim=4),
    "multi_head": dict(embed_dim=8, num_heads=2),
    "perceiver": dict(dim=8, num_heads=2),
    "reflect": {},
    "shared_weights_cross": dict(dim=8, num_heads=2, split_sizes=(2, 3)),
    "window": dict(dim=8, window_size=(1, T), num_heads=2),
}
SHAPES = {
    "keys": ("B", T),
    "keys of one": (1, T),
    "pairs": ("B", T, T),
    "pairs of one": (1, T, T),
    "heads": ("B", "H", T, T),
    "heads of one": (1, "H", T, T),
    "samples, one head": ("B", 1, T, T),
    "one of each": (1, 1, T, T),
    "keys of heads": ("B", "H", 1, T),
}


def numbers(x):
    return ops.convert_to_numpy(x)


def layer_of(name):
    return maskkit.create(name, kind="attention", **LAYERS[name])


def heads_of(layer):
    return getattr(layer, "num_heads", getattr(layer, "n_head", 1))


def tokens(batch):
    return RANDOM.normal(size=(batch, T, 8)).astype("float32")


def draw(shape):
    """Booleans in which every query sees its last key, at least."""
    array = RANDOM.random(shape) < 0.6
    array[..., -1] = True
    return array


def said(array, batch, heads):
    """What an array says of (batch, heads, queries, keys), one entry after the other; a size of 1 serves all."""
    names = {2: "bk", 3: "bqk", 4: "bhqk"}[array.ndim]
    found = np.zeros((batch, heads, T, T), bool)
    for place in np.ndindex(found.shape):
        at = dict(zip("bhqk", place, strict=True))
        found[place] = array[tuple(at[name] % size for name, size in zip(names, array.shape, strict=True))]
    return found


def check(name, batch, mask, expected):
    """The layer's weights are where the mask allows; its outputs do not depend on asking for them."""
    layer, x = layer_of(name), tokens(batch)
    _, free = layer(x, return_attention_scores=True)
    y, weights = layer(x, attention_mask=mask, return_attention_scores=True)
    reachable = np.broadcast_to(numbers(free) != 0, expected.shape)  # a group does not see itself, whatever the mask
    np.testing.assert_array_equal(numbers(weights) != 0, expected & reachable)
    np.testing.assert_allclose(numbers(layer(x, attention_mask=mask)), numbers(y), atol=1e-5)


@pytest.mark.parametrize("batch", [2, 3])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", LAYERS)
def test_the_number_of_axes_of_an_array_says_what_they_are(name, shape, batch):
    """With as many samples as heads, too, where a batch could be taken for heads."""
    heads = heads_of(layer_of(name))
    array = draw([{"B": batch, "H": heads}.get(size, size) for size in shape])
    check(name, batch, array, said(array, batch, heads))


@pytest.mark.parametrize("name", LAYERS)
def test_the_names_of_its_axes_say_what_a_mask_value_means(name):
    """Two axes are queries and keys, three are a batch's; heads are heads, though there are as many as samples."""
    heads = heads_of(layer_of(name))
    pairs, batch, per_head = draw((T, T)), draw((2, T, T)), draw((heads, T, T))
    check(name, 2, maskkit.from_array(pairs, true="allowed"), said(pairs[None], 2, heads))
    value = maskkit.from_array(batch, true="allowed", axes=("batch", "query", "key"))
    check(name, 2, value, said(batch, 2, heads))
    value = maskkit.from_array(per_head, true="allowed", axes=("head", "query", "key"))
    check(name, 2, value, said(per_head[None], 2, heads))


@pytest.mark.parametrize("name", LAYERS)
def test_what_does_not_fit_is_refused_by_its_axis(name):
    layer = layer_of(name)
    heads = heads_of(layer)
    for shape in ((3, T), (3, T, T), (3, heads, T, T)):
        text = "divide the 2 windows" if name == "window" else "batch 3 of the mask against 2 samples"
        with pytest.raises(maskkit.ConfigError, match=text):
            layer(tokens(2), attention_mask=np.ones(shape, bool))
    with pytest.raises(maskkit.ConfigError, match=f"4 heads of the mask against {heads}"):
        layer(tokens(2), attention_mask=np.ones((2, 4, T, T), bool))
    with pytest.raises(maskkit.ConfigError, match=f"6 keys, but there are {T} queries and {T} keys"):
        layer(tokens(2), attention_mask=np.ones((2, 1, T, 6), bool))


@pytest.mark.parametrize("given", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("bound", ["causal", {"type": "key_padding", "lengths": [4, 5]}], ids=str)
def test_masked_attention_ands_masks_of_any_axes(bound, given):
    layer = MaskedAttention({"type": "multi_head", **LAYERS["multi_head"]}, bound)
    array = draw([{"B": 2, "H": 2}.get(size, size) for size in given])
    _, weights = layer(tokens(2), attention_mask=array, return_attention_scores=True)
    pattern = maskkit.create(bound, seq_len=T).allowed()
    both = said(array, 2, 2) & said(pattern if pattern.ndim == 3 else pattern[None], 2, 2)
    np.testing.assert_array_equal(numbers(weights) != 0, both)


def test_a_block_of_a_map_takes_pairs_of_pixels_for_each_head():
    """It does what it does with one head's mask for all heads, if they are alike; and a head of its own counts."""
    layer = maskkit.create("attention_block", dim=8, num_heads=2, layer_scale_init=1.0)
    x = RANDOM.normal(size=(2, 2, 3, 8)).astype("float32")
    pairs = draw((2, 6, 6))
    same = numbers(layer(x, attention_mask=np.repeat(pairs[:, None], 2, axis=1)))
    np.testing.assert_allclose(same, numbers(layer(x, attention_mask=pairs)), atol=1e-6)
    other = np.stack([pairs, draw((2, 6, 6))], axis=1)
    assert np.abs(numbers(layer(x, attention_mask=other)) - same).max() > 1e-3
    with pytest.raises(maskkit.ConfigError, match="4 heads of the mask against 2"):
        layer(x, attention_mask=np.ones((2, 4, 6, 6), bool))


def test_a_mask_of_queries_and_keys_is_never_one_of_pixels():
    """A causal mask of 4 tokens on a map of 4 x 4 pixels has the map's size by chance."""
    causal = maskkit.create("causal", seq_len=4)
    x = RANDOM.normal(size=(2, 4, 4, 8)).astype("float32")
    with pytest.raises(maskkit.ConfigError, match="is for 4 queries and 4 keys, but there are 16 queries"):
        maskkit.create("attention_block", dim=8, num_heads=2)(x, attention_mask=causal)
    for config in (
        dict(type="mobile_mqa", dim=8, num_heads=2),
        dict(type="non_local", attention_channels=4),
        dict(type="attention.window", dim=8, window_size=2, num_heads=2),
    ):
        with pytest.raises(
            maskkit.ConfigError, match=r"\(batch, height, width\) or \(batch, pixels\), got \(1, 1, 4, 4\)"
        ):
            maskkit.create(config)(x, attention_mask=causal)
    with pytest.raises(maskkit.ConfigError, match=r"'mask' must have the shape \(batch, height, width\)"):
        maskkit.create("channel", kind="attention", channels=8)(x, mask=causal)


@pytest.mark.parametrize("name", ["mobile_mqa", "non_local", "attention.window", "attention_block"])
def test_a_batch_of_pixels_that_does_not_fit_is_refused(name):
    params = dict(attention_channels=4) if name == "non_local" else dict(dim=8, num_heads=2)
    layer = maskkit.create({"type": name, **params, **({"window_size": 2} if "window" in name else {})})
    x = RANDOM.normal(size=(2, 4, 4, 8)).astype("float32")
    with pytest.raises(maskkit.ConfigError, match="batch 3 of the mask against 2 samples"):
        layer(x, attention_mask=np.ones((3, 4, 4), bool))


@pytest.mark.parametrize("name", ["mobile_mqa", "non_local", "attention.window", "attention_block"])
def test_a_batch_of_no_maps_may_have_a_mask(name):
    params = dict(attention_channels=4) if name == "non_local" else dict(dim=8, num_heads=2)
    layer = maskkit.create({"type": name, **params, **({"window_size": 2} if "window" in name else {})})
    y = layer(np.zeros((0, 4, 4, 8), "float32"), attention_mask=np.ones((0, 4, 4), bool))
    assert tuple(y.shape) == (0, 4, 4, 8)


def test_masks_have_all_axes_of_scores():
    """In order, with 1 where they have none."""
    assert tuple(scores_mask(maskkit.create("causal", seq_len=3)).shape) == (1, 1, 3, 3)
    assert tuple(scores_mask(maskkit.create("key_padding", lengths=[1, 2], seq_len=3)).shape) == (2, 1, 3, 3)
    assert tuple(scores_mask(np.ones((2, 3), bool)).shape) == (2, 1, 1, 3)

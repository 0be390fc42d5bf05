"""Window: the contract, the oracle, and the facts."""

import keras
import numpy as np
import pytest
from keras import ops
from maskkit_attention_multi_head import MultiHeadAttention
from maskkit_attention_window import Window, WindowAttention
from maskkit_attention_window._grid import Grid, relative_positions
import maskkit
from maskkit_keras.testing import check_attention, float64, golden, output_kernel, stacked_bias, stacked_kernel

RANDOM = np.random.default_rng(0)
MAP = RANDOM.normal(size=(2, 6, 9, 6)).astype("float32")
WINDOWS = RANDOM.normal(size=(6, 4, 6)).astype("float32")


def numbers(x):
    return ops.convert_to_numpy(x)


def stirred(**params):
    """A layer away from its start, so that the table of biases matters."""
    layer = WindowAttention(**{"dim": 6, "num_heads": 2, **params})
    layer.build((None, None, None, 6))
    for i, weight in enumerate(layer.weights):
        weight.assign(np.random.default_rng(i).normal(size=weight.shape))
    return layer


def test_contract():
    check_attention(Window)


@golden("window")
def test_golden_window(case):
    """Equal to timm: windows, masks of pairs, maps, shifted maps."""
    x, w, heads = case.inputs["x"], case.weights, case.params["num_heads"]
    layer = case.build(WindowAttention, x.shape, shift_size=case.settings.get("shift_size", 0))
    weights = {
        "qkv_kernel": stacked_kernel(w["qkv.weight"], 3, heads),
        "output_kernel": output_kernel(w["proj.weight"], heads),
        "output_bias": w["proj.bias"],
        "position_table": w["relative_position_bias_table"],
    }
    if "qkv.bias" in w:
        weights["qkv_bias"] = stacked_bias(w["qkv.bias"], 3, heads)
    case.transplant(layer, weights)
    case.check("y", layer(x, attention_mask=case.inputs.get("attention_mask")))


@golden("window", select=lambda case: case == "plain")
def test_golden_relative_positions(case):
    height, width = Window(**case.params).window
    index = relative_positions(np.arange(height * width), height, width)
    np.testing.assert_array_equal(index, case.outputs["relative_position_index"])


def test_relative_positions_of_oblong_windows():
    """For i = (r, c) the query and j the key: (r_i - r_j + Mh - 1) (2 Mw - 1) + c_i - c_j + Mw - 1."""
    height, width = 2, 3
    index = relative_positions(np.arange(6), height, width)
    for i in range(6):
        for j in range(6):
            down, right = i // width - j // width, i % width - j % width
            assert index[i, j] == (down + height - 1) * (2 * width - 1) + right + width - 1
    assert (index.min(), index.max()) == (0, 3 * 5 - 1)


def test_with_no_bias_for_positions_it_is_multi_head_attention_in_each_window():
    layer = stirred(window_size=2)
    layer.position_table.assign(np.zeros((9, 2)))
    plain = MultiHeadAttention(embed_dim=6, num_heads=2, use_bias=True)
    plain.build((None, 4, 6))
    for name in ("qkv_kernel", "output_kernel", "output_bias"):
        getattr(plain, name).assign(getattr(layer, name))
    plain.qkv_bias.assign(layer.qkv_biases)
    np.testing.assert_allclose(numbers(layer(WINDOWS)), numbers(plain(WINDOWS)), atol=1e-5)


def test_a_map_is_its_windows_row_by_row():
    layer = stirred(window_size=(2, 3))
    y, weights = layer(MAP, return_attention_scores=True)
    cut = MAP.reshape(2, 3, 2, 3, 3, 6).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 6, 6)
    expected, of_windows = layer(cut, return_attention_scores=True)
    joined = numbers(expected).reshape(2, 3, 3, 2, 3, 6).transpose(0, 1, 3, 2, 4, 5).reshape(MAP.shape)
    np.testing.assert_allclose(numbers(y), joined, atol=1e-5)
    np.testing.assert_allclose(numbers(weights), numbers(of_windows), atol=1e-5)
    assert tuple(weights.shape) == (2 * 9, 2, 6, 6)


def sees(layer, shape, **options):
    """Which pixels see which: booleans (H, W, H, W), from a batch of maps in each of which one pixel is another."""
    pixels = np.prod(shape)
    x = np.broadcast_to(RANDOM.normal(size=(1, *shape, 6)).astype("float32"), (pixels, *shape, 6))
    changed = np.where(np.eye(pixels).reshape(pixels, *shape, 1), x + 3, x).astype("float32")
    gap = np.abs(numbers(layer(changed, **options)) - numbers(layer(x, **options))).max(-1)
    return np.moveaxis(gap.reshape(*shape, *shape), (0, 1), (2, 3)) > 1e-6


def test_a_pixel_sees_its_window_and_nothing_else():
    number = np.arange(4)[:, None] // 2 * 9 + np.arange(6) // 3
    np.testing.assert_array_equal(sees(stirred(window_size=(2, 3)), (4, 6)), number[..., None, None] == number)


def groups(size, window, shift):
    """Of an axis the number of the window that each place is in; after a shift by `s` windows begin at s - M, s, s + M.

    An axis of one window is not shifted.
    """
    return (np.arange(size) + (window - shift if shift and size > window else 0)) // window


def same_window(shape, window, shift):
    """Booleans (H, W, H, W), without a roll."""
    rows, columns = (groups(size, side, shift) for size, side in zip(shape, window, strict=True))
    number = rows[:, None] * 100 + columns
    return number[..., None, None] == number


SHIFTED = [
    ((4, 4), (2, 2), 1),
    ((5, 5), (3, 3), 1),
    ((7, 7), (4, 4), 2),
    ((7, 8), (4, 4), 2),
    ((6, 9), (3, 4), 2),
    ((5, 11), (2, 5), 1),
    ((9, 4), (4, 3), 2),
    ((4, 4), (4, 4), 2),
    ((3, 9), (4, 4), 3),
    ((9, 3), (4, 4), 1),
    ((2, 3), (4, 4), 2),
    ((1, 7), (3, 3), 1),
]
"""(map, window, shift): whole windows, maps that must be padded, axes of one window."""


@pytest.mark.parametrize(("shape", "window", "shift"), SHIFTED, ids=str)
def test_a_shift_moves_the_windows_and_does_not_join_opposite_borders(shape, window, shift):
    """Also where the map must be padded, and where an axis has but one window."""
    found = sees(stirred(window_size=window, shift_size=shift, qk_scale=0.1), shape)
    np.testing.assert_array_equal(found, same_window(shape, window, shift))


def plain(x, layer):
    """The layer in NumPy, float64: the map is filled up, and each pixel attends to those that share its window."""
    (height, width), shift = layer.config.window, layer.shift_size
    kernel, biases, output, table = (
        numbers(w) for w in (layer.qkv_kernel, layer.qkv_biases, layer.output_kernel, layer.position_table)
    )
    batch, *size, channels = x.shape
    filled = [-(-side // pixels) * pixels for side, pixels in zip(size, (height, width), strict=True)]
    padded = np.zeros((batch, *filled, channels))
    padded[:, : size[0], : size[1]] = x
    query, key, value = np.moveaxis(np.einsum("bhwc,cpnd->bhwpnd", padded, kernel) + biases, 3, 0)
    real = np.zeros(filled, bool)
    real[: size[0], : size[1]] = True
    rows, columns = (groups(side, pixels, shift) for side, pixels in zip(filled, (height, width), strict=True))
    y = np.zeros_like(x)
    for r, c in np.ndindex(*size):
        see = (rows[:, None] == rows[r]) & (columns == columns[c]) & (real | (not layer.mask_padding))
        down, right = (place - at for place, at in zip(np.nonzero(see), (r, c), strict=True))
        scores = np.einsum("bnd,bknd->bnk", query[:, r, c] * query.shape[-1] ** -0.5, key[:, see])
        scores += table[(height - 1 - down) * (2 * width - 1) + width - 1 - right].T
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        y[:, r, c] = np.einsum("bnk,bknd,nde->be", weights, value[:, see], output) + numbers(layer.output_bias)
    return y


@pytest.mark.parametrize("mask_padding", [True, False])
@pytest.mark.parametrize(("shape", "window", "shift"), SHIFTED, ids=str)
def test_is_the_formula_without_a_roll(shape, window, shift, mask_padding):
    x = np.random.default_rng(1).normal(size=(2, *shape, 6))
    with float64():
        layer = stirred(window_size=window, shift_size=shift, mask_padding=mask_padding, dtype="float64")
        np.testing.assert_allclose(numbers(layer(x)), plain(x, layer), rtol=0, atol=1e-12)


def test_maps_of_unknown_size_are_shifted_alike():
    """One model, maps of one window and of more."""
    layer = stirred(window_size=4, shift_size=2)
    pixels = keras.Input((None, None, 6))
    model = keras.Model(pixels, layer(pixels))
    for shape in ((3, 4), (7, 8), (4, 9)):
        x = RANDOM.normal(size=(2, *shape, 6)).astype("float32")
        np.testing.assert_allclose(numbers(model(x)), numbers(layer(x)), atol=1e-6)


def test_regions_of_a_shifted_map():
    """Zones [0, L - M), [L - M, L - s), [L - s, L) of rows and of columns, on the padded and rolled map."""
    grid = Grid(5, 6, (3, 3), 1)
    zone = np.array([0, 0, 0, 1, 1, 2])
    expected = 3 * zone[:, None] + zone
    cut = expected.reshape(2, 3, 2, 3).transpose(0, 2, 1, 3).reshape(4, 9)
    np.testing.assert_array_equal(numbers(grid.regions()), cut)


def test_padding_is_not_seen():
    """A window over the border of the map is the window with zeros, of which the real pixels alone are allowed."""
    layer = stirred(window_size=4)
    windows = np.pad(MAP[:, :3, :4], ((0, 0), (0, 1), (0, 0), (0, 0))).reshape(2, 16, 6)
    expected = numbers(layer(windows, attention_mask=np.tile(np.arange(16) < 12, (2, 1))))[:, :12]
    np.testing.assert_allclose(numbers(layer(MAP[:, :3, :4])), expected.reshape(2, 3, 4, 6), atol=1e-5)


def test_padding_may_take_part_as_in_timm():
    layer = stirred(window_size=4, mask_padding=False)
    padded = np.pad(MAP, ((0, 0), (0, 2), (0, 3), (0, 0)))
    np.testing.assert_allclose(numbers(layer(MAP)), numbers(layer(padded))[:, :6, :9], atol=1e-5)
    assert np.abs(numbers(layer(MAP)) - numbers(stirred(window_size=4)(MAP))).max() > 0.01


@pytest.mark.parametrize("mask_padding", [True, False])
def test_a_mask_of_pixels_goes_with_the_padding_and_the_roll(mask_padding):
    """Blocked pixels are seen by nobody, on a map that must be padded and rolled."""
    layer = stirred(window_size=3, shift_size=1, mask_padding=mask_padding)
    keep = RANDOM.random((1, 5, 4)) < 0.6
    found = sees(layer, (5, 4), attention_mask=keep)
    others = ~np.eye(20, dtype=bool).reshape(5, 4, 5, 4)
    assert not (found & others)[..., ~keep[0]].any()
    assert (found & others)[..., keep[0]].any()


def test_a_mask_of_pairs_repeats_over_the_maps():
    """Row b uses entry b % windows: as (windows, N, N), as (B * windows, N, N), and one entry for all."""
    layer = stirred(window_size=2)
    pairs = RANDOM.random((3, 4, 4)) < 0.6
    expected = np.stack([numbers(layer(WINDOWS[b : b + 1], attention_mask=pairs[b % 3][None]))[0] for b in range(6)])
    np.testing.assert_allclose(numbers(layer(WINDOWS, attention_mask=pairs)), expected, atol=1e-5)
    np.testing.assert_allclose(numbers(layer(WINDOWS, attention_mask=np.tile(pairs, (2, 1, 1)))), expected, atol=1e-5)
    value = maskkit.from_array(pairs[1], true="allowed")
    same = numbers(layer(WINDOWS, attention_mask=value))
    np.testing.assert_allclose(same[1::3], expected[1::3], atol=1e-5)


def test_masks_of_pairs_and_of_keys_are_both_obeyed():
    """The carried mask (B * windows, N) too."""
    layer = stirred(window_size=2)
    pairs, keys = RANDOM.random((3, 4, 4)) < 0.6, RANDOM.random((6, 4)) < 0.6
    both = np.tile(pairs, (2, 1, 1)) & keys[:, None]
    expected = numbers(layer(WINDOWS, attention_mask=both))
    np.testing.assert_allclose(numbers(layer(WINDOWS, attention_mask=pairs, mask=keys)), expected, atol=1e-5)


def test_a_query_that_sees_nothing_gives_the_output_bias():
    layer = stirred(window_size=2)
    pairs = np.ones((1, 4, 4), bool)
    pairs[0, 1] = False
    y = numbers(layer(WINDOWS, attention_mask=pairs))
    np.testing.assert_allclose(y[:, 1], np.tile(numbers(layer.output_bias), (6, 1)), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 4), (1, 1)])
def test_windows_of_one_pixel_give_the_value_path(shape):
    layer = stirred(window_size=1)
    x = MAP[:, : shape[0], : shape[1]]
    value = np.einsum("bhwc,cnd->bhwnd", x, numbers(layer.qkv_kernel)[:, 2]) + numbers(layer.qkv_biases)[2]
    expected = np.einsum("bhwnd,ndc->bhwc", value, numbers(layer.output_kernel)) + numbers(layer.output_bias)
    np.testing.assert_allclose(numbers(layer(x)), expected, atol=1e-4)


def test_the_table_starts_narrow():
    """Truncated normal of 0.02, one number for each displacement and head."""
    layer = WindowAttention(dim=64, num_heads=16, window_size=(7, 9))
    layer.build((None, None, None, 64))
    table = numbers(layer.position_table)
    assert table.shape == (13 * 17, 16)
    assert table.std() == pytest.approx(0.02, rel=0.15)
    assert (np.abs(table) <= 0.0456).mean() > 0.999  # Keras' own, of 4 draws, lets about 4 of a million through


def test_scores_are_scaled():
    """By `qk_scale`, or by the width of a head to the power of -1/2."""
    default, same = stirred(window_size=2), stirred(window_size=2, qk_scale=3**-0.5)
    np.testing.assert_allclose(numbers(default(WINDOWS)), numbers(same(WINDOWS)), atol=1e-5)
    layer = stirred(window_size=2, qk_scale=1e-9)
    _, weights = layer(WINDOWS, return_attention_scores=True)
    scores = np.exp(numbers(layer.position_table)[relative_positions(np.arange(4), 2, 2)].transpose(2, 0, 1))
    np.testing.assert_allclose(numbers(weights)[0], scores / scores.sum(-1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("name", ["attn_dropout_rate", "proj_dropout_rate"])
def test_dropout_acts_while_training(name):
    """At rate 1 nothing but the output bias is left, or not even that."""
    layer = stirred(window_size=2, **{name: 1.0})
    expected = numbers(layer.output_bias) if name == "attn_dropout_rate" else np.zeros(6)
    np.testing.assert_allclose(numbers(layer(WINDOWS, training=True)), np.tile(expected, (6, 4, 1)), atol=1e-6)
    calm = stirred(window_size=2)(WINDOWS)
    np.testing.assert_array_equal(numbers(layer(WINDOWS, training=False)), numbers(calm))


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (dict(num_heads=4), "Parameter 'dim' must be divisible by num_heads=4, got 6"),
        (dict(num_heads=0), "Parameter 'num_heads' must be positive, got 0"),
        (dict(window_size=0), "Parameter 'window_size' must be positive, .*got 0"),
        (dict(window_size=(3, -1)), r"Parameter 'window_size' must be positive, .*got \(3, -1\)"),
        (dict(window_size=2.5), "Parameter 'window_size' must be an integer or a list of 2 .*got 2.5"),
        (dict(window_size=(2, 2, 2)), "Parameter 'window_size' must be"),
        (dict(shift_size=3), "Parameter 'shift_size' must be less than window_size=3, got 3"),
        (
            dict(shift_size=2, window_size=(4, 2)),
            r"Parameter 'shift_size' must be less than window_size=\(4, 2\), got 2",
        ),
        (dict(shift_size=-1), "Parameter 'shift_size' must not be negative, got -1"),
        (dict(attn_dropout_rate=1.5), "Parameter 'attn_dropout_rate' must be between 0.0 and 1.0, got 1.5"),
    ],
)
def test_refused(params, text):
    with pytest.raises(maskkit.ConfigError, match=text):
        WindowAttention(**{"dim": 6, "num_heads": 2, "window_size": 3, **params})


@pytest.mark.parametrize("shape", [(2, 8, 6), (2, None, 6), (2, 6), (2, 1, 3, 3, 6)])
def test_other_shapes_are_refused(shape):
    """With both numbers of pixels where windows have the wrong one; of symbolic inputs and of arrays."""
    layer = WindowAttention(dim=6, num_heads=2, window_size=3)
    with pytest.raises(ValueError, match=r"windows of window_size=3, \(batch, 9, 6\), got the shape \(2, "):
        layer(keras.KerasTensor(shape))
    with pytest.raises(ValueError, match=r"\(batch, 9, 6\), got the shape \(2, 8, 6\)"):
        layer(np.ones((2, 8, 6), "float32"))


def test_windows_that_are_already_cut_cannot_be_shifted():
    with pytest.raises(ValueError, match=r"with shift_size=1 no windows .*got the shape \(6, 4, 6\)"):
        WindowAttention(dim=6, num_heads=2, window_size=2, shift_size=1)(WINDOWS)


@pytest.mark.parametrize(
    ("x", "shape", "text"),
    [
        (MAP, (2, 9, 6), r"\(batch, 6, 9\) or \(batch, 54\)"),
        (WINDOWS, (6, 3), "3 keys"),
        (WINDOWS, (3, 5, 5), "5 keys"),
        (WINDOWS, (4, 4, 4), "must have as many entries as a map has windows, .* divide the 6 windows .*, got 4"),
        (WINDOWS, (3, 3, 4, 4), "3 heads of the mask against 2"),
    ],
)
def test_masks_of_another_size_are_refused(x, shape, text):
    with pytest.raises(ValueError, match=text):
        WindowAttention(dim=6, num_heads=2, window_size=2)(x, attention_mask=np.ones(shape, bool))

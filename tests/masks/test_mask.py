"""The mask as a value: its words, its arrays, its refusals."""

import logging

import numpy as np
import pytest
import maskkit
from maskkit import limits


@pytest.fixture
def causal():
    return maskkit.create("causal", seq_len=6)


def test_asarray_is_what_is_allowed(causal):
    np.testing.assert_array_equal(np.asarray(causal), np.tril(np.ones((6, 6), bool)))


def test_allowed_and_blocked_are_complements(causal):
    np.testing.assert_array_equal(causal.allowed(), ~causal.blocked())


@pytest.mark.parametrize("dtype", ["int8", "int32", "float16", "float32", "float64", np.float32, float])
def test_other_dtypes_hold_ones_where_allowed(causal, dtype):
    array = causal.allowed(dtype=dtype)
    assert array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(array, np.tril(np.ones((6, 6))))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_bias_is_zero_or_minus_infinity(causal, dtype):
    bias = causal.bias(dtype)
    assert bias.dtype == dtype
    np.testing.assert_array_equal(bias, np.where(causal, 0, -np.inf))
    assert causal.bias(dtype, finite=True).min() == np.finfo(dtype).min


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "keras"])
def test_bfloat16_on_every_backend(causal, backend):
    """NumPy has no such dtype; the bits are right all the same."""
    for finite in (False, True):
        bias = causal.bias("bfloat16", backend, finite=finite)
        assert "bfloat16" in str(bias.dtype)
        values = np.asarray(bias.float() if hasattr(bias, "float") else bias, np.float32)
        lowest = -3.3895314e38 if finite else -np.inf
        np.testing.assert_array_equal(values, np.where(causal, 0, lowest).astype(np.float32))


def test_dtypes_may_be_the_librarys_own(causal):
    import jax.numpy as jnp
    import torch

    assert causal.allowed("torch", dtype=torch.float16).dtype == torch.float16
    assert causal.allowed("jax", dtype=jnp.bfloat16).dtype == jnp.bfloat16
    assert causal.bias(torch.bfloat16, "torch").dtype == torch.bfloat16


def test_torch_tensors_share_host_memory_and_take_a_device(causal):
    import torch

    tensor = torch.as_tensor(causal.allowed("torch", device="cpu"))
    assert tensor.dtype == torch.bool
    assert tensor.device.type == "cpu"
    np.testing.assert_array_equal(tensor.numpy(), causal.allowed())
    assert causal.allowed("torch", device="meta").device.type == "meta"


@pytest.mark.parametrize(("backend", "way_out"), [("numpy", "backend='torch'"), ("keras", "keras.device")])
def test_devices_that_a_backend_lacks_are_refused(causal, backend, way_out):
    with pytest.raises(maskkit.ConfigError, match=way_out):
        causal.allowed(backend, device="cuda:0")


def test_unknown_backend_and_dtype_are_refused(causal):
    with pytest.raises(maskkit.ConfigError, match=r"unknown backend 'torhc'.*did you mean 'torch'"):
        causal.allowed("torhc")
    with pytest.raises(maskkit.ConfigError, match="dtype 'float23' is not known"):
        causal.allowed(dtype="float23")
    with pytest.raises(maskkit.ConfigError, match="a bias needs a floating dtype, got 'int32'"):
        causal.bias("int32")


def test_a_mask_has_no_truth_value(causal):
    with pytest.raises(TypeError, match=r"stats\(\)\.allowed > 0"):
        bool(causal)
    with pytest.raises(TypeError, match="for `and`"):
        causal and causal  # noqa: B018


@pytest.mark.parametrize("combine", [lambda m, x: m & x, lambda m, x: x & m, lambda m, x: m | x, lambda m, x: x ^ m])
def test_arrays_enter_only_by_from_array(causal, combine):
    import torch

    for array in (np.ones((6, 6), bool), torch.ones((6, 6), dtype=torch.bool)):
        with pytest.raises(TypeError, match=r"from_array|torch's"):
            combine(causal, array)
    with pytest.raises(TypeError, match="combines with masks, got int"):
        combine(causal, 3)


def test_masks_are_values(causal):
    same = maskkit.create("causal", seq_len=6)
    assert same == causal
    assert hash(same) == hash(causal)
    assert {same: 1}[causal] == 1
    assert maskkit.create("causal", seq_len=7) != causal
    with pytest.raises(AttributeError):
        causal.seq_len = 7


def test_a_dense_array_over_the_limit_is_refused(monkeypatch):
    mask = maskkit.create("causal", seq_len=1_000_000)
    with pytest.raises(maskkit.TooLarge, match=r"931\.3 GiB.*8\.0 GiB.*\.blocks\(\).*maskkit\.limits\.dense_bytes"):
        mask.allowed()
    with pytest.raises(MemoryError):
        np.asarray(mask)
    monkeypatch.setattr(limits, "dense_bytes", 35)
    with pytest.raises(maskkit.TooLarge):
        maskkit.create("causal", seq_len=6).allowed()
    monkeypatch.setattr(limits, "dense_bytes", 36)
    assert maskkit.create("causal", seq_len=6).allowed().sum() == 21


def test_a_window_of_any_size_is_at_most_causal():
    causal = maskkit.create("causal", seq_len=5)
    for size in (5, 6, 10**6, 10**15):
        np.testing.assert_array_equal(maskkit.create("sliding_window", seq_len=5, window_size=size), causal)


@pytest.mark.parametrize("name", ["causal", "sliding_window", "banded", "block_diagonal", "random"])
def test_one_token(name):
    """A sequence of one token sees itself."""
    extra = {"sliding_window": {"window_size": 3}, "banded": {"band_width": 1}, "block_diagonal": {"block_size": 9}}
    mask = maskkit.create(
        name, seq_len=1, **extra.get(name, {}), **({"mask_probability": 0.0} if name == "random" else {})
    )
    assert mask.allowed().tolist() == [[True]]
    assert mask.stats().density == 1


def test_materialising_is_logged_for_those_who_ask(causal, caplog):
    with caplog.at_level(logging.DEBUG, "maskkit"):
        causal.allowed("torch")
    assert "Causal with shape (6, 6) as torch bool" in caplog.text


def test_arrays_and_biases_of_any_size_equal_the_predicate():
    """Of what stays, slides, grows and shrinks."""
    for n in (63, 64, 65, 129, 300):
        for expression in (
            "causal",
            "sliding_window(window_size=70)",
            "banded(band_width=131)",
            "block_diagonal(block_size=7)",
        ):
            for mask in (maskkit.parse(expression, seq_len=n), ~maskkit.parse(expression, seq_len=n)):
                expected = mask.allows(np.arange(n)[:, None], np.arange(n)[None, :])
                np.testing.assert_array_equal(mask.allowed(), expected, err_msg=f"{mask!r}")
                np.testing.assert_array_equal(mask.bias(), np.where(expected, 0, -np.inf))


@pytest.mark.parametrize(
    "expression",
    ["causal", "banded(band_width=5)", "dilated(window_size=4, dilation=3) | ~sliding_window(window_size=9)"],
)
@pytest.mark.parametrize("cut", [(), (slice(3, None),), (slice(None), slice(7)), (slice(None, None, 2),) * 2])
def test_masks_of_the_distance_alone_slide(expression, cut):
    """So do their combinations and most of their views; one of every second row alone does not."""
    mask = maskkit.parse(expression, seq_len=40)
    seen, dense = mask[cut], mask.allows(*np.ogrid[:40, :40])[cut]
    assert seen.period == 1
    np.testing.assert_array_equal(seen.allowed(), dense)
    np.testing.assert_array_equal(seen.blocked("torch"), ~dense)
    assert not mask[::2, :].period
    assert not (mask & maskkit.create("document", lengths=[20, 20])).period


def test_what_slides_is_asked_for_two_rows(causal, monkeypatch):
    asked = []
    spans = type(causal).spans
    monkeypatch.setattr(type(causal), "spans", lambda self, q: asked.extend(q.tolist()) or spans(self, q))
    maskkit.create("causal", seq_len=1000).bias()
    assert asked == [999, 0]


@pytest.mark.parametrize("block_size", [1, 2, 3, 4, 6, 8, 12])
@pytest.mark.parametrize("cut", [slice(None), slice(5, None), slice(None, None, 3), slice(None, None, -1)])
@pytest.mark.parametrize(
    "expression", ["axial", "~axial", "axial & causal(seq_len=96)", "axial ^ strided(seq_len=96, stride=8)"]
)
def test_block_maps_of_what_repeats(expression, cut, block_size):
    mask = maskkit.parse(expression.replace("axial", "axial(height=12, width=8)"))[cut, cut]
    rows, keys = (-(-size // block_size) for size in mask.shape)
    dense = np.zeros((rows * block_size, keys * block_size), bool)
    dense[: mask.shape[0], : mask.shape[1]] = mask.allows(*np.ogrid[: mask.shape[0], : mask.shape[1]])
    tiles = dense.reshape(rows, block_size, keys, block_size)
    expected = tiles.any(axis=(1, 3)) + tiles.all(axis=(1, 3)).astype(int)
    np.testing.assert_array_equal(mask.blocks(block_size).dense(), expected)


def test_a_block_map_of_what_repeats_asks_for_two_periods(monkeypatch):
    """Without spans too: here they are forbidden, and the predicate is asked for no other rows."""
    mask = maskkit.create("axial", height=40, width=8)
    with_spans, asked = mask.blocks(8), []
    allows = type(mask).allows
    monkeypatch.setattr(type(mask), "spans", lambda self, q: None)
    monkeypatch.setattr(type(mask), "allows", lambda self, q, k: asked.extend(np.ravel(q)) or allows(self, q, k))
    np.testing.assert_array_equal(mask.blocks(8).dense(), with_spans.dense())
    assert sorted({*asked}) == [*range(8), *range(312, 320)]


@pytest.mark.parametrize(
    "expression", ["sliding_window(window_size=2147483649)", "strided(stride=3000000000) | causal"]
)
def test_numbers_beyond_the_indices_of_jax_are_refused_with_the_limit(expression):
    """Where the mask is computed by JAX itself, with 32 bits."""
    jax = pytest.importorskip("jax")
    mask = maskkit.parse(expression, seq_len=8)

    @jax.jit
    def allowed(padding):
        return (maskkit.create("padding", padding_mask=padding) & mask).allowed("jax")

    with pytest.raises(maskkit.ConfigError, match=r"a parameter of .*=(2147483649|3000000000).* beyond 2\*\*31 - 1"):
        allowed(np.zeros((1, 8), bool))

"""The mask as a value: its words, its arrays, its refusals."""

import logging

import numpy as np
import pytest
from attrs import frozen
import maskkit
from maskkit import limits
from maskkit.registry.loader import registry


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


def test_planes_of_a_figure_are_named_by_their_axes():
    """Each says which sample and head it is, and the figure what mask."""
    mask = maskkit.stack([maskkit.create("causal", seq_len=4), maskkit.create("banded", seq_len=4, band_width=3)])
    drawn = mask.picture().figure()
    assert [axes.get_title() for axes in drawn.axes] == ["head 0", "head 1"]
    assert drawn.get_suptitle() == repr(mask)
    assert [axes.get_ylabel() for axes in drawn.axes] == ["query (tokens)"] * 2


@pytest.mark.parametrize("name", maskkit.names("mask"))
def test_plain_integers_give_what_the_array_has(name):
    """Also where a predicate, or an operator, negates a comparison: `~True` is -2 in Python, and true."""
    for sample in registry.find(name, "mask").samples:
        made = maskkit.create(name, kind="mask", **sample)
        for mask in made if isinstance(made, tuple) else (made,):
            for one in (mask, ~mask, ~mask & ~mask[..., ::-1]):
                dense = np.asarray(one)
                some = np.random.default_rng(0).integers(0, dense.shape, (20, dense.ndim)).tolist()
                assert [bool(one.allows(*place)) for place in some] == [dense[tuple(place)] for place in some]


def test_plain_integers_and_narrow_ones_widen_narrow_fields():
    levels = np.array([0, 255], np.uint8)
    mask = maskkit.create("query_interaction", num_queries=2, interaction_type="hierarchical", hierarchy_levels=levels)
    assert not mask.allows(0, 1)
    assert not mask.allows(np.uint8(0), np.int8(1))
    padded = maskkit.from_dict({"lengths": {"values": [200], "dtype": "uint8"}, "seq_len": 300, "padding": "pre"})
    assert padded.allows(0, 256)
    assert not padded.allows(0, 99)
    near = maskkit.create("banded", seq_len=6, band_width=3)
    index = np.arange(6, dtype=np.uint8)
    np.testing.assert_array_equal(near.allows(index[:, None], index), near.allowed())


def test_a_predicate_may_ask_that_of_its_base_class():
    """`super()` finds it in classes that attrs makes anew."""

    @frozen(kw_only=True)
    class Tail(registry.find("causal")):
        def allows(self, q, k):
            return ~super().allows(q, k) | (q == k)

    assert [[bool(Tail(seq_len=2).allows(q, k)) for k in (0, 1)] for q in (0, 1)] == [[True, True], [False, True]]

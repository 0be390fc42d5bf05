"""The functional interface to masks: names, configs, dtypes, combination, pictures."""

import copy
import pickle
import subprocess
import sys
from enum import StrEnum
from functools import reduce

import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch
from attrs import field, frozen
import maskkit
from maskkit import (
    AttentionMask,
    AttentionType,
    ConfigError,
    MaskConfig,
    MaskFactory,
    MaskType,
    UnknownName,
    apply_mask,
    combine_masks,
    create,
    create_mask,
    from_array,
    from_dict,
    get_mask_info,
    names,
    positive,
    register,
    to_dict,
    visualize_mask,
)
from maskkit.functional import attention, masks, types
from maskkit.masks.draw import figure as figures
from maskkit.testing import check_mask

CAUSAL = create("causal", seq_len=4)


@frozen(kw_only=True)
class Odd(AttentionMask):
    """Keys at odd positions.

    Attributes:
        seq_len: number of tokens.
    """

    name = "odd_keys"
    samples = (dict(seq_len=4),)
    seq_len: int = field(validator=positive)

    def allows(self, q, k):
        return (k % 2 == 1) & (q >= 0)


# -- MaskType, MaskFactory --------------------------------------------------------------------------------------------


def test_a_mask_type_is_used_like_an_enum():
    assert MaskType.CAUSAL is MaskType("causal") is MaskType["CAUSAL"] is MaskType("mask.causal")
    assert (MaskType.SLIDING_WINDOW.name, MaskType.SLIDING_WINDOW.value) == ("SLIDING_WINDOW", "sliding_window")
    assert repr(MaskType.CAUSAL) == "<MaskType.CAUSAL: 'causal'>"
    assert MaskType.CAUSAL == "causal" == str(MaskType.CAUSAL) == f"{MaskType.CAUSAL}"
    assert [member.value for member in MaskType] == names("mask")
    assert len(MaskType) == len(names("mask"))
    assert MaskType.CAUSAL in MaskType
    assert "causal" in list(MaskType)
    assert {"CAUSAL", "RANDOM"} <= set(dir(MaskType))


def test_the_types_are_enums_of_strings_made_once():
    assert issubclass(MaskType, StrEnum)
    assert issubclass(AttentionType, StrEnum)
    assert maskkit.MaskType is masks.MaskType is MaskType
    assert maskkit.AttentionType is attention.AttentionType is AttentionType
    assert [member.value for member in AttentionType] == names("attention")
    with pytest.raises(AttributeError, match="no attribute 'StrategyType'"):
        _ = masks.StrategyType


def test_a_mask_type_survives_copies_and_pickles():
    for other in (copy.copy, copy.deepcopy, lambda member: pickle.loads(pickle.dumps(member))):
        assert other(MaskType.CAUSAL) is MaskType.CAUSAL


@pytest.mark.parametrize("mask_type", [MaskType.CAUSAL, "causal", "mask.causal"])
def test_every_spelling_of_a_type_makes_the_mask(mask_type):
    assert create_mask(mask_type, seq_len=4) == create(mask_type, seq_len=4) == CAUSAL
    assert MaskConfig(mask_type=mask_type, seq_len=4).mask_type is MaskType.CAUSAL


def test_a_mask_that_came_after_the_enum_is_taken_as_its_own():
    assert list(MaskType)
    with register(Odd):
        member = MaskType("odd_keys")
        assert (member.name, member.value, repr(member)) == ("ODD_KEYS", "odd_keys", "<MaskType.ODD_KEYS: 'odd_keys'>")
        assert isinstance(member, MaskType)
        assert member == "odd_keys" == MaskType("mask.odd_keys") == pickle.loads(pickle.dumps(member))
        assert hash(member) == hash("odd_keys")
        assert create_mask(member, seq_len=4) == create_mask("mask.odd_keys", seq_len=4) == Odd(seq_len=4)
        assert create_mask(member, MaskConfig(mask_type="odd_keys", seq_len=4)) == Odd(seq_len=4)
    with pytest.raises(UnknownName, match="Invalid mask_type: odd_keys"):
        MaskType("odd_keys")


def test_a_third_party_mask_is_everywhere_as_long_as_it_is_there():
    with register(Odd):
        assert MaskFactory.create_odd_keys_mask(seq_len=4) == create_mask("odd_keys", seq_len=4) == Odd(seq_len=4)
        assert create_mask(config=MaskConfig(mask_type="odd_keys", seq_len=4)) == Odd(seq_len=4)
        assert get_mask_info()["odd_keys"]["required_params"] == ["seq_len"]
        assert "create_odd_keys_mask" in dir(MaskFactory)
    assert "odd_keys" not in get_mask_info()
    assert not hasattr(MaskFactory, "create_odd_keys_mask")


def test_the_factory_has_a_function_for_every_mask():
    for name in names("mask"):
        function = getattr(MaskFactory, f"create_{name}_mask")
        sample = dict(maskkit.find(name, "mask").samples[0])
        assert function(**sample) == create_mask(name, **sample), name


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: create_mask("casual", seq_len=4), UnknownName, "Invalid mask_type: casual; did you mean 'causal'"),
        (lambda: create_mask("zzz"), ValueError, r"Invalid mask_type: zzz \(\d+ installed: maskkit list --kind mask"),
        (lambda: create_mask("attention.spatial"), ValueError, "Invalid mask_type: attention.spatial"),
        (lambda: create_mask(7), ConfigError, "Invalid mask_type: 7, a name is needed"),
        (lambda: create_mask(), ConfigError, "needs a mask_type or a config"),
        (lambda: MaskConfig(mask_type="casual"), UnknownName, "Invalid mask_type: casual; did you mean 'causal'"),
        (lambda: MaskType("casual"), UnknownName, "Invalid mask_type: casual; did you mean 'causal'"),
        (
            lambda: AttentionType("multihead"),
            UnknownName,
            "Invalid attention_type: multihead; did you mean 'multi_head'",
        ),
        (lambda: MaskType.CASUAL, AttributeError, "CASUAL"),
        (lambda: MaskFactory.create_casual_mask, AttributeError, "did you mean 'create_causal_mask'"),
        (lambda: MaskFactory.causal, AttributeError, "no function 'causal'"),
    ],
)
def test_a_wrong_name_says_what_is_meant_and_how_to_list(call, error, words):
    with pytest.raises(error, match=words):
        call()


# -- MaskConfig -------------------------------------------------------------------------------------------------------


def test_a_config_is_a_value():
    """Equal and hashed by content, arrays too; frozen."""
    one, other, third = (
        MaskConfig(mask_type="padding", extra_params={"padding_mask": np.array([[False, last]])})
        for last in (True, True, False)
    )
    assert one == other != third
    assert hash(one) == hash(other)
    with pytest.raises(AttributeError):
        one.dtype = "float32"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"window_size": 3}, "unknown parameter 'window_size'"),
        ({"seq_len": 4, "extra_params": {"seq_len": 4}}, "seq_len given twice"),
        ({"seq_len": 4, "extra_params": {"size": 4}}, "unknown parameter 'size'"),
        ({"seq_len": 4, "dtype": "flaot"}, "dtype 'flaot' is not known"),
        ({"seq_len": 4, "dtype": "complex64"}, "dtype must be bool, an integer or a floating dtype, got 'complex64'"),
        ({"seq_len": 2.5}, "seq_len must be an integer"),
    ],
)
def test_a_config_and_create_mask_refuse_the_same(params, words):
    with pytest.raises(ConfigError, match=words):
        MaskConfig(mask_type="causal", **params)
    with pytest.raises(ConfigError, match=words):
        create_mask("causal", **params)


def test_a_config_takes_no_other_fields():
    with pytest.raises(TypeError, match="seq_length"):
        MaskConfig(mask_type="causal", seq_length=4)


def test_parameters_win_over_those_of_the_config():
    config = MaskConfig(mask_type="sliding_window", seq_len=8, window_size=2, dtype="float32")
    changed = create_mask(config=config, window_size=3, dtype="int8")
    assert changed == create_mask("sliding_window", seq_len=8, window_size=3, dtype="int8")
    assert create_mask("sliding_window", config, extra_params={"window_size": 4}, dtype=None).window_size == 4


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("banded", MaskConfig(mask_type="causal", seq_len=4)), "'banded' is not that of the config, 'causal'"),
        ((None, {"mask_type": "causal"}), "config must be a MaskConfig, got dict"),
    ],
)
def test_type_and_config_must_agree(args, words):
    with pytest.raises(ConfigError, match=words):
        create_mask(*args)


def test_extra_params_is_a_mapping():
    for function in (create_mask, MaskConfig):
        with pytest.raises(ConfigError, match="extra_params must be a mapping of parameters, got"):
            function(mask_type="causal", seq_len=4, extra_params=[1])


# -- dtype ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", torch.float32, np.float32, np.dtype("float32"), jnp.float32])
def test_the_dtype_is_that_of_the_arrays(dtype):
    mask = create_mask("causal", seq_len=4, dtype=dtype)
    assert np.asarray(mask).dtype == mask.allowed().dtype == mask.blocked().dtype == np.float32
    assert mask.allowed("torch").dtype == torch.float32
    assert mask.allowed("jax").dtype == jnp.float32
    assert np.asarray(mask, dtype=bool).dtype == mask.allowed(dtype=bool).dtype == bool
    np.testing.assert_array_equal(np.asarray(mask), np.tril(np.ones((4, 4))))
    np.testing.assert_array_equal(mask.blocked(), np.triu(np.ones((4, 4)), 1))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("causal", {"seq_len": 5}),
        ("random", {"seq_len": 5, "seed": 1}),
        ("padding", {"padding_mask": [[False, True], [False, False]]}),
        ("valid_query", {"num_queries": 5, "valid_queries": 2}),
    ],
)
def test_a_mask_with_a_dtype_keeps_the_contract(name, params):
    plain, mask = create_mask(name, **params), create_mask(name, **params, dtype="float16")
    check_mask(mask)
    assert isinstance(mask, AttentionMask) == isinstance(plain, AttentionMask)
    assert (mask.shape, mask.stats()) == (plain.shape, plain.stats())


def test_a_dtype_is_part_of_the_value_and_is_saved():
    mask = create_mask("causal", seq_len=4, dtype="bfloat16")
    assert mask != CAUSAL
    assert to_dict(mask) == {"astype": {"type": "causal", "seq_len": 4}, "dtype": "bfloat16"}
    assert from_dict(to_dict(mask)) == mask
    assert create_mask("causal", seq_len=4, dtype="bool") == CAUSAL


def test_both_of_a_pair_have_the_dtype():
    pair = create_mask("global_local", seq_len=4, sliding_window=2, dtype="int8")
    assert [np.asarray(mask).dtype for mask in pair] == [np.int8, np.int8]


def test_what_is_made_of_masks_has_the_dtype_they_agree_on():
    band = create("banded", seq_len=4, band_width=3)
    both = CAUSAL.astype("float32") & band.astype("float32")
    assert both == (CAUSAL & band).astype("float32")
    assert ~CAUSAL.astype("float32") == (~CAUSAL).astype("float32")
    assert CAUSAL.astype("float32")[1:, ::2] == CAUSAL[1:, ::2].astype("float32")
    assert CAUSAL.astype("float32") & band == CAUSAL.astype("float32") & band.astype("int8") == CAUSAL & band


def test_the_dtype_changes_nothing_else():
    """Attention reads booleans, never numbers that it would add to its scores."""
    mask = create_mask("causal", seq_len=4, dtype="float32")
    q = torch.randn(1, 2, 4, 8, generator=torch.Generator().manual_seed(0))
    sdpa = torch.nn.functional.scaled_dot_product_attention
    assert torch.equal(sdpa(q, q, q, attn_mask=mask), sdpa(q, q, q, attn_mask=CAUSAL))
    assert np.array_equal(mask.bias(), CAUSAL.bias())
    assert mask.fits()["is_causal"] is True
    logits = np.zeros((4, 4))
    np.testing.assert_array_equal(apply_mask(logits, mask), apply_mask(logits, CAUSAL))


# -- combine_masks ----------------------------------------------------------------------------------------------------

COMBINED = {"or": np.logical_or, "and": np.logical_and, "xor": np.logical_xor}


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("combination", COMBINED)
def test_combinations_are_of_what_is_blocked(combination, count):
    blocked = np.random.default_rng(count).random((count, 6, 7)) < 0.5
    mask = combine_masks(*(from_array(b, true="blocked") for b in blocked), combination=combination)
    np.testing.assert_array_equal(mask.blocked(), reduce(COMBINED[combination], blocked))


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor, jnp.asarray, keras.ops.convert_to_tensor])
def test_in_arrays_true_means_allowed(convert):
    allowed = np.random.default_rng(0).random((2, 4, 4)) < 0.5
    mask = combine_masks(CAUSAL, convert(allowed))
    np.testing.assert_array_equal(np.asarray(mask), np.tril(np.ones((4, 4), bool)) & allowed)


@pytest.mark.parametrize(
    ("masks", "combination", "words"),
    [
        ((), "or", "at least one mask"),
        ((CAUSAL, CAUSAL), "nor", "combination must be one of 'or', 'and', 'xor', got 'nor'; did you mean"),
        (((CAUSAL, CAUSAL),), "or", "got tuple; it is several masks"),
        ((CAUSAL, "causal"), "or", "combine_masks takes masks, and boolean arrays, got str"),
        ((CAUSAL, np.ones((4, 4))), "or", r"dtype float64; write `array != 0`"),
        ((CAUSAL, create("causal", seq_len=5)), "or", "5 along the axis 'query', where others have 4"),
    ],
)
def test_what_does_not_combine(masks, combination, words):
    with pytest.raises(ConfigError, match=words):
        combine_masks(*masks, combination=combination)


# -- visualize_mask ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask",
    [
        CAUSAL,
        np.asarray(CAUSAL),
        create_mask("causal", seq_len=4, dtype="float32"),
        create_mask("global_local", seq_len=4, sliding_window=2),
        create_mask("valid_query", num_queries=4, valid_queries=2),
        create_mask("padding", padding_mask=np.array([[True, False, True, True], [True, True, False, False]])),
        create_mask("instance_separation", mask_predictions=np.random.default_rng(0).random((1, 2, 3, 4))),
    ],
    ids=["mask", "array", "dtype", "pair", "queries", "batch", "images"],
)
def test_every_mask_is_drawn(mask):
    drawn = visualize_mask(mask, title="A title", figsize=(4, 3))
    assert tuple(drawn.get_size_inches()) == (4, 3)
    titles = [drawn.get_suptitle(), *(axes.get_title() for axes in drawn.axes)]
    assert "A title" in titles
    assert {axes.images[0].get_cmap().name for axes in drawn.axes} == {"Blues"}


def test_the_picture_is_the_mask():
    drawn = visualize_mask(CAUSAL, show=False)
    np.testing.assert_array_equal(drawn.axes[0].images[0].get_array(), np.asarray(CAUSAL))


@pytest.mark.parametrize("windows", [True, False])
def test_only_a_backend_with_windows_shows(windows, monkeypatch):
    """Then pyplot knows the figure; else there is nothing to close."""
    from matplotlib import pyplot

    shown = []
    monkeypatch.setattr(figures, "shows_windows", lambda: windows)
    monkeypatch.setattr(pyplot, "show", lambda: shown.extend(pyplot.get_fignums()))
    drawn = visualize_mask(CAUSAL)
    assert shown == ([drawn.number] if windows else [])
    pyplot.close("all")


def test_agg_has_no_windows():
    assert not figures.shows_windows()


def test_without_matplotlib_it_warns_and_draws_nothing(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert visualize_mask(CAUSAL) is None
    assert caplog.messages == ["matplotlib not available for visualization: pip install 'maskkit[plot]'"]
    assert caplog.records[0].levelname == "WARNING"


# -- get_mask_info, logs, imports -------------------------------------------------------------------------------------


def test_info_has_every_installed_mask_and_says_what_create_mask_takes():
    info = get_mask_info()
    assert list(info) == names("mask")
    for name, known in info.items():
        assert known["description"], name
        assert known["category"] in ("attention", "segmentation"), name
        sample = maskkit.find(name, "mask").samples[0]
        assert set(known["required_params"]) <= set(sample) <= {*known["required_params"], *known["optional_params"]}
        assert known["optional_params"]["dtype"] == "bool"
    assert info["causal"]["provider"] == "maskkit-mask-causal"
    assert info["causal"]["reference"].startswith("Vaswani et al. 2017")


def test_info_leaves_out_what_cannot_be_imported(monkeypatch, caplog):
    def broken(name, kind):
        if name == "causal":
            raise ConfigError("causal is broken")
        return maskkit.info(name, kind)

    monkeypatch.setattr(types, "info", broken)
    assert set(names("mask")) - set(get_mask_info()) == {"causal"}
    assert caplog.messages == ["skipped: causal is broken"]


def test_the_log_names_arrays_by_their_shape(caplog):
    with caplog.at_level("DEBUG", "maskkit"):
        create_mask("padding", padding_mask=np.zeros((2, 3), bool))
        create_mask("global_local", seq_len=4, sliding_window=2)
    assert caplog.messages == [
        "Created padding mask: shape=(2, 3, 3), padding_mask=an array of shape (2, 3) and dtype bool",
        "Created global local mask: shape=(4, 4), sliding_window=2",
    ]


def test_importing_the_functions_imports_no_framework():
    code = (
        "import sys; from maskkit import create_mask, apply_mask, MaskType; create_mask('causal', seq_len=4); "
        "print(*[m for m in ('torch', 'jax', 'keras', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"

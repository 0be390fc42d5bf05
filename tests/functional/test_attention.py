"""The functional interface to attention layers: what it takes, what it says, what it logs."""

import json
import logging

import keras
import pytest
import maskkit
from maskkit import (
    AttentionType,
    create_attention_from_config,
    create_attention_layer,
    get_attention_info,
    validate_attention_config,
)

ALL = maskkit.names("attention")


def test_a_layer_has_the_defaults_of_its_config():
    layer = create_attention_layer("multi_head", embed_dim=16)
    assert (layer.num_heads, layer.dropout_rate, layer.use_bias) == (8, 0.0, False)


def test_name_and_keras_options_reach_the_layer():
    layer = create_attention_layer("multi_head", name="mine", embed_dim=16, dtype="float16", trainable=False)
    assert (layer.name, layer.compute_dtype, layer.trainable) == ("mine", "float16", False)


def test_from_config_leaves_the_dictionary_alone():
    config = {"type": "group_query", "d_model": 16, "n_head": 4, "n_kv_head": 2, "name": "gqa_block_1"}
    before = json.dumps(config)
    layer = create_attention_from_config(config)
    assert json.dumps(config) == before
    assert (layer.name, layer.n_kv_head) == ("gqa_block_1", 2)


@pytest.mark.parametrize("config", [None, "multi_head", [("type", "multi_head")]])
def test_a_config_must_be_a_dictionary(config):
    with pytest.raises(ValueError, match="Config must be a dictionary"):
        create_attention_from_config(config)


def test_a_config_must_have_a_type():
    with pytest.raises(ValueError, match="must include a 'type' key, got the keys \\['dim'\\]"):
        create_attention_from_config({"dim": 8})


def test_a_member_of_the_enum_is_its_name(caplog):
    """In logs and messages, too."""
    with caplog.at_level(logging.INFO, "maskkit"):
        assert create_attention_layer(AttentionType.FNET).name.startswith("f_net")
        create_attention_layer(attention_type=AttentionType("attention.fnet"))
    assert all(text.startswith("Creating 'fnet' layer with parameters: ") for text in caplog.messages)
    with pytest.raises(ValueError, match="Failed to create 'group_query' layer"):
        create_attention_layer(AttentionType.GROUP_QUERY, d_model=16)


def test_attention_type_may_be_the_type_or_a_parameter():
    """With a type in the first place, the keyword belongs to the layer."""
    assert create_attention_layer(attention_type="fnet").name.startswith("f_net")
    block = create_attention_layer("attention_block", dim=16, num_heads=4, attention_type="window_attention")
    assert block.config.name == "attention_block"
    validate_attention_config("attention_block", dim=16, num_heads=4, attention_type="window")
    again = create_attention_from_config({"type": "attention_block", "dim": 8, "attention_type": "window"})
    assert again.config.name == "attention_block"
    with pytest.raises(TypeError, match="missing the attention type"):
        create_attention_layer(dim=8)


ERRORS = [
    ("group_query", dict(d_model=512, n_head=8), "Required parameters for 'group_query' are missing: ['n_kv_head']"),
    ("multi_head", dict(embed_dim=256, num_heads=-8), "Parameter 'num_heads' must be positive, got -8"),
    (
        "multi_head",
        dict(embed_dim=256, dropout_rate=1.5),
        "Parameter 'dropout_rate' must be between 0.0 and 1.0, got 1.5",
    ),
    ("multi_head", dict(embed_dim=10, num_heads=4), "Parameter 'embed_dim' must be divisible by num_heads=4, got 10"),
    (
        "multi_head",
        dict(embed_dim=256, num_head=4),
        "unknown parameter 'num_head'; did you mean 'num_heads' or 'n_head'?",
    ),
    ("multi_head", dict(embed_dim=True), "Parameter 'embed_dim' must be an integer, got True"),
    ("group_query", dict(d_model=8, n_head=2, n_kv_head=0), "Parameter 'n_kv_head' must be positive, got 0"),
    ("group_query", dict(d_model=8, n_head=2, n_kv_head=2, max_seq_len=0), "Parameter 'max_seq_len' must be positive"),
    ("fnet", dict(implementation="dft"), "Parameter 'implementation' must be one of 'matrix', 'fft', got 'dft'"),
    ("vanilla_attention", dict(dim=512), "Unknown attention type 'vanilla_attention'"),
]


@pytest.mark.parametrize(("name", "params", "text"), ERRORS, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("function", [validate_attention_config, create_attention_layer])
def test_errors_say_what_is_wrong(function, name, params, text):
    """Validation and creation contain the same words, in a ValueError."""
    with pytest.raises(ValueError) as error:  # noqa: PT011
        function(name, **params)
    assert text in str(error.value)


def test_an_unknown_type_lists_what_there_is():
    with pytest.raises(LookupError) as error:
        create_attention_layer("multihead")
    assert "Failed to create layer. Unknown type 'multihead'. Error: " in str(error.value)
    assert "did you mean 'multi_head'" in str(error.value)
    assert f"Available types: {ALL}" in str(error.value)


def test_a_failed_layer_says_what_it_was_given(caplog):
    """The error wraps the original one, and is logged once."""
    with caplog.at_level(logging.DEBUG, "maskkit"), pytest.raises(ValueError, match="Failed to create") as error:
        create_attention_layer("group_query", d_model=16, n_head=4)
    expected = (
        "Failed to create 'group_query' layer (GroupedQueryAttention). Required: ['d_model', 'n_head', 'n_kv_head']. "
        "Provided: ['d_model', 'n_head']. Please check parameter compatibility. Original error: "
        "Required parameters for 'group_query' are missing: ['n_kv_head']"
    )
    assert str(error.value) == expected
    assert isinstance(error.value.__cause__, ValueError)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [expected]


def test_a_keras_option_that_keras_refuses_is_a_value_error():
    with pytest.raises(ValueError, match=r"Failed to create 'fnet' layer \(FNetFourierTransform\)"):
        create_attention_layer("fnet", dtype="float31")


def test_creation_is_logged_with_all_parameters(caplog):
    """The caller's first, then the name, then the defaults."""
    with caplog.at_level(logging.INFO, "maskkit"):
        create_attention_layer("group_query", name="gqa", n_head=4, d_model=16, n_kv_head=2)
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert record.getMessage().startswith(
        "Creating 'group_query' layer with parameters: "
        "{'n_head': 4, 'd_model': 16, 'n_kv_head': 2, 'name': 'gqa', 'max_seq_len': 2048, 'dropout_rate': 0.0,"
    )


def test_validation_builds_nothing_and_logs_at_debug(caplog):
    with caplog.at_level(logging.DEBUG, "maskkit.attention"):
        assert validate_attention_config("multi_head", embed_dim=16, name="x") is None
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


@pytest.mark.parametrize("name", ALL)
def test_info_tells_what_a_type_takes(name):
    info = get_attention_info()[name]
    assert info["description"]
    assert info["use_case"]
    assert issubclass(info["class"], keras.layers.Layer)
    assert list(info) == ["description", "required_params", "optional_params", "use_case", "class"]
    fields = {p.name: p for p in maskkit.info(name, "attention").parameters}
    assert info["required_params"] == [p for p in fields if fields[p].required]
    assert list(info["optional_params"]) == [p for p in fields if not fields[p].required]


def test_info_is_the_callers_own():
    get_attention_info()["multi_head"]["optional_params"]["num_heads"] = 99
    assert get_attention_info()["multi_head"]["optional_params"]["num_heads"] == 8


@pytest.mark.parametrize("name", ALL)
def test_direct_construction_has_the_defaults_of_the_registry(name):
    sample = maskkit.info(name, "attention").example
    built, direct = (
        create_attention_layer(name, name="x", **sample),
        get_attention_info()[name]["class"](name="x", **sample),
    )
    assert built.get_config() == direct.get_config()

"""What layers call alike goes by every common name."""

import pytest
import maskkit
from maskkit import ConfigError
from maskkit_keras.config import common_spellings


@pytest.mark.parametrize(
    ("names", "spellings"),
    [
        ({"embed_dim", "num_heads"}, {"dim": "embed_dim", "d_model": "embed_dim", "n_head": "num_heads"}),
        ({"dropout"}, dict.fromkeys(("dropout_rate", "attention_dropout", "attn_dropout_rate"), "dropout")),
        (
            {"dropout", "attention_dropout"},
            {"dropout_rate": "dropout", "attn_dropout_rate": "attention_dropout"},
        ),
        ({"attn_dropout_rate", "proj_dropout_rate"}, {"attention_dropout": "attn_dropout_rate"}),
        ({"channels", "key_dim"}, {}),
    ],
)
def test_spellings_follow_from_the_names_of_the_fields(names, spellings):
    assert common_spellings(names) == spellings


def test_one_table_serves_all_layers_of_a_width():
    shared = dict(dim=8, num_heads=2, dropout=0.1)
    assert maskkit.config("multi_head", **shared).embed_dim == 8
    assert maskkit.config("group_query", **shared, n_kv_head=1).dropout_rate == 0.1
    assert maskkit.create("anchor", embed_dim=8, n_head=2, dropout_rate=0.1).get_config()["dropout"] == 0.1


def test_what_a_file_holds_is_the_own_name():
    assert maskkit.to_dict(maskkit.config("multi_head", d_model=8))["embed_dim"] == 8


def test_show_names_the_spellings():
    found = {parameter.name: parameter.help for parameter in maskkit.info("multi_head").parameters}
    assert found["embed_dim"].endswith("Also dim, d_model.")


def test_two_spellings_of_one_parameter_are_refused():
    with pytest.raises(ConfigError, match="'dim' and 'd_model' are the same parameter; give one of them"):
        maskkit.create("multi_head", dim=8, d_model=8)

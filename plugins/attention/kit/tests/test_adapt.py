"""One transformer block for all layers: their parameters under one set of names."""

import numpy as np
import pytest
from maskkit import create_attention_layer
from maskkit_keras import adapt_params


@pytest.mark.parametrize("name", ["adaptive_multi_head", "capsule_routing", "differential", "fnet", "group_query"])
@pytest.mark.parametrize("heads", [2, 4])
def test_adapted_parameters_build_one_block_for_all_token_layers(name, heads):
    params = adapt_params(name, dim=16, num_heads=heads, dropout=0.1)
    layer = create_attention_layer(name, **params)
    assert layer(np.ones((2, 5, 16), "float32")).shape == (2, 5, 16)


def test_adapted_parameters_have_the_layers_names():
    assert adapt_params("multi_head", dim=16, num_heads=4, dropout=0.1) == {
        "embed_dim": 16,
        "num_heads": 4,
        "dropout_rate": 0.1,
    }
    assert adapt_params("group_query", dim=16, num_heads=4, n_kv_head=2) == {
        "d_model": 16,
        "n_head": 4,
        "dropout_rate": 0.0,
        "n_kv_head": 2,
    }
    assert adapt_params("hopfield", dim=16, num_heads=4)["key_dim"] == 4
    assert adapt_params("fnet", dim=16) == {}

"""Every installed attention layer keeps the contract."""

import pytest
from maskkit_keras.testing.contract import CHECKS, check_config, run
from maskkit.registry.loader import registry

LAYERS = [full_name.partition(".")[2] for full_name in registry.full_names("attention")]


@pytest.mark.parametrize("name", LAYERS)
def test_config(name):
    check_config(registry.find(name, "attention"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, check):
    run(check, registry.find(name, "attention"))

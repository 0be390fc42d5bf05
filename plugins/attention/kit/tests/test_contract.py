"""Every installed attention layer keeps the contract."""

import pytest
import maskkit
from maskkit_keras.testing import CHECKS, check_config, run

LAYERS = maskkit.names("attention")


@pytest.mark.parametrize("name", LAYERS)
def test_config(name):
    check_config(maskkit.find(name, "attention"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, check):
    run(check, maskkit.find(name, "attention"))

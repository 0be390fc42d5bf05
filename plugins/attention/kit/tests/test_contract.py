"""Every installed attention layer keeps the contract."""

import os
import subprocess
import sys

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


def test_numbers_come_without_a_warning():
    """Of Keras', which Torch's arrays make NumPy give; and the kit chooses a backend of Keras that is installed."""
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from maskkit_keras.testing import CHECKS, run; import maskkit\n"
        "for check in CHECKS: run(check, maskkit.find('fnet', 'attention'))"
    )
    env = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)

"""The front door is light: it names everything, and loads Keras for what needs it."""

import subprocess
import sys

import maskkit_keras


def test_configs_need_no_keras():
    code = (
        "import sys, maskkit_keras as k; k.TrainableAttention, k.initializer, k.regularizer, k.keras_config; "
        "print({'keras', 'torch', 'jax'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_every_name_is_there():
    assert all(getattr(maskkit_keras, name) is not None for name in maskkit_keras.__all__)
    assert set(maskkit_keras.__all__) == set(dir(maskkit_keras))

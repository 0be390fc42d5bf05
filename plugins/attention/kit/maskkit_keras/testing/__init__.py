# ruff: noqa: E402 - Keras asks for its backend when it is imported
"""The conformance kit of attention layers, and golden vectors; for tests.

from maskkit_keras.testing import check_attention

def test_contract():
    check_attention(MyConfig)
"""

from maskkit.testing import choose_keras_backend

choose_keras_backend()

from maskkit_keras.testing.calls import call as call
from maskkit_keras.testing.calls import compiled as compiled
from maskkit_keras.testing.calls import differentiate as differentiate
from maskkit_keras.testing.calls import gradients as gradients
from maskkit_keras.testing.contract import CHECKS as CHECKS
from maskkit_keras.testing.contract import check_attention as check_attention
from maskkit_keras.testing.contract import check_config as check_config
from maskkit_keras.testing.contract import run as run
from maskkit_keras.testing.golden import Case as Case
from maskkit_keras.testing.golden import float64 as float64
from maskkit_keras.testing.golden import golden as golden
from maskkit_keras.testing.golden import head_kernel as head_kernel
from maskkit_keras.testing.golden import output_kernel as output_kernel
from maskkit_keras.testing.golden import stacked_bias as stacked_bias
from maskkit_keras.testing.golden import stacked_kernel as stacked_kernel
from maskkit_keras.testing.probe import Probe as Probe
from maskkit_keras.testing.probe import ways as ways

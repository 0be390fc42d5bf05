"""Which library an array is of, its functions, and its values on the host."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from keras import ops
from maskkit import host
from maskkit.arrays.libraries import namespace


@pytest.mark.parametrize(
    ("value", "module"),
    [
        (np.zeros(1), "numpy"),
        (torch.zeros(1), "torch"),
        (jnp.zeros(1), "jax.numpy"),
    ],
)
def test_an_array_has_the_functions_of_its_library(value, module):
    assert namespace(value).__name__ == module
    assert namespace(value).argmax(value, axis=0) == 0


def test_arrays_of_unknown_libraries_have_those_of_keras():
    class Tensor:
        """What TensorFlow's looks like from here."""

    assert namespace(Tensor()) is ops


def test_bfloat16_is_read_as_float32():
    """NumPy has no such dtype."""
    tensor = torch.tensor([0.1, 3.0], dtype=torch.bfloat16, requires_grad=True)
    assert host(tensor).dtype == np.float32
    assert host(tensor).tolist() == tensor.tolist()

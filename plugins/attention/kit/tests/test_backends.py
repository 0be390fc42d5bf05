"""A layer's weights mean the same on every backend."""

import numpy as np
import pytest
from maskkit_keras.testing.backends import other_backends, outputs_here, outputs_on


@pytest.fixture(scope="module")
def here():
    return outputs_here()


@pytest.mark.skipif(not other_backends(), reason="only one backend is installed")
def test_all_layers_give_the_same_on_every_backend(here):
    """For fixed weights and inputs, with and without a mask of keys."""
    for backend in other_backends():
        there = outputs_on(backend)
        assert there.keys() == here.keys()
        for name, expected in here.items():
            scale = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(there[name], expected, rtol=0, atol=3e-5 * scale, err_msg=f"{name} on {backend}")

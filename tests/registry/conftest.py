"""A place for distributions of strangers."""

import pytest
from foreign import Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)

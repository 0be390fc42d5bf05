"""What errors say."""

import pytest
import maskkit


def message_of(call, *args, error=maskkit.ConfigError, **kwargs):
    """The text of the error that a call must raise."""
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    return str(caught.value)

"""maskkit: masks as values, and a registry of masks, attention layers and JEPA masking strategies.

Every name is imported when it is first used: `import maskkit` costs next to nothing. `__init__.pyi` lists them.
"""

import logging
from typing import Any

import lazy_loader
from maskkit.masks import exports

__version__ = "0.1.0"

logging.getLogger("maskkit").addHandler(logging.NullHandler())


def _attention(*args: Any, **kwargs: Any) -> Any:
    from maskkit.kernels.attend import attend_if_any

    return attend_if_any(*args, **kwargs)


def _write(*args: Any) -> None:
    from maskkit.configs.saving import write

    write(*args)


exports.attention, exports.write = _attention, _write

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

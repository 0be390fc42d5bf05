"""maskkit: masks as values, and a registry of masks, attention layers and JEPA masking strategies.

Every name is imported when it is first used: `import maskkit` costs next to nothing. `__init__.pyi` lists them.
"""

import logging

import lazy_loader

__version__ = "0.1.0"

logging.getLogger("maskkit").addHandler(logging.NullHandler())

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""What JEPA masking strategies share: samplers, grids, blocks, batches of masks, pictures, loaders, tests.

Every name is imported when it is first used: `import maskkit_jepa` loads no Torch. `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""What attention layers on Keras share: kernels, masks on their way, dropout, serialization, tests.

Every name is imported when it is first used: `import maskkit_keras` loads no Keras. `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

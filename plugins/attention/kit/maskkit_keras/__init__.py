"""maskkit_keras: what attention layers on Keras 3 share, ours and third parties'.

Every name is imported when it is first used: `import maskkit_keras` loads no Keras. `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Real bugs of attention masks, rebuilt small: `maskkit audit maskkit_audit.museum:packed_documents`.

Each exhibit is a function that gives what `maskkit_audit.audit` takes, of a model with the bug, or with
`mended=True` of the one without. Each was met in public; the code here is our own, and no more than shows the fault.
"""

from maskkit_audit.museum._exhibit import EXHIBITS as EXHIBITS
from maskkit_audit.museum._exhibit import Exhibit as Exhibit
from maskkit_audit.museum.caches import *  # noqa: F403
from maskkit_audit.museum.paddings import *  # noqa: F403
from maskkit_audit.museum.polarities import *  # noqa: F403
from maskkit_audit.museum.windows import *  # noqa: F403

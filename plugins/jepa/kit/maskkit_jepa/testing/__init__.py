"""The conformance kit of strategies, and their laws as plain loops."""

from maskkit_jepa.batch.batch import batches as batches
from maskkit_jepa.testing.contract import check_promises as check_promises
from maskkit_jepa.testing.contract import check_sampler as check_sampler
from maskkit_jepa.testing.contract import check_strategy as check_strategy
from maskkit_jepa.testing.contract import same as same
from maskkit_jepa.testing.contract import wilson_hilferty as wilson_hilferty

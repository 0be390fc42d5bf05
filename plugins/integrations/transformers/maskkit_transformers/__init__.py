"""Transformers: masks as values in the models of Hugging Face, at the cost of what they allow.

import maskkit_transformers                     # makes attn_implementation="maskkit" known

model = AutoModel.from_pretrained(name, attn_implementation="maskkit")          # the model's own masks
model = maskkit_transformers.use_mask(model, "sink(window_size=256)")           # and a mask of yours
"""

from maskkit_transformers.implementation import register
from maskkit_transformers.use import use_mask as use_mask

register()

"""The Keras half: the pieces that attention layers share, ours and third parties'. Importing it imports Keras."""

from maskkit.keras.attend import attend as attend
from maskkit.keras.attend import masked_softmax as masked_softmax
from maskkit.keras.kernels import by_fans as by_fans
from maskkit.keras.kernels import fresh as fresh
from maskkit.keras.kernels import mean as mean
from maskkit.keras.kernels import merge_heads as merge_heads
from maskkit.keras.kernels import project as project
from maskkit.keras.kernels import rms_norm as rms_norm
from maskkit.keras.kernels import split_heads as split_heads
from maskkit.keras.kernels import widen as widen
from maskkit.keras.layer import AttentionLayer as AttentionLayer
from maskkit.keras.layer import BatchNormalization as BatchNormalization
from maskkit.keras.layer import Dropout as Dropout
from maskkit.keras.layer import LayerNormalization as LayerNormalization
from maskkit.keras.layer import custom_objects as custom_objects
from maskkit.keras.layer import dropping as dropping
from maskkit.keras.masks import Allowed as Allowed
from maskkit.keras.masks import allowed_pairs as allowed_pairs
from maskkit.keras.masks import allowed_pixels as allowed_pixels
from maskkit.keras.masks import boolean as boolean
from maskkit.keras.masks import by_rank as by_rank
from maskkit.keras.masks import causal_mask as causal_mask
from maskkit.keras.masks import pixel_mask as pixel_mask
from maskkit.keras.masks import token_mask as token_mask

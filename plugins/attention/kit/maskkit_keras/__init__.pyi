# isort: skip_file
# The front door, by theme; `__init__.py` reads this file.

# Write the config of a layer: without Keras.
from .config import TrainableAttention as TrainableAttention
from .config import initializer as initializer
from .config import keras_config as keras_config
from .config import regularizer as regularizer

# Write the layer.
from .layer import AttentionLayer as AttentionLayer
from .layer import BatchNormalization as BatchNormalization
from .layer import Dropout as Dropout
from .layer import LayerNormalization as LayerNormalization

# Read masks from all sides.
from .masks import Allowed as Allowed
from .masks import allowed_pairs as allowed_pairs
from .masks import allowed_pixels as allowed_pixels
from .masks import boolean as boolean
from .masks import carried_mask as carried_mask
from .masks import causal_mask as causal_mask
from .masks import is_of_pixels as is_of_pixels
from .masks import pixel_mask as pixel_mask
from .masks import scores_mask as scores_mask
from .masks import token_mask as token_mask
from .values import MaskValue as MaskValue

# Attend.
from .attention import attend as attend
from .attention import masked_softmax as masked_softmax
from .attention import pair_scores as pair_scores

# Kernels, and products with them.
from .kernels import by_fans as by_fans
from .kernels import fresh as fresh
from .kernels import mean as mean
from .kernels import merge_heads as merge_heads
from .kernels import project as project
from .kernels import rms_norm as rms_norm
from .kernels import split as split
from .kernels import split_heads as split_heads
from .kernels import widen as widen

# Build models in which masks flow.
from .layer import custom_objects as custom_objects
from .adapt import adapt_params as adapt_params
from .masked_attention import MaskedAttention as MaskedAttention
from .sequences import pad_sequences as pad_sequences
from .tokens import MaskedEmbedding as MaskedEmbedding
from .tokens import TokenMasking as TokenMasking
from .trace import MaskTrace as MaskTrace
from .trace import trace_masks as trace_masks

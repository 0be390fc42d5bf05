"""Hugging Face transformers: the masks of a strategy as the arguments of its vision models.

| models | argument | from |
|---|---|---|
| ViT, BEiT, Data2VecVision, DINOv2, I-JEPA, Swin, ... | `bool_masked_pos` | `bool_masked_pos(masks)` |
| VideoMAE | `bool_masked_pos` | `bool_masked_pos(masks, count="min")` |
| ViTMAE | `noise` | `vit_mae_noise(masks, model.config.mask_ratio)` |
| V-JEPA 2 | `context_mask`, `target_mask` | `**vjepa2_masks(masks)` |

All take a `MaskBatch` on the model's own grid of tokens, and give Torch tensors on the masks' device.
transformers itself is not imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import evolve
from maskkit.errors import ConfigError
from maskkit_jepa.loading.torch import index_lists, one_batch


def bool_masked_pos(masks: Any, count: str | int = "max", trim: str = "random") -> Any:
    """(B, N) booleans, True where the model is not to see: everything outside the context.

    Args:
        masks: a `MaskBatch`.
        count: of tokens seen, as in `MaskBatch.to_indices`: "max" takes the contexts as they are. VideoMAE cuts its
            tokens by this mask and needs equal counts: "min", "exact", or a number.
        trim: which tokens are given up where there are too many, likewise.

    Raises:
        ConfigError: a context has fewer tokens than the number asked for, or there are several groups of masks.
    """
    masks = one_batch(masks)
    context, _ = masks.arrays
    if count != "max":
        ([index], _) = index_lists(masks.numpy(), count, "min", trim)
        context = np.zeros_like(context)
        np.put_along_axis(context, index, True, axis=1)
    return masks.torch(masks.device).given(~context)


def vit_mae_noise(masks: Any, mask_ratio: float, trim: str = "random") -> Any:
    """(B, N) floats which make ViTMAE keep the tokens of the context, in order, and drop all others.

    Args:
        masks: a `MaskBatch`.
        mask_ratio: that of the model's config. It fixes how many tokens are seen, `int(N * (1 - mask_ratio))`;
            contexts with more are trimmed to that.
        trim: which tokens are given up, as in `MaskBatch.to_indices`.

    Raises:
        ConfigError: a context has fewer tokens than the model keeps, or there are several groups of masks.
    """
    masks = one_batch(masks)
    tokens = masks.shape[-1]
    kept = int(tokens * (1 - mask_ratio))
    fewest = int(masks.arrays[0].sum(axis=1).min())
    if fewest < kept:
        raise ConfigError(
            f"mask_ratio={mask_ratio} keeps {kept} of {tokens} tokens, but a context has only {fewest}; "
            f"the model's mask_ratio must be at least {1 - fewest / tokens:.3f}"
        )
    # The place of each token among the kept, then the others: to sort by it is to undo `restore`.
    return masks.torch(masks.device).to_indices(kept, "max", trim).restore.float()


def vjepa2_masks(
    masks: Any, count: str | int = "min", target_count: str | int | None = None, trim: str = "random"
) -> dict[str, list[Any]]:
    """`context_mask` and `target_mask` of `VJEPA2Model`: a list each, of one tensor of token numbers (B, K).

    The targets of a sample are predicted together, as in V-JEPA: their union is the target. Call the model once for
    each group of masks (short and long range).

    Args:
        masks: a `MaskBatch`.
        count: of context tokens, as in `maskkit_jepa.index_lists`; there is no padding.
        target_count: of target tokens.
        trim: which tokens are given up where there are too many.

    Raises:
        ConfigError: some sample has fewer tokens than asked for, or there are several groups of masks.
    """
    masks = one_batch(masks).torch(masks.device)
    union = masks.arrays[1].any(axis=1, keepdims=True)
    context, target = index_lists(evolve(masks, targets=union, boxes=None), count, target_count, trim)
    return {"context_mask": context, "target_mask": target}

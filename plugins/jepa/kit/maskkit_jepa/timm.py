"""timm: let a vision transformer encode the context alone, through the place where it drops patches.

    from maskkit_jepa.timm import KeepTokens, encode_context

    vit = timm.create_model("vit_base_patch16_224")
    vit.patch_drop = KeepTokens()
    tokens, index = encode_context(vit, images, strategy.at(step, len(images)))

timm itself is not imported: any model that calls `patch_drop` on its tokens, prefix first, will do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from maskkit.errors import ConfigError
from maskkit_jepa.batch.indices import Indices
from maskkit_jepa.loading.torch import one_batch


class KeepTokens(torch.nn.Module):  # type: ignore[misc]
    """Goes into `patch_drop`: inside `with keep.only(index)` those tokens go on, elsewhere all do.

    Args:
        num_prefix_tokens: with `with_indices`, the CLS and register tokens before the grid.
        with_indices: give `(tokens, patch numbers or None)`, as `timm.models.Eva` (DINOv3 among them) wants it, not the
            tokens alone, as `VisionTransformer` does.
    """

    def __init__(self, num_prefix_tokens: int = 0, with_indices: bool = False) -> None:
        super().__init__()
        self.num_prefix_tokens = num_prefix_tokens
        self.with_indices = with_indices
        self.index: torch.Tensor | None = None

    @contextmanager
    def only(self, index: torch.Tensor) -> Iterator[None]:
        """Keep the tokens with these numbers (B, K), prefix tokens among them.

        If some are padding, the model must be told (`attn_mask`); `encode_context` does.
        """
        self.index = index
        try:
            yield
        finally:
            self.index = None

    def forward(self, tokens: torch.Tensor) -> Any:
        """(B, prefix + N, C) to (B, K, C)."""
        if self.index is None:
            return (tokens, None) if self.with_indices else tokens
        index = self.index.to(tokens.device)
        if len(index) != len(tokens):
            raise ConfigError(f"there are masks of {len(index)} samples for a batch of {len(tokens)}")
        kept = tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))
        return (kept, index[:, self.num_prefix_tokens :] - self.num_prefix_tokens) if self.with_indices else kept


def encode_context(
    model: Any, images: torch.Tensor, masks: Any, count: str | int = "max", trim: str = "random"
) -> tuple[torch.Tensor, Indices]:
    """What the model makes of the tokens of the context alone, the tokens of the targets being dropped.

    Args:
        model: a timm `VisionTransformer` or `Eva` with `KeepTokens` as its `patch_drop`.
        images: (B, C, H, W).
        masks: a `MaskBatch` of these B samples on the model's grid of patches.
        count: of context tokens, as in `MaskBatch.to_indices`. Padding is blocked as keys (timm 1.0.20 or newer).
        trim: which tokens are given up where there are too many, likewise.

    Returns:
        `forward_features`' tokens (B, prefix + K, C), and the indices: `index.context_valid` says which tokens are no
        padding, `index.targets` which are to be predicted, both counting from the first prefix token.

    Raises:
        ConfigError: `patch_drop` is something else, or the masks are of another grid or batch.
    """
    keep = model.patch_drop
    if not isinstance(keep, KeepTokens):
        raise ConfigError(
            f"patch_drop of this model is {type(keep).__name__}; first write: "
            "model.patch_drop = maskkit_jepa.timm.KeepTokens()"
        )
    masks = one_batch(masks)
    patches = model.patch_embed.num_patches
    if masks.shape[-1] != patches:
        raise ConfigError(f"the model has {patches} patches, the masks' grid {masks.grid} has {masks.shape[-1]}")
    prefix = model.num_prefix_tokens
    index = masks.torch(images.device).to_indices(count, trim=trim, num_prefix_tokens=prefix)
    padded = {} if index.context_valid.all() else {"attn_mask": index.context_valid[:, None, None, :]}
    with keep.only(index.context):
        return model.forward_features(images, **padded), index

"""Figures of masks: how much they cover, and where they overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from maskkit.arrays import fetched
from maskkit_jepa.randomness import Array


def mask_statistics(context: Any, targets: Any) -> dict[str, float]:
    """Shares of the tokens, over the samples of a batch.

    Args:
        context: (B, N) booleans of any library.
        targets: (B, T, N) booleans.

    Returns:
        `context_coverage_mean`, `_std`, `_min`, `_max`: the share of tokens in the context, over samples.
        `target_coverage_mean`, `_std`, `_min`, `_max`: the share of tokens in a target, over samples and targets.
        `union_coverage_mean`: the share of tokens in any target of a sample.
        `overlap_mean`, `overlap_max`: the share of a target that is in the context too, over targets not empty.
        `target_overlap_mean`, `_max`: the share of a sample's tokens that are in more than one target.

        Deviations are those of a sample (divided by the count less one), and 0.0 for a single value.
    """
    context, targets = (fetched(part).astype(np.bool_, copy=False) for part in (context, targets))
    share = context.mean(axis=1)
    shares = targets.mean(axis=2).ravel()
    sizes = targets.sum(axis=2)
    shared = (targets & context[:, None]).sum(axis=2)[sizes > 0] / sizes[sizes > 0]
    hits = targets.sum(axis=1)
    crowded = (hits > 1).mean(axis=1)
    return {
        **_spread("context_coverage", share),
        **_spread("target_coverage", shares),
        "union_coverage_mean": float((hits > 0).mean()),
        "overlap_mean": float(shared.mean()) if shared.size else 0.0,
        "overlap_max": float(shared.max(initial=0.0)),
        "target_overlap_mean": float(crowded.mean()),
        "target_overlap_max": float(crowded.max(initial=0.0)),
    }


def _spread(name: str, values: Array) -> dict[str, float]:
    return {
        f"{name}_mean": float(values.mean()),
        f"{name}_std": float(values.std(ddof=1)) if values.size > 1 else 0.0,
        f"{name}_min": float(values.min()),
        f"{name}_max": float(values.max()),
    }

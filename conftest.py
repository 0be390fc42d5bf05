"""Settings that every test shares."""

import os
from importlib import metadata

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


def version(package: str) -> str:
    """Which version is installed; empty if none is."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


if "+cpu" in version("torch") and version("torchvision") and "+cpu" not in version("torchvision"):
    # timm and transformers import torchvision. PyPI's is built for Torch with CUDA: beside Torch's CPU build it has no
    # operators, and cannot be imported until the two that it looks for are declared. No test calls them.
    import torch

    torchvision_operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        torchvision_operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

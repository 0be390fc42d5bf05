"""What our distributions offer, installed or not; written by requirements/write.py."""

PUBLISHED = {
    "attention": (
        "maskkit-attention-",
        "layers",
        """
        adaptive_multi_head anchor attention_block capsule_routing cbam channel differential fnet group_query
        hopfield mobile_mqa multi_head non_local perceiver reflect shared_weights_cross spatial window
        """,
    ),
    "backend": (
        "maskkit-",
        "exports",
        """
        bias bitmask fa4 flashmask hstu magi runs splash xformers
        """,
    ),
    "command": (
        "maskkit-",
        "tools",
        """
        audit explore new
        """,
    ),
    "kernel": (
        "maskkit-kernel-",
        "kernels",
        """
        area blockwise context_parallel dense flex varlen
        """,
    ),
    "mask": (
        "maskkit-mask-",
        "masks",
        """
        axial banded bigbird block_causal block_diagonal block_diffusion causal chunked dilated document fixed
        global_local instance_separation key_padding longformer neighborhood padding prefix_lm prefix_tree
        query_interaction query_padding random sink sliding_window spatial strided tree valid_query window
        """,
    ),
    "strategy": (
        "maskkit-jepa-",
        "strategies",
        """
        beit_block curriculum dinov2_block hierarchical ijepa inverse_block mlm multi_block multimodal
        random_patch score_guided simmim tube vjepa
        """,
    ),
}
"""By the prefix of entry points: how names of distributions begin, the extra that brings all, and what they offer."""

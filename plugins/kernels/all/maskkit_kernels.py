"""All kernels of maskkit, for attention at the cost of what a mask allows."""

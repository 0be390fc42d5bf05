"""All masks of maskkit."""

"""All attention layers of maskkit, on Keras."""

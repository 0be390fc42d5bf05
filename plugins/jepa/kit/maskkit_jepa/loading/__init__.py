"""Masks beside the data: for loaders of Torch and of Keras."""

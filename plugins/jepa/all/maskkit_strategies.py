"""All JEPA and masked-image strategies of maskkit, on Torch."""

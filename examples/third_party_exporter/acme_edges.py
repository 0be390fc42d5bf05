"""Edges: a mask as the edges of a graph from keys to queries."""

import numpy as np
from maskkit import ConfigError, Mask, from_array, hookimpl


class Edges:
    """Two rows of integers, as graph libraries take them: the key that an edge leaves, and the query that it enters."""

    name = "edges"

    def export(self, mask: Mask) -> np.ndarray:
        """int64 (2, edges), ordered by query, then by key; of one mask of queries and keys."""
        if len(mask.axes) != 2:
            raise ConfigError(f"edges are of one mask, got the axes {mask.axes}; take one out, such as mask[0]")
        queries, keys = np.nonzero(mask.allowed(dtype="bool"))
        return np.stack([keys, queries])

    def read(self, value: np.ndarray, q_len: int, k_len: int) -> Mask:
        """The mask that has these edges."""
        keys, queries = np.asarray(value)
        if ((keys < 0) | (keys >= k_len) | (queries < 0) | (queries >= q_len)).any():
            raise ConfigError(f"edges must lead from 0..{k_len - 1} to 0..{q_len - 1}; give the sizes of the mask")
        allowed = np.zeros((q_len, k_len), bool)
        allowed[queries, keys] = True
        return from_array(allowed, true="allowed")


@hookimpl
def maskkit_backends():
    return [Edges()]

"""Templates in the texts of a batch, however these lie in it, against positions counted by hand."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import masking_utils as theirs
import maskkit
from maskkit_transformers import implementation

FORMULAS = {
    "causal": lambda q, k: k <= q,
    "sink(window_size=2, num_sinks=1)": lambda q, k: (k <= q) & ((k < 1) | (k > q - 2)),
    "chunked(chunk_size=3)": lambda q, k: (k <= q) & (k // 3 == q // 3),
    "banded(band_width=3)": lambda q, k: abs(q - k) <= 1,
    "~block_diagonal(block_size=2)": lambda q, k: q // 2 != k // 2,
}


@st.composite
def batches(draw):
    """Which tokens are real, how many a cache has seen and has room for; or where texts begin, and at what position."""
    batch, tokens = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    ends = st.tuples(st.integers(0, tokens), st.integers(0, tokens // 3))  # padding before and behind
    rows = st.one_of(
        st.just([True] * tokens),
        st.lists(st.booleans(), min_size=tokens, max_size=tokens),
        ends.map(lambda pads: [pads[0] <= i < tokens - pads[1] for i in range(tokens)]),
    )
    flags = draw(st.lists(rows, min_size=batch, max_size=batch))
    packed = draw(st.booleans())
    seen = 0 if packed else draw(st.integers(0, tokens - 1))
    return torch.tensor(flags), packed, seen, draw(st.integers(0, 3))


def asked(flags, packed, seen, room):
    """The request, and of every token its text (-1 in none) and its position, and what the model itself allows."""
    batch, tokens = flags.shape
    function, real = theirs.causal_mask_function, None if flags.all() else flags
    index = torch.arange(tokens).expand(batch, -1)
    text, position = torch.where(flags, 0, -1), flags.cumsum(1) - 1
    if packed:
        starts = flags.clone()
        starts[:, 0] = True
        position = index - torch.where(starts, index, 0).cummax(1).values + room
        room = 0
        found, real = theirs.find_packed_sequence_indices(position), None
        text, position = (index * 0, index) if found is None else (found, position)
        if found is not None:
            function = theirs.packed_sequence_compatibility_function(function, position, found)
    sizes = dict(batch_size=batch, q_length=tokens - seen, kv_length=tokens + room, q_offset=seen, kv_offset=0)
    request = implementation.mask(**sizes, mask_function=function, attention_mask=real).request
    own = theirs.sdpa_mask(**sizes, mask_function=function, attention_mask=real, allow_is_causal_skip=False)[:, 0]
    text, position = (torch.nn.functional.pad(x, (0, room), value=-1) for x in (text, position))
    return request, text, position, own


@settings(max_examples=200, deadline=None)
@given(batches(), st.sampled_from(sorted(FORMULAS)), st.sampled_from(["combine", "replace"]))
def test_positions_are_those_of_the_text(batch, template, own_mask):
    request, text, position, own = asked(*batch)
    seen = batch[2]
    tokens = batch[0].shape[1]
    laid = maskkit.Template.of(template)
    found = request.mask(laid, own_mask, "full_attention")
    queries, keys = (x[:, seen:tokens, None] for x in (text, position)), (x[:, None] for x in (text, position))
    (query_text, query), (key_text, key) = queries, keys
    wanted = FORMULAS[template](query, key) & (query_text == key_text) & (query_text >= 0)
    if own_mask == "combine":
        wanted &= own
    wanted, rows = wanted.numpy(), (query_text[..., 0] >= 0).numpy()
    if found is None:
        assert wanted[rows].all()
        return
    allowed = np.broadcast_to(found.allowed(form="heads"), (wanted.shape[0], 1, *wanted.shape[1:]))[:, 0]
    assert np.array_equal(allowed[rows], wanted[rows])
    index = np.ix_(*map(np.arange, found.shape))
    assert np.array_equal(np.broadcast_to(found.allows(*index), found.shape), found.allowed())
    assert found.stats().allowed == found.allowed().sum()  # by its spans

"""How a map is cut into windows, what is allowed inside them, and where two pixels of a window stand to each other."""

from typing import Any, NamedTuple

from keras import ops


class Grid(NamedTuple):
    """A map, padded at the bottom and right, rolled by `shift` up and left, in windows row by row.

    Attributes:
        height: of the map.
        width: of the map.
        window: (height, width) of each window.
        shift: in pixels; an axis of one window is not rolled.
    """

    height: Any
    width: Any
    window: tuple[int, int]
    shift: int

    @property
    def counts(self):
        """Windows per column and per row."""
        return (self.height + self.window[0] - 1) // self.window[0], (self.width + self.window[1] - 1) // self.window[1]

    @property
    def padding(self):
        """Pixels added at the bottom and at the right."""
        (rows, columns), (height, width) = self.counts, self.window
        return rows * height - self.height, columns * width - self.width

    @property
    def shifts(self):
        """How far the map is rolled up and left."""
        return tuple(map(self._shift, self.counts))

    def _shift(self, count):
        if isinstance(count, int):
            return self.shift if count > 1 else 0
        return ops.where(ops.convert_to_tensor(count) > 1, self.shift, 0)  # known to the running graph alone

    @property
    def padded(self):
        """Whether pixels may have been added; for sizes that are not known yet, yes."""
        return not all(isinstance(size, int) and size == 0 for size in self.padding)

    def cut(self, x):
        """(B, H, W, C) -> (B * windows, N, C)."""
        if self.padded:
            x = _with_zeros(x, *self.padding)
        if self.shift:
            x = ops.roll(x, tuple(-shift for shift in self.shifts), axis=(1, 2))
        batch, (rows, columns), (height, width), channels = ops.shape(x)[0], self.counts, self.window, x.shape[-1]
        x = ops.reshape(x, (batch, rows, height, columns, width, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (batch * rows * columns, height * width, channels))

    def join(self, windows, batch):
        """(batch * windows, N, C) -> (batch, H, W, C): the way back."""
        (rows, columns), (height, width), channels = self.counts, self.window, windows.shape[-1]
        x = ops.reshape(windows, (batch, rows, columns, height, width, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        x = ops.reshape(x, (batch, rows * height, columns * width, channels))
        if self.shift:
            x = ops.roll(x, self.shifts, axis=(1, 2))
        return x[:, : self.height, : self.width]

    def allowed(self, keep, rows, mask_padding):
        """Booleans that broadcast to (B * windows, heads, N, N), or None for all.

        Args:
            keep: booleans (B or 1, H * W), or None for all.
            rows: B * windows.
            mask_padding: whether added pixels are blocked.
        """
        pairs = None
        if keep is not None or (self.padded and mask_padding):
            keep = ops.ones((1, self.height * self.width), "int32") if keep is None else ops.cast(keep, "int32")
            keep = ops.reshape(keep, (ops.shape(keep)[0], self.height, self.width, 1))
            # Padding is zeros: blocked among what is kept, kept among what is blocked.
            keys = self.cut(keep) > 0 if mask_padding else self.cut(1 - keep) == 0
            keys = keys[:, :, 0]
            pairs = by_row(keys, rows)[:, None, None, :]
        if self.shift:
            regions = self.regions()
            same = by_row(regions[:, :, None] == regions[:, None, :], rows)[:, None]
            pairs = same if pairs is None else ops.logical_and(pairs, same)
        return pairs

    def regions(self):
        """Numbers (windows, N); pixels of a window that were not neighbours before the roll have different ones."""
        zones = []
        for count, size, shift in zip(self.counts, self.window, self.shifts, strict=True):
            place = ops.arange(count * size, dtype="int32")
            inside, rolled = place >= (count - 1) * size, place >= count * size - shift
            zones.append(ops.cast(inside, "int32") + ops.cast(rolled, "int32"))
        regions = 3 * zones[0][:, None] + zones[1]
        return Grid(*ops.shape(regions), self.window, 0).cut(regions[None, :, :, None])[:, :, 0]


def _with_zeros(x, bottom, right):
    """As `ops.pad`, which torch.compile cannot trace."""
    batch, height, width, channels = ops.shape(x)
    x = ops.concatenate([x, ops.zeros((batch, bottom, width, channels), x.dtype)], axis=1)
    return ops.concatenate([x, ops.zeros((batch, height + bottom, right, channels), x.dtype)], axis=2)


def by_row(mask, rows):
    """Entry `b % len(mask)` of the mask for every row `b`."""
    entries = ops.shape(mask)[0]
    if isinstance(entries, int) and entries in (1, rows):
        return mask
    return ops.take(mask, ops.arange(rows, dtype="int32") % entries, axis=0)


def relative_positions(pixels, height, width):
    """For pixels i and j of a window the number (N, N) of their displacement i - j; all zeros is the middle number.

    Args:
        pixels: 0 to N - 1, in an array of any library; in a layer not NumPy's, which torch.compile could not trace.
        height: of the window.
        width: of the window.
    """
    rows, columns = pixels // width, pixels % width
    down = rows[:, None] - rows[None, :] + height - 1
    right = columns[:, None] - columns[None, :] + width - 1
    return down * (2 * width - 1) + right

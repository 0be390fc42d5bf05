"""What a strategy draws: context and targets of a batch, and the forms in which models take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from attrs import evolve, frozen
from maskkit import ConfigError
from maskkit import backend as find_backend
from maskkit_jepa.batch import indices, pictures, statistics
from maskkit_jepa.batch.drawn import Drawn, Packed
from maskkit_jepa.batch.indices import Indices
from maskkit_jepa.randomness import Array


@frozen(eq=False, kw_only=True, repr=False)
class MaskBatch(Drawn):
    """The masks of B samples on a grid of N tokens: what to encode, and T sets of tokens to predict. True = use.

    `context, targets = batch` unpacks it, and `batch["context"]`, `batch["targets"]` and the names of `extra` work too.

    Attributes, beside those of `Drawn`:
        backend: the library of `context`, `targets` and all views: "torch", "numpy", "jax", "keras".
        device: where that library puts them; None is its default.
    """

    backend: str = "torch"
    device: Any = None

    # -- the arrays -----------------------------------------------------------------------------------------------

    @cached_property
    def context(self) -> Any:
        """(B, N) booleans."""
        return self.given(self._context)

    @cached_property
    def targets(self) -> Any:
        """(B, T, N) booleans."""
        return self.given(self._targets)

    @property
    def union(self) -> Any:
        """(B, N) booleans: what is in any target."""
        return self.given(np.any(self._targets, axis=1))

    def given(self, array: Array) -> Any:
        """A NumPy array as an array of this batch's library, on its device."""
        library = find_backend(self.backend)
        try:
            return library.from_host(array, str(array.dtype), self.device)
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            raise ConfigError(
                f"device must be one that {self.backend} can use here, such as 'cpu', got {self.device!r} ({error})"
            ) from error

    def __iter__(self) -> Iterator[Any]:
        yield self.context
        yield self.targets

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise KeyError(f"{name!r}: this mask batch has {', '.join(self.keys())}")
        return self.given(self.extra[name]) if name in self.extra else getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def keys(self) -> tuple[str, ...]:
        """The names that `batch[name]` takes, so that `dict(batch)` works."""
        return ("context", "targets", *self.extra)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and arrays."""
        return ((name, self[name]) for name in self.keys())

    def __repr__(self) -> str:
        batch, targets, tokens = self.shape
        where = self.backend if self.device is None else f"{self.backend}, {self.device}"
        return f"{type(self).__name__}(context ({batch}, {tokens}), targets ({batch}, {targets}, {tokens}), {where})"

    # -- elsewhere ------------------------------------------------------------------------------------------------

    def rows(self, start: int, stop: int, copy: bool = True) -> MaskBatch:
        """The masks of some of the samples: copied, or the same memory."""

        def cut(array: Array) -> Any:
            return array[start:stop].copy() if copy else array[start:stop]

        return evolve(
            self,
            context=cut(self._context),
            targets=cut(self._targets),
            sample_keys=cut(self.sample_keys),
            boxes=None if self.boxes is None else cut(self.boxes),
            extra={name: cut(array) for name, array in self.extra.items()},
        )

    def on(self, backend: str, device: Any = None) -> MaskBatch:
        """The same masks in another library, and on a device of it."""
        return evolve(self, backend=backend, device=device)

    def to(self, device: Any) -> MaskBatch:
        """The same masks on another device of their library."""
        return evolve(self, device=device)

    def numpy(self) -> MaskBatch:
        """The same masks as NumPy arrays."""
        return self.on("numpy")

    def torch(self, device: Any = None) -> MaskBatch:
        """The same masks as Torch tensors."""
        return self.on("torch", device)

    def keras(self) -> MaskBatch:
        """The same masks as tensors of Keras' backend."""
        return self.on("keras")

    # -- views ----------------------------------------------------------------------------------------------------

    def to_indices(
        self,
        count: str | int = "max",
        target_count: str | int | None = None,
        trim: str = "random",
        num_prefix_tokens: int = 0,
        pad: int = 0,
    ) -> Indices:
        """The numbers of the tokens instead of booleans, for gathering: see `maskkit_jepa.batch.indices.to_indices`."""
        found = indices.to_indices(self, count, target_count, trim, num_prefix_tokens, pad)
        return Indices(*map(self.given, found))

    def packed(self) -> Packed:
        """A bit a token, an eighth of the bytes: to store or send masks."""
        context, targets = (self.given(np.packbits(part, axis=-1, bitorder="little")) for part in self.arrays)
        return Packed(context, targets, self.shape[-1])

    def stats(self) -> dict[str, float]:
        """Coverage and overlap: see `maskkit_jepa.batch.statistics.mask_statistics`."""
        return statistics.mask_statistics(*self.arrays)

    # -- pictures -------------------------------------------------------------------------------------------------

    def text(self, width: int = 80, sample: int = 0) -> str:
        """One sample for the terminal: `░` context, digits the targets, blank what is neither."""
        return pictures.text(self, width, sample)

    def svg(self, sample: int = 0) -> str:
        """One sample as an SVG document."""
        return pictures.svg(self, sample)

    def plot(self, ax: Any = None, sample: int = 0) -> Any:
        """One sample on matplotlib axes (new ones if None); returns them."""
        return pictures.plot(self, ax, sample)

    def figure(self, samples: int = 4) -> Any:
        """A matplotlib figure of the first few samples. It is not registered with pyplot: there is nothing to close."""
        return pictures.figure({f"sample {i}": (self, i) for i in range(min(samples, self.shape[0]))})

    def _repr_svg_(self) -> str:
        return self.svg()


class MaskGroups(dict[str, Any]):
    """Several mask batches of the same samples, by name: the levels of a hierarchy, the parts of a modality.

    A dict of `MaskBatch`es, with their methods applied to each.
    """

    def _each(self, make: Callable[[MaskBatch], Any]) -> MaskGroups:
        return MaskGroups({name: make(batch) for name, batch in self.items()})

    def rows(self, start: int, stop: int, copy: bool = True) -> MaskGroups:
        """The masks of some of the samples: copied, or the same memory."""
        return self._each(lambda batch: batch.rows(start, stop, copy))

    def on(self, backend: str, device: Any = None) -> MaskGroups:
        """The same masks in another library, and on a device of it."""
        return self._each(lambda batch: batch.on(backend, device))

    def to(self, device: Any) -> MaskGroups:
        """The same masks on another device of their library."""
        return self._each(lambda batch: batch.to(device))

    def numpy(self) -> MaskGroups:
        """The same masks as NumPy arrays."""
        return self.on("numpy")

    def stats(self) -> dict[str, dict[str, float]]:
        """The statistics of each, by name."""
        return {name: batch.stats() for name, batch in self.items()}

    def text(self, width: int = 80, sample: int = 0) -> str:
        """One sample for the terminal, a picture under each name."""
        return "\n".join(f"{name}\n{batch.text(width, sample)}" for name, batch in self.items())

    def svg(self, sample: int = 0) -> str:
        """One sample as an SVG document, the pictures side by side."""
        return pictures.svg_row({name: (batch, sample) for name, batch in self.items()})

    def plot(self, axes: Any = None, sample: int = 0) -> Any:
        """One sample on matplotlib axes, one for each name (new ones if None); returns them."""
        if axes is None:
            return pictures.figure({name: (batch, sample) for name, batch in self.items()}).axes
        for ax, (name, batch) in zip(axes, self.items(), strict=True):
            batch.plot(ax, sample).set_title(name)
        return axes

    def figure(self, samples: int = 1) -> Any:
        """A matplotlib figure of the first sample, the pictures side by side."""
        shown = {(name, i): batch for name, batch in self.items() for i in range(min(samples, batch.shape[0]))}
        titles = {key: key[0] if samples == 1 else f"{key[0]}, sample {key[1]}" for key in shown}
        return pictures.figure({titles[key]: (batch, key[1]) for key, batch in shown.items()})

    def _repr_svg_(self) -> str:
        return self.svg()


def batches(drawn: Any) -> Mapping[str, MaskBatch]:
    """The mask batches in what a sampler gives, by name; one that stands alone has the name ""."""
    return drawn if isinstance(drawn, dict) else {"": drawn}


def concatenate(parts: list[Any]) -> Any:
    """Batches (or groups of them) of one strategy, one after the other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, MaskGroups):
        return MaskGroups({name: concatenate([part[name] for part in parts]) for name in first})
    boxes = first.boxes is not None
    return evolve(
        first,
        context=np.concatenate([part.arrays[0] for part in parts]),
        targets=np.concatenate([part.arrays[1] for part in parts]),
        sample_keys=np.concatenate([part.sample_keys for part in parts]),
        boxes=np.concatenate([part.boxes for part in parts]) if boxes else None,
        extra={name: np.concatenate([part.extra[name] for part in parts]) for name in first.extra},
    )

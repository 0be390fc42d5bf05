"""The sampler of multimodal masks."""

from typing import Any

from maskkit_jepa import MaskGroups, Sampler, batches, fork

from . import Multimodal


class MultimodalSampler(Sampler):
    """Draws a mapping `text`, `image` to what their strategies draw; a part's groups are `image_level_0` and so on."""

    config_class = Multimodal

    def prepare(self) -> None:
        self.samplers = {name: part.sampler() for name, part in self.strategies().items()}
        parts = self.samplers.values()
        self.disjoint = all(part.disjoint for part in parts)
        self.least_context = min(part.least_context for part in parts)
        self.least_target = min(part.least_target for part in parts)
        self.reads_ahead = all(part.reads_ahead for part in parts)
        self.takes = tuple(f"{name}_{taken}" for name, part in self.samplers.items() for taken in part.takes)

    def draw(self, keys: Any, step: int | None = None, **given: Any) -> MaskGroups:
        found = MaskGroups()
        for i, (name, part) in enumerate(self.samplers.items()):
            own = {n.removeprefix(f"{name}_"): rows for n, rows in given.items() if n.startswith(f"{name}_")}
            groups = batches(part.draw(fork(keys, i), step, **own))
            found.update({f"{name}_{group}".rstrip("_"): batch for group, batch in groups.items()})
        return found

    def as_array(self, name: str, values: Any) -> Any:
        """As the part reads it whose name comes first."""
        part, _, taken = name.partition("_")
        return self.samplers[part].as_array(taken, values)

    def example(self, size: int) -> dict[str, Any]:
        """What the parts must be given."""
        return {
            f"{name}_{taken}": rows
            for name, part in self.samplers.items()
            for taken, rows in part.example(size).items()
        }

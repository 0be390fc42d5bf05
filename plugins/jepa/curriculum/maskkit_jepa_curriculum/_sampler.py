"""The sampler of curricula."""

from functools import cached_property, lru_cache
from typing import Any

from maskkit import ConfigError
from maskkit_jepa import MaskGroups, Sampler, batches

from . import Curriculum

_SAMPLERS = 8
"""Samplers that are kept; a training needs one at a time."""


class CurriculumSampler(Sampler):
    """Draws what the strategy draws with the parameters of the step, which must be given."""

    config_class = Curriculum
    reads_ahead = False

    def prepare(self) -> None:
        self._sampler_of = lru_cache(maxsize=_SAMPLERS)(lambda config: config.sampler())
        self.takes = self.sampler_at(0).takes

    def sampler_at(self, step: int) -> Sampler:
        """The sampler of the strategy with the parameters of a step."""
        return self._sampler_of(self.config.at(step))

    def draw(self, keys: Any, step: int | None = None, **given: Any) -> Any:
        if step is None:
            raise ConfigError("a curriculum draws by the step of the training: sample(ids, epoch, step=...)")
        return self.sampler_at(step).draw(keys, step, **given)

    def as_array(self, name: str, values: Any) -> Any:
        return self.sampler_at(0).as_array(name, values)

    # -- what holds at every step ---------------------------------------------------------------------------------

    @cached_property
    def disjoint(self) -> bool:
        return all(disjoint for disjoint, _, _ in self._promises)

    @cached_property
    def least_context(self) -> int:
        return min(context for _, context, _ in self._promises)

    @cached_property
    def least_target(self) -> int:
        return min(target for _, _, target in self._promises)

    @cached_property
    def _promises(self) -> list[tuple[bool, int, int]]:
        samplers = map(self.sampler_at, self.steps())
        return [(sampler.disjoint, sampler.least_context, sampler.least_target) for sampler in samplers]

    # -- pictures -------------------------------------------------------------------------------------------------

    def example(self, size: int) -> dict[str, Any]:
        return self.sampler_at(0).example(size)

    def preview(self, count: int = 1) -> MaskGroups:
        """The first few samples at the beginning, in the middle and at the end of the schedules."""
        last = self.steps()[-1]
        found = MaskGroups()
        for step in sorted({0, last // 2, last}):
            groups = batches(self.sample(range(count), step=step, **self.example(count)))
            found.update({f"step {step} {name}".rstrip(): batch for name, batch in groups.items()})
        return found

"""Curriculum: any strategy, with parameters that follow a schedule over the steps."""

from typing import Any

from attrs import field, frozen
from maskkit import ConfigError, Strategy, hookimpl, positive
from maskkit_jepa import SeededStrategy, listed, strategy_config, with_parameters, with_seed

from ._schedules import Schedule


@frozen(kw_only=True)
class Curriculum(SeededStrategy):
    """The masks of another strategy, whose parameters are functions of the training step.

    The masks of a sample at a step are those of that strategy with the parameters of the step and the seed given here;
    they depend on (seed, epoch, id, step) alone. All values that a schedule ever takes are checked when the strategy is
    made.

    Source: Madan et al. 2024 (CL-MAE), arXiv:2308.16572, for masks that get harder with the training; Wang et al. 2023
    (Hard Patches Mining), arXiv:2304.05919, section 3.3, for a share that grows with it.

    Attributes:
        strategy: the strategy: its name, or a mapping with a type.
        schedules: what follows the steps: a mapping of parameters to schedules, or a list of schedules that name their
            `parameter`. A schedule has a `shape`, "constant", "linear", "cosine" or "piecewise", and `start`, `end`,
            `steps`, `begin`, or `points`. Values are numbers or pairs; whole ones for parameters that are.
        stages: in how many equal changes a value goes from one point of a schedule to the next; each has tables of its
            own with strategies such as multi_block.
    """

    name = "curriculum"
    samples = (
        dict(
            strategy=dict(type="multi_block", num_target_masks=2),
            schedules=dict(target_scale=dict(start=(0.1, 0.15), end=(0.2, 0.3), steps=1000)),
            stages=4,
            seed=1,
        ),
        dict(
            strategy=dict(type="multi_block", overlap="allow"),
            schedules=[
                dict(parameter="num_target_masks", shape="piecewise", points=[(0, 1), (100, 3), (500, 4)]),
                dict(parameter="context_scale", shape="cosine", start=(0.9, 1.0), end=(0.7, 0.8), steps=600, begin=100),
            ],
            stages=3,
            seed=2,
        ),
    )
    sampler_class = "maskkit_jepa_curriculum._sampler:CurriculumSampler"

    strategy: Strategy = field(converter=strategy_config("strategy"))
    schedules: tuple[Schedule, ...] = field(converter=listed("schedules", Schedule, "parameter"))
    stages: int = field(default=50, validator=positive)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        object.__setattr__(self, "strategy", with_seed(self.strategy, self.seed))
        for step in self.steps():
            if self.at(step).grid != self.grid:
                raise ConfigError(f"schedules: the grid must stay {self.grid}, got {self.at(step).grid} at step {step}")

    @property
    def grid(self) -> tuple[int, ...]:
        return self.strategy.grid

    def steps(self) -> list[int]:
        """The steps from which on parameters may have other values."""
        return sorted(set().union(*(schedule.changes(self.stages) for schedule in self.schedules)))

    def values(self, step: int) -> dict[str, Any]:
        """The values of the parameters at a step."""
        return {schedule.parameter: schedule.at(step, self.stages) for schedule in self.schedules}

    def at(self, step: int) -> Strategy:
        """The strategy that draws at a step."""
        values = self.values(step)
        try:
            return with_parameters(self.strategy, values)
        except ConfigError as error:
            drawn = ", ".join(f"{name}={value!r}" for name, value in values.items())
            raise ConfigError(f"schedules at step {step}, {drawn}: {error}") from error


@hookimpl
def maskkit_strategies():
    return [Curriculum]

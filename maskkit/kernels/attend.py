"""`attend` and `plan`: every installed kernel is asked, and the cheapest that fits computes."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

from attrs import fields, frozen
from maskkit.errors import BrokenPlugin, ConfigError, NoFit, NoKernel, UnknownName
from maskkit.kernels.problem import Problem, problem_of, wants_gradients
from maskkit.kernels.reference import Reference
from maskkit.kernels.shards import Shards
from maskkit.limits import Recent, human_bytes
from maskkit.masks.mask import Mask
from maskkit.registry.item import Kernel
from maskkit.registry.loader import registry

_plans = Recent()
_asked = Recent()
"""Plans by what a call on Torch says, which is sooner told than its problem."""


def attend(
    query: Any,
    key: Any,
    value: Any,
    mask: Mask | None = None,
    *,
    scale: float | None = None,
    dropout_p: float = 0.0,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel: str | Kernel | None = None,
    shards: Shards | None = None,
    group: Any = None,
) -> Any:
    """Attention, `softmax(scale * query @ key.T) @ value` over the keys that the mask allows, at the cost of those.

    A row that allows nothing gives zeros, and zero gradients.

    Args:
        query: (B, H, Q, D), of Torch, JAX or NumPy.
        key: (B, H, K, D), of the same library, device and dtype; with `enable_gqa` of fewer heads, of which H is a
            multiple: head h reads head `h // (H // heads)`.
        value: (B, H, K, Dv), with the heads of `key`.
        mask: a mask of queries and keys, and of batch and head where they differ; None allows all.
        scale: what scores are multiplied by, not negative; None is `D ** -0.5`.
        dropout_p: share of the attention weights that are dropped, in [0, 1).
        enable_gqa: whether heads of key and value may serve several of the query.
        return_lse: give `(output, lse)`: beside the output the log-sum-exp of every row's scores (B, H, Q), in float32
            or better, -inf for a row that allows nothing.
        kernel: the name of a kernel, or one with options; None takes the cheapest that fits (see `maskkit.plan`).
            "reference" is the definition, in NumPy and float64. With `shards`, the one that computes on each rank.
        shards: query, key and value are the rows `shards.rows(rank)` of a sequence that several ranks hold, and the
            mask is that of all rows; every rank of the group calls at once (see `maskkit.shards`).
        group: with `shards`, a process group of `torch.distributed` or a DeviceMesh of one dimension; None is the
            default group.

    Returns:
        (B, H, Q, Dv) in the dtype of the arrays (under Torch's autocast: in its dtype).

    Raises:
        ConfigError: shapes, dtypes, devices or the mask do not go together; or the kernel does not fit, or none does.
        UnknownName: no kernel of this name is installed.
    """
    _check_whole(query, key, value)
    if shards is not None or group is not None:
        given = dict(scale=scale, dropout_p=dropout_p, enable_gqa=enable_gqa, return_lse=return_lse, kernel=kernel)
        return _over_ranks(shards)(*autocast(query, key, value), mask, shards, group, **given)
    if _compiling():
        from maskkit.kernels import compiled  # it imports Torch

        return compiled.attend(query, key, value, mask, kernel, enable_gqa, scale, dropout_p, return_lse)
    query, key, value = autocast(query, key, value)
    options = dict(enable_gqa=enable_gqa, scale=scale, dropout_p=dropout_p, return_lse=return_lse)
    chosen = _chosen(query, key, value, mask, kernel, options)
    return chosen.kernel.attend(query, key, value, mask, chosen.problem)


def _check_whole(*arrays: Any) -> None:
    """No kernel knows what of a DTensor lies where; those of Torch's own context parallelism come here as well."""
    if any(hasattr(array, "device_mesh") for array in arrays):
        raise ConfigError(
            "query, key and value must be plain tensors, got a DTensor, on whose parts a mask is lost or misread; give "
            "every rank its rows and shards=maskkit.shards(mask, world_size), or whole heads by x.to_local()"
        )


def _over_ranks(shards: Any) -> Any:
    """What computes the rows of one rank: the installed kernel that says it does."""
    if not isinstance(shards, Shards):
        raise ConfigError(f"shards must be those of maskkit.shards(mask, world_size), got {shards!r}")
    if _compiling():
        raise ConfigError("attention over ranks is in no graph; call it in a torch.compiler.disable function")
    found = [kernel for kernel in _installed() if isinstance(kernel, Kernel) and kernel.over_ranks]
    if not found:
        raise NoKernel("no installed kernel computes over ranks; pip install maskkit-kernel-context-parallel")
    return found[0].attend_over_ranks


def _chosen(query: Any, key: Any, value: Any, mask: Any, kernel: Any, options: dict[str, Any]) -> Plan:
    """The plan of a call; on Torch looked up by what is soon told of the arrays."""

    def plan() -> Plan:
        return plan_of(problem_of(query, key, value, mask, **options), kernel)

    arrays = query, key, value
    if not all(map(is_tensor, arrays)) or not (mask is None or mask.on_host):
        return plan()
    told = tuple((x.shape, x.dtype, x.device) for x in arrays), wants_gradients(arrays)
    asked = kernel, registry.changes, tuple(options.values()), told
    found: Plan = _asked.get((mask, asked), plan, lambda plan: (plan.problem.mask, asked))
    return found


def attend_if_any(
    query: Any, key: Any, value: Any, attn_mask: Mask, dropout_p: float = 0.0, is_causal: bool = False, **options: Any
) -> Any:
    """What `attend` gives for a call of Torch's `scaled_dot_product_attention`; None where that is left to Torch: no
    kernel is installed or none fits, arrays are not (B, H, T, D) of one batch, `is_causal` stands beside the mask."""
    shapes = query.shape, key.shape, value.shape
    if is_causal or any(len(shape) != 4 or shape[0] != shapes[0][0] for shape in shapes):
        return None
    options["dropout_p"] = dropout_p
    if _compiling():
        from maskkit.kernels import compiled

        return attend(query, key, value, attn_mask, **options) if compiled.has_any() else None
    try:
        return attend(query, key, value, attn_mask, **options) if has_kernels(registry.changes) else None
    except NoKernel:
        return None


@lru_cache(maxsize=1)
def has_kernels(changes: int) -> bool:
    """Whether any is installed, as of the last of the registry's changes."""
    return bool(registry.full_names("kernel"))


def _compiling() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.compiler.is_compiling()


def plan(
    mask: Mask | None, query: Any, key: Any, value: Any, *, kernel: str | Kernel | None = None, **options: Any
) -> Plan:
    """Which kernel `attend` takes for these arguments, and why; prints as a table. Computes nothing of the arrays."""
    query, key, value = autocast(query, key, value)
    return plan_of(problem_of(query, key, value, mask, enable_gqa=True, **options), kernel)


@frozen
class Plan:
    """Who would solve a problem.

    Attributes:
        problem: the problem.
        kernel: the cheapest kernel that fits it.
        answers: what each kernel says, by name: seconds (a `Cost` says more), or a `NoFit`.
    """

    problem: Problem
    kernel: Kernel
    answers: dict[str, float | NoFit]

    @property
    def area(self) -> int | None:
        """Pairs that the mask allows, over all samples and heads; None where only counting each would tell."""
        if (found := self.problem.planes()) is None:
            return None
        spans, of = found
        counts = [int(plane.counts().sum()) for plane in spans]
        return sum(counts[i] for i in of.ravel().tolist())

    @property
    def nbytes(self) -> int:
        """What keeping it costs: the mask, above all."""
        return 1024 + _nbytes(self.problem.mask)

    def __str__(self) -> str:
        allowed, p = self.area, self.problem
        every = p.batch * p.heads * p.queries * p.keys
        share = "?" if allowed is None else f"{allowed:,} ({allowed / every:.2%})"
        head = (
            f"{p.mask!r}\n{p.library} on {p.device}, {p.dtype}, {'training' if p.training else 'forward'}: batch "
            f"{p.batch:,}, heads {p.heads:,}, {p.queries:,} x {p.keys:,} x {p.head_dim:,}; pairs allowed: {share}\n"
        )
        rows = [("kernel", "estimate", "pairs", "bytes", "")]
        for name, answer in self.answers.items():
            if isinstance(answer, NoFit):
                rows.append((name, "-", "-", "-", answer.why))
                continue
            pairs, size = getattr(answer, "pairs", None), getattr(answer, "nbytes", None)
            note = "chosen" if name == self.kernel.name else ""
            cells = "?" if pairs is None else f"{pairs:,}", "?" if size is None else human_bytes(size)
            rows.append((name, f"{answer * 1e3:,.{0 if answer > 0.1 else 2}f} ms", *cells, note))
        wide = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join([row[0].ljust(wide[0]), *(row[i].rjust(wide[i]) for i in range(1, 4)), row[4]]) for row in rows
        ]
        return head + "\n".join(line.rstrip() for line in lines)


def plan_of(problem: Problem, kernel: str | Kernel | None = None) -> Plan:
    """The plan of a problem: the one made before for an equal mask and the same shapes, if it is still there."""
    if problem.mask is not None and not problem.mask.on_host:  # no values to compare by
        return _make(problem, kernel)
    found: Plan = _plans.get((problem, kernel, registry.changes), lambda: _make(problem, kernel))
    return found


def _make(problem: Problem, wanted: str | Kernel | None) -> Plan:
    if wanted is None:
        kernels = [kernel for kernel in _installed() if not getattr(kernel, "over_ranks", False)]
    else:
        kernels = [_named(wanted) if isinstance(wanted, str) else wanted]
    answers = {kernel.name: _answer(kernel, problem) for kernel in kernels}
    fitting = {name: cost for name, cost in answers.items() if not isinstance(cost, NoFit)}
    if not fitting:
        why = "; ".join(f"{name}: {answer.why}" for name, answer in answers.items() if isinstance(answer, NoFit))
        hint = "" if wanted else ". The library's own call comes with pip install maskkit-kernel-dense"
        raise NoKernel(f"no kernel fits attention on {problem.library}, {problem.device}, {problem.dtype}: {why}{hint}")
    best = min(fitting, key=lambda name: fitting[name])
    return Plan(problem, next(kernel for kernel in kernels if kernel.name == best), answers)  # type: ignore[arg-type]


def _answer(kernel: Kernel | _Absent, problem: Problem) -> float | NoFit:
    if not isinstance(kernel, Kernel):
        return NoFit(kernel.why)
    try:
        return kernel.fits(problem)
    except ModuleNotFoundError as error:
        return NoFit(f"{error.name} is not installed: pip install {error.name}")


@frozen
class _Absent:
    """A kernel that is installed and cannot be had."""

    name: str
    why: str


def _installed() -> list[Kernel | _Absent]:
    found: list[Kernel | _Absent] = [Reference()]
    for full_name in registry.full_names("kernel"):
        name = full_name.partition(".")[2]
        try:
            found.append(_named(name))
        except (BrokenPlugin, ConfigError) as error:
            found.append(_Absent(name, str(error)))
    return found


def _named(name: str) -> Kernel:
    if name == Reference.name:
        return Reference()
    try:
        return registry.find(name, "kernel")()  # type: ignore[return-value]
    except UnknownName as error:
        raise UnknownName(f"{error}; if it is one of ours: pip install maskkit-kernel-{name}") from error


def _nbytes(value: Any) -> int:
    """Bytes of the arrays in a mask, and of the masks in it."""
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if isinstance(value, Mask):
        return sum(_nbytes(getattr(value, field.name)) for field in fields(type(value)))
    return sum(map(_nbytes, value)) if isinstance(value, tuple) else 0


def autocast(*arrays: Any) -> tuple[Any, Any, Any]:
    """Query, key and value; under Torch's autocast in its dtype, as for `scaled_dot_product_attention`."""
    query, key, value = arrays
    if not all(map(is_tensor, arrays)):
        return query, key, value
    torch, kind = sys.modules["torch"], query.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        query, key, value = (array if array.dtype == torch.float64 else array.to(dtype) for array in arrays)
    return query, key, value


def is_tensor(array: Any) -> bool:
    """Whether it is one of Torch's."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)

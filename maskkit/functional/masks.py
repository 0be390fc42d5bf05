"""The functional interface to masks: thin over `maskkit.create`, with a dtype, log lines and the words people know."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from os import PathLike, fspath
from typing import Any

from attrs import field, fields, frozen
from maskkit.api import config as build_config
from maskkit.api import create, names
from maskkit.arrays.dtypes import mask_dtype
from maskkit.arrays.fields import by_content
from maskkit.errors import ConfigError, did_you_mean
from maskkit.functional.apply import as_mask
from maskkit.functional.types import how_to_list, info_of_all, type_of
from maskkit.masks.algebra import combine
from maskkit.masks.mask import Mask
from maskkit.outputs import write_figure
from maskkit.registry.item import lazy
from maskkit.validators import one_of, shown

log = logging.getLogger("maskkit.mask")


__getattr__ = lazy("maskkit.functional", "MaskType", source="types")  # made when it is first asked for


# -- creation ---------------------------------------------------------------------------------------------------------


def _mask_type(value: Any) -> str:
    return type_of("mask")(value)


def _extra_params(extra: Any) -> dict[str, Any]:
    if extra is not None and not isinstance(extra, Mapping):
        raise ConfigError(f"extra_params must be a mapping of parameters, got {shown(extra)}")
    return dict(extra or {})


def _same_params(params: Mapping[str, Any]) -> Any:
    return tuple((name, by_content(params[name])) for name in sorted(params))


@frozen(kw_only=True)
class MaskConfig:
    """The type and the parameters of a mask, checked when it is made. A parameter that is None is not given.

    Attributes:
        mask_type: a name, or a MaskType.
        dtype: of the arrays that the mask gives, 1 where allowed.
        seq_len, ...: parameters of masks; `maskkit show NAME` says what they mean.
        extra_params: parameters that have no field here, such as `padding_mask`, `mask_predictions` and those of other
            masks, by name.

    Raises:
        ConfigError: a ValueError, with all that is wrong.
    """

    mask_type: str = field(converter=_mask_type)
    dtype: str = field(default="bool", converter=mask_dtype)
    seq_len: int | None = None
    window_size: int | None = None
    sliding_window: int | None = None
    block_size: int | None = None
    band_width: int | None = None
    mask_probability: float | None = None
    seed: int | None = None
    num_queries: int | None = None
    valid_queries: Any = field(default=None, eq=by_content)
    height: int | None = None
    width: int | None = None
    attention_regions: Any = field(default=None, eq=by_content)
    mask_mode: str | None = None
    interaction_type: str | None = None
    hierarchy_levels: Any = field(default=None, eq=by_content)
    separation_threshold: float | None = None
    extra_params: Mapping[str, Any] = field(factory=dict, converter=_extra_params, eq=_same_params)

    def __attrs_post_init__(self) -> None:
        build_config(self.mask_type, kind="mask", **self.params())

    def params(self) -> dict[str, Any]:
        """The parameters that are given, those of `extra_params` among them."""
        own = {a.name: getattr(self, a.name) for a in fields(MaskConfig) if a.name not in _NO_PARAMS}
        return _with_extra({name: value for name, value in own.items() if value is not None}, self.extra_params)


_NO_PARAMS = ("mask_type", "dtype", "extra_params")


def create_mask(mask_type: str | None = None, config: MaskConfig | None = None, **kwargs: Any) -> Any:
    """Build a mask.

    Args:
        mask_type: a name, or a MaskType; may be left out if there is a config.
        config: type and parameters of the mask.
        kwargs: parameters of the mask; they win over those of the config. Beside them `dtype`, the dtype of the arrays
            that the mask gives (1 where allowed), which changes nothing else, and `extra_params`, a mapping of further
            parameters.

    Returns:
        A `Mask`; for `global_local` a pair of them.

    Raises:
        ConfigError: a ValueError; the type or the parameters are wrong.
        BrokenPlugin: the plugin that offers the mask cannot be imported.
    """
    kind, params = _type_and_params(mask_type, config, kwargs)
    dtype = mask_dtype(params.pop("dtype", None))
    built = create(kind, kind="mask", **params)
    _log_created(kind, params, built)
    return tuple(mask.astype(dtype) for mask in built) if isinstance(built, tuple) else built.astype(dtype)


def _type_and_params(mask_type: Any, config: Any, kwargs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    given = {name: value for name, value in kwargs.items() if name != "extra_params"}
    params = _with_extra(given, kwargs.get("extra_params"))
    if config is None:
        if mask_type is None:
            raise ConfigError("create_mask needs a mask_type or a config: create_mask('causal', seq_len=128)")
        return _mask_type(mask_type), params
    if not isinstance(config, MaskConfig):
        raise ConfigError(f"config must be a MaskConfig, got {type(config).__name__}; maskkit.create takes mappings")
    if mask_type is not None and _mask_type(mask_type) != config.mask_type:
        raise ConfigError(f"mask_type {str(mask_type)!r} is not that of the config, {str(config.mask_type)!r}")
    return config.mask_type, {"dtype": config.dtype} | config.params() | params


def _with_extra(params: dict[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    others = _extra_params(extra)
    if twice := sorted(params.keys() & others.keys()):
        raise ConfigError(f"{', '.join(twice)} given twice: as it is, and in extra_params; give it once")
    return params | others


def _log_created(kind: str, params: Mapping[str, Any], built: Any) -> None:
    if not log.isEnabledFor(logging.DEBUG):
        return
    words, shape = kind.replace("_", " "), (built[0] if isinstance(built, tuple) else built).shape
    rest = "".join(f", {name}={shown(value)}" for name, value in params.items() if name != "seq_len")
    log.debug("Created %s mask: shape=%s%s" if rest else "Created %s mask with shape %s%s", words, shape, rest)


class _Factory:
    """One function for every mask that is installed or registered at the moment."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        kind = name.removeprefix("create_").removesuffix("_mask")
        if name != f"create_{kind}_mask" or kind not in names("mask"):
            near = did_you_mean(name, self.__dir__())
            raise AttributeError(f"MaskFactory has no function {name!r}{near} {how_to_list('mask')}")

        def function(**params: Any) -> Any:
            return create_mask(kind, **params)

        function.__name__, function.__qualname__ = name, f"MaskFactory.{name}"
        function.__doc__ = f"`create_mask({kind!r}, **params)`."
        return function

    def __dir__(self) -> list[str]:
        return [f"create_{name}_mask" for name in names("mask")]

    def __repr__(self) -> str:
        return f"<MaskFactory: {len(self.__dir__())} functions>"


MaskFactory = _Factory()
"""A function for every mask: `MaskFactory.create_causal_mask(seq_len=128)`."""


# -- combination, pictures, information -------------------------------------------------------------------------------


def combine_masks(*masks: Any, combination: str = "or") -> Mask:
    """One mask from several, said of what is *blocked*; `&` and `|` of masks speak of what is allowed.

    Args:
        masks: masks, or booleans of any array library in which True means allowed.
        combination: "or" blocks what any of them blocks, "and" what all of them block, "xor" what an odd number of them
            blocks.

    Raises:
        ConfigError: no mask is given, the combination is another, or the shapes do not fit.
    """
    if not masks:
        raise ConfigError("combine_masks needs at least one mask, got none")
    one_of("or", "and", "xor").check("combination", combination)
    known = [as_mask(mask, "combine_masks") for mask in masks]
    if combination == "xor":
        # Of n masks, an odd number blocks where an odd number allows, if n is even; where an even number does, if odd.
        odd = combine("xor", *known)
        combined = odd if len(known) % 2 else ~odd
    else:
        combined = combine({"or": "and", "and": "or"}[combination], *known)
    log.debug("Combined %d masks using %s", len(masks), combination)
    return combined


def visualize_mask(
    mask: Any,
    title: str = "Mask Visualization",
    figsize: tuple[float, float] = (10, 8),
    cmap: Any = "Blues",
    save_path: str | PathLike[str] | None = None,
    show: bool = True,
) -> Any:
    """Draw a mask, dark where allowed.

    Args:
        mask: a mask, booleans in which True means allowed, or a tuple of them, which are drawn side by side.
        title: above the picture.
        figsize: width and height in inches.
        cmap: a colour map of matplotlib, or its name.
        save_path: file to write, in the format of its suffix.
        show: open a window, where matplotlib's backend has one.

    Returns:
        The `matplotlib.figure.Figure`; None, with a warning in the log, if matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError:
        log.warning("matplotlib not available for visualization: pip install 'maskkit[plot]'")
        return None
    from maskkit.masks.draw.figure import figure, shows_windows

    masks = [as_mask(one, "visualize_mask") for one in (mask if isinstance(mask, tuple) else (mask,))]
    window = show and shows_windows()
    drawn = figure(masks, title=title, cmap=cmap, size=figsize, window=window)
    if save_path is not None:
        write_figure(save_path, drawn)
        log.info("Saved mask visualization to %s", fspath(save_path))
    if window:
        pyplot.show()
    return drawn


def get_mask_info() -> dict[str, dict[str, Any]]:
    """What is installed, by name.

    Returns:
        For each mask `description`, `category` ("attention" or "segmentation"), `required_params` (names),
        `optional_params` (names and defaults), `provider` and `version` (the distribution), and `reference`. Yours to
        change.
    """
    found = info_of_all("mask", lambda known: {key: getattr(known, key) for key in _MORE}, log)
    for page in found.values():
        page["optional_params"]["dtype"] = "bool"
    return found


_MORE = ("category", "provider", "version", "reference")

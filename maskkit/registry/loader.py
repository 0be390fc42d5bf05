"""From names to classes: finds out who offers a name, imports that one plugin, and holds it to the contract.

Nothing is decided by order, and no plugin takes the others down: each is loaded in its own `try`, its hooks are called
one at a time, and what went wrong is raised when the item is asked for. `maskkit doctor` loads them all, elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from threading import RLock
from types import ModuleType
from typing import Any

import pluggy
from maskkit.errors import BrokenPlugin, ConfigError, UnknownName, did_you_mean, plain
from maskkit.registry import hookspecs
from maskkit.registry.catalog import (
    BACKEND,
    COMMAND,
    KIND,
    Entry,
    broken_text,
    conflict_text,
    entries,
    how_to_install,
    kind_names,
    published,
    quick_status,
)
from maskkit.registry.contract import contract_problem
from maskkit.registry.item import KINDS, Item, Kind
from maskkit.registry.loading import loading

log = logging.getLogger("maskkit.registry")

_HOOKS = {BACKEND: "maskkit_backends", COMMAND: "maskkit_commands"}
"""What entry points without items offer."""


class Registry:
    """Items by full name: those of installed plugins, and those registered by hand."""

    def __init__(self, installed: Iterable[Entry]) -> None:
        self._installed = tuple(installed)
        self._manager = pluggy.PluginManager("maskkit")
        self._manager.add_hookspecs(hookspecs)
        self._kinds: dict[str, Kind] = dict(KINDS)
        self.kinds = kind_names(entry.full_name for entry in self._installed)
        """The names of all kinds, the core's and those that plugins bring."""
        self._claims: dict[str, list[Entry]] = {}
        self._others: list[Entry] = []
        for entry in self._installed:
            if entry.kind in (BACKEND, COMMAND, ""):
                self._others.append(entry)
            else:
                self._claims.setdefault(entry.full_name, []).append(entry)
        self._registered: dict[str, type[Item]] = {}
        self._classes: dict[str, type[Item]] = {}
        self._loaded: set[Entry] = set()
        self._failures: dict[Entry, BrokenPlugin] = {}
        self.changes = 0
        """How often a class came or went by hand: answers that depend on what there is are good for one number."""
        self._found: dict[tuple[Any, str | None], type[Item]] = {}  # answers of `find`, until a class comes or goes
        # Held while pluggy and classes by hand change, never during an import: whoever imports a module that asks for
        # an item, and whoever asks for an item of that module, would wait for each other.
        self._lock = RLock()

    # -- names ----------------------------------------------------------------------------------------------------

    def full_names(self, kind: str | None = None) -> list[str]:
        """Sorted full names of what can be asked for: not blocked, whether or not it will load."""
        self.check_kind(kind)
        names = {name for name in self._claims if self.claims(name)} | set(self._registered)
        names = {name for name in names if not name.startswith(f"{KIND}.")}
        return sorted(name for name in names if kind is None or name.startswith(f"{kind}."))

    def claims(self, full_name: str) -> list[Entry]:
        """The distributions that offer a name and are not blocked."""
        return [entry for entry in self._claims.get(full_name, ()) if entry.blocked_by is None]

    def entry(self, full_name: str) -> Entry | None:
        """The one distribution that offers a name; None for items registered by hand."""
        return next(iter(self.claims(full_name)), None)

    def resolve(self, name: Any, kind: str | None = None) -> str:
        """The full name that a short or full name stands for.

        Raises:
            UnknownName: nothing installed has this name.
            ConfigError: the name is offered in several kinds.
        """
        if not isinstance(name, str):
            raise ConfigError(f"a name must be a string, got {name!r}")
        self.check_kind(kind)
        candidates = [name] if name.partition(".")[0] in self.kinds else [f"{k}.{name}" for k in self.kinds]
        found = [c for c in candidates if self._has(c) and (kind is None or c.startswith(f"{kind}."))]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(
                f"{name!r} is ambiguous: {' and '.join(found)} are installed; ask for one by its full name"
            )
        raise self._unknown(name, kind, candidates)

    def offered_as(self, name: str) -> list[str]:
        """The full names that a short name may stand for."""
        return [full_name for kind in self.kinds if self._has(full_name := f"{kind}.{name}")]

    def _has(self, full_name: str) -> bool:
        return full_name in self._registered or bool(self.claims(full_name))

    def _unknown(self, name: str, kind: str | None, candidates: Sequence[str]) -> UnknownName:
        known = self.full_names(kind)
        short = [full.partition(".")[2] for full in known]
        short_name = name.rpartition(".")[2]
        what = f"Unknown {kind or 'item'}{' type' if kind in ('attention', 'mask') else ''} {name!r}"
        blocked = [entry for c in candidates for entry in self._claims.get(c, ()) if entry.blocked_by]
        if blocked:
            return UnknownName(f"{what}: {blocked[0].provider} offers it, but {blocked[0].blocked_by} switches it off")
        if lost := [entry for entry in self._others if not entry.kind and entry.name.split(".")[-1] == short_name]:
            told = "whose entry point begins with no kind; maskkit doctor tells what to write"
            return UnknownName(f"{what}; there is {lost[0].full_name} of {lost[0].provider}, {told}")
        elsewhere = [c for c in candidates if self._has(c)]
        if elsewhere:
            return UnknownName(f"{what}; there is {' and '.join(elsewhere)}")
        if hint := how_to_install(c for c in candidates if kind in (None, c.partition(".")[0])):
            return UnknownName(hint)
        hint = did_you_mean(name, known if "." in name else {*short, *published([kind] if kind else self.kinds)})
        count = f"{len(known)} installed" if known else "none installed"
        return UnknownName(f"{what}{hint} ({count}: maskkit list{f' --kind {kind}' if kind else ''})")

    # -- kinds ----------------------------------------------------------------------------------------------------

    def check_kind(self, kind: Any) -> None:
        """Raise ConfigError unless it is None or the name of a kind."""
        if kind is not None and kind not in self.kinds:
            raise ConfigError(f"kind must be one of {', '.join(map(repr, self.kinds))}, got {kind!r}")

    def kind(self, name: str) -> Kind:
        """The kind of this name; the plugin that brings it is imported if it was not yet.

        Raises:
            BrokenPlugin: that plugin cannot be imported, or gives something else.
            UnknownName, ConfigError: it is switched off, or two bring the kind.
        """
        if name not in self._kinds:
            entry = self._claim(f"{KIND}.{name}")
            offered = self._offers(entry, "maskkit_kinds")
            if len(offered) != 1 or not isinstance(offered[0], Kind) or offered[0].name != name:
                raise self._broken(entry, f"its maskkit_kinds must give one Kind named {name!r}, got {offered!r}")
            base = offered[0].base
            if not isinstance(base, type) or not issubclass(base, Item):
                raise self._broken(entry, f"the base of its kind must derive from maskkit.Item, got {base!r}")
            self._kinds[name] = offered[0]
        return self._kinds[name]

    def _claim(self, full_name: str) -> Entry:
        """The one distribution that offers a name."""
        claims = self.claims(full_name)
        if len(claims) > 1:
            raise ConfigError(conflict_text(claims))
        if not claims:
            raise self._unknown(full_name, None, [full_name])
        return claims[0]

    # -- classes --------------------------------------------------------------------------------------------------

    def find(self, name: Any, kind: str | None = None) -> type[Item]:
        """The class of an item, its plugin imported if it was not yet.

        Raises:
            UnknownName, ConfigError: as `resolve`; also if two distributions offer the name.
            BrokenPlugin: the plugin cannot be imported or breaks the contract; the cause is chained.
        """
        self.check_kind(kind)
        if isinstance(name, str) and (found := self._found.get((name, kind))):
            return found
        changes, full_name = self.changes, self.resolve(name, kind)
        found = self._registered.get(full_name)
        if found is None:
            claim = self._claim(full_name)
            found = self._classes[full_name] = self._classes.get(full_name) or self._load(claim)
        with self._lock:
            if changes == self.changes:
                self._found[name, kind] = found
        return found

    def _load(self, entry: Entry) -> type[Item]:
        """Import one plugin, call its one hook, and pick the class of the entry's name."""
        kind = self.kind(entry.kind)
        for offered in self._offers(entry, kind.hook):
            if problem := contract_problem(offered, kind):
                raise self._broken(entry, problem)
            if offered.name == entry.name:
                return offered  # type: ignore[no-any-return]
        raise self._broken(entry, f"its {kind.hook} offers nothing named {entry.name!r}")

    def _offers(self, entry: Entry, hook: str, optional: bool = False) -> Sequence[Any]:
        """What one plugin returns from one hook; nothing where it may lack it, and does."""
        if entry.fault:
            raise self._broken(entry, entry.fault)
        try:
            with loading():
                module: ModuleType = entry.entry_point.load()
                offered = () if optional and not hasattr(module, hook) else self._implementation(entry, module, hook)()
            if not isinstance(offered, (list, tuple)):
                raise TypeError(f"its {hook} returned {offered!r}; it must return a list")
        except KeyboardInterrupt:  # the user's
            raise
        except BaseException as error:
            raise self._broken(entry, f"{type(error).__name__}: {error}", error) from error
        self._loaded.add(entry)
        self._failures.pop(entry, None)
        return offered

    def _implementation(self, entry: Entry, module: ModuleType, hook: str) -> Callable[[], Any]:
        with self._lock:
            if not self._manager.is_registered(module):
                self._manager.register(module, name=f"{entry.provider}:{entry.full_name}")
            caller = getattr(self._manager.hook, hook, None)  # a kind's own hook is there once somebody implements it
            implementations = [i for i in caller.get_hookimpls() if i.plugin is module] if caller else []
        if not implementations:
            raise TypeError(f"it has no {hook} marked with @maskkit.hookimpl")
        function: Callable[[], Any] = implementations[0].function
        return function

    def _broken(self, entry: Entry, why: str, cause: BaseException | None = None) -> BrokenPlugin:
        failure = BrokenPlugin(broken_text(entry, why))
        failure.__cause__ = cause
        self._failures[entry] = failure
        return failure

    # -- other hooks ----------------------------------------------------------------------------------------------

    def backends(self) -> list[Any]:
        """Backends and exporters that plugins add."""
        return self._from_others(BACKEND)

    def backend_names(self, entry: Entry) -> list[str]:
        """Of the backends and exporters that one plugin adds."""
        if entry.kind not in (BACKEND, ""):
            return []
        return [plain(one.name) for one in self._offers(entry, _HOOKS[BACKEND], optional=True)]

    def commands(self) -> list[Any]:
        """Typer apps that plugins add."""
        return self._from_others(COMMAND)

    def _from_others(self, prefix: str) -> list[Any]:
        """What the plugins without items give from their hook; one that is broken is skipped with a warning."""
        found: list[Any] = []
        for entry in self._others:
            if entry.kind in (prefix, "") and entry.blocked_by is None and entry not in self._failures:
                try:
                    found.extend(self._offers(entry, _HOOKS[prefix], optional=True))
                except BrokenPlugin as failure:
                    log.warning("skipped: %s", failure)
        return found

    # -- by hand --------------------------------------------------------------------------------------------------

    def register(self, cls: type[Item]) -> ExitStack:
        """Add a class without a package; `close` what it gives, or leave it as a context, to take the class out."""
        problem = contract_problem(cls)
        if not problem:
            self.check_kind(cls.kind)
            problem = contract_problem(cls, self.kind(cls.kind))
        if problem:
            raise ConfigError(f"cannot register {cls!r}: {problem}")
        full_name = f"{cls.kind}.{cls.name}"
        if self._registered.get(full_name, cls) is not cls:
            raise ConfigError(f"{full_name} is registered already, by {self._registered[full_name].__qualname__}")
        if claims := self.claims(full_name):
            raise ConfigError(
                f"{full_name} is offered by {claims[0].provider}; choose another name, or MASKKIT_BLOCK={full_name}"
            )
        self._change(full_name, cls)
        registration = ExitStack()
        registration.callback(self._change, full_name, None)
        return registration

    def _change(self, full_name: str, cls: type[Item] | None) -> None:
        """Of a class that comes, or goes; the dictionary is a new one, for others may be going through it."""
        with self._lock:
            others = {name: other for name, other in self._registered.items() if name != full_name}
            self._registered = others if cls is None else {**others, full_name: cls}
            self._found.clear()
            self.changes += 1

    # -- state ----------------------------------------------------------------------------------------------------

    def status(self, entry: Entry) -> tuple[str, str]:
        """`("ok" | "loaded" | "blocked" | "conflict" | "broken", why)`, from what is known so far; imports nothing."""
        if entry in self._failures:
            return "broken", str(self._failures[entry])
        status, why = quick_status(entry, self._installed)
        return ("loaded" if status == "ok" and entry in self._loaded else status), why

    def try_load(self, entry: Entry) -> None:
        """Load a plugin for its status alone."""
        try:
            if entry.kind == KIND:
                self.kind(entry.name)
            elif entry.kind in self.kinds:
                self.find(entry.full_name)
            else:
                self._try_other(entry)
        except (BrokenPlugin, ConfigError) as error:
            log.debug("%s", error)

    def _try_other(self, entry: Entry) -> None:
        """A module of backends or commands, or of items that forgot to say so in its entry point."""
        hooks = [hook for prefix, hook in _HOOKS.items() if entry.kind in (prefix, "")]
        for hook in hooks:
            self._offers(entry, hook, optional=not entry.kind)
        module = entry.entry_point.load()
        if entry.kind or any(hasattr(module, hook) for hook in hooks):
            return
        offered = {
            f"{kind.name}.{getattr(cls, 'name', 'NAME')}"
            for kind in self._kinds.values()
            if hasattr(module, kind.hook)
            for cls in self._offers(entry, kind.hook)
        }
        lost = [f'"{name}" = "{entry.entry_point.value}"' for name in sorted(offered) if not self.claims(name)]
        if not offered:
            raise self._broken(entry, f"it has no {' and no '.join(hooks)} marked with @maskkit.hookimpl")
        if lost:
            raise self._broken(
                entry, f"no kind stands before its name, so it is never found; write {' and '.join(lost)}"
            )


registry = Registry(entries())

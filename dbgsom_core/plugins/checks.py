"""Judging one plugin before it is let in: its API version, its hooks, what they return."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import pluggy

from dbgsom_core import hookspecs
from dbgsom_core.errors import PluginError, did_you_mean
from dbgsom_core.hookspecs import KINDS, LIFECYCLE_HOOKS, PREPARE_STEPS, TRANSFORMERS
from dbgsom_core.interfaces.deprecation import Deprecation
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.interfaces.version import API_VERSION, SUPPORTED_API_VERSIONS
from dbgsom_core.plugins.offers import Offered

HOOKS: tuple[str, ...] = (*KINDS.values(), PREPARE_STEPS, TRANSFORMERS, *LIFECYCLE_HOOKS)

_marker = pluggy.PluginManager("dbgsom")  # only reads the marks that `hookimpl` leaves


def check_api_version(plugin: Any) -> int:
    """Return the API version that a plugin states.

    Raises
    ------
    PluginError
        It states none, or one that is neither the current nor the previous.
    """
    version = getattr(plugin, "DBGSOM_API_VERSION", None)
    supported = " or ".join(map(str, SUPPORTED_API_VERSIONS))
    where = getattr(plugin, "__name__", type(plugin).__name__)
    if version is None:
        raise PluginError(
            f"{where} states no DBGSOM_API_VERSION; add DBGSOM_API_VERSION = {API_VERSION}"
        )
    if version not in SUPPORTED_API_VERSIONS:
        newer = isinstance(version, int) and version > API_VERSION
        cure = "upgrade dbgsom-core" if newer else "upgrade that plugin"
        raise PluginError(
            f"{where} was written for plugin API {version}, this dbgsom-core supports "
            f"{supported}; {cure}"
        )
    return int(version)


def age_note(version: int) -> str:
    """Return the sentence for a plugin of the previous API version; empty for the current one."""
    if version == API_VERSION:
        return ""
    return (
        f"written for plugin API {version}; API {API_VERSION} is current and {version} is accepted "
        f"until API {API_VERSION + 1} comes"
    )


def check_hooks(plugin: Any) -> list[str]:
    """Return the names of the hooks that a plugin implements, after checking each signature.

    Raises
    ------
    PluginError
        A hook has no such name, takes an argument that it will not get, has a default or
        ``**kwargs``; the sentence names hook and cure.
    """
    found = []
    for name in dir(plugin):
        if _marker.parse_hookimpl_opts(plugin, name) is None:
            if name.startswith("dbgsom_") and name in HOOKS and callable(getattr(plugin, name)):
                raise PluginError(f"{name} lacks the decorator: write @hookimpl above it")
            continue
        if name not in HOOKS:
            hint = did_you_mean(name, HOOKS) or f"; known: {', '.join(HOOKS)}"
            raise PluginError(f"unknown hook '{name}'{hint}")
        _check_signature(name, getattr(plugin, name))
        found.append(name)
    return found


def _check_signature(name: str, hook: Any) -> None:
    offered = list(inspect.signature(getattr(hookspecs, name)).parameters)
    takes = f"it takes {', '.join(offered)}" if offered else "it takes no arguments"
    if inspect.iscoroutinefunction(hook) or inspect.isgeneratorfunction(hook):
        raise PluginError(f"hook {name} must be a plain function, no generator or coroutine")
    for argument in inspect.signature(hook).parameters.values():
        if argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL):
            stars = "**" if argument.kind is argument.VAR_KEYWORD else "*"
            raise PluginError(
                f"hook {name} has {stars}{argument.name}, which would never be filled; {takes}"
            )
        if argument.name not in offered:
            hint = did_you_mean(argument.name, offered)
            raise PluginError(
                f"hook {name} has an unknown argument '{argument.name}'{hint}; {takes}"
            )
        if argument.default is not argument.empty:
            raise PluginError(
                f"hook {name} gives {argument.name} a default, with which it would never be "
                f"called; remove '={argument.default!r}'"
            )


def offers_of(
    plugin: Any, hooks: list[str], distribution: str, version: str, name: str
) -> Iterator[Offered]:
    """Yield what the offering hooks of a plugin return; raise `PluginError` for a wrong type."""
    for kind, hook in KINDS.items():
        if hook not in hooks:
            continue
        offers = _mapping(plugin, hook, distribution, "classes")
        for component, offer in offers.items():
            if not isinstance(component, str) or not isinstance(offer, (str, type, Deprecation)):
                raise PluginError(
                    f"{hook} of {distribution} must map names to classes or 'module:Class', "
                    f"not {component!r} to {offer!r}"
                )
            if ":" in component or not component.strip():
                raise PluginError(
                    f"{hook} of {distribution} offers {component!r}, which is no name: use "
                    "lower-case letters, digits and _"
                )
            if isinstance(offer, str) and not all(offer.partition(":")):
                raise PluginError(
                    f"{hook} of {distribution} offers '{component}' as {offer!r}; "
                    "write 'module:Class'"
                )
            yield Offered(kind, component, offer, distribution, version, name)


def transformers_of(plugin: Any, hooks: list[str], distribution: str) -> dict[str, StoredType]:
    """Return the transformers that a plugin lists, by the names that files know.

    Raises
    ------
    PluginError
        The hook returns something else than names with `StoredType`.
    """
    if TRANSFORMERS not in hooks:
        return {}
    listed = _mapping(plugin, TRANSFORMERS, distribution, "StoredType")
    for name, stored in listed.items():
        if not (isinstance(name, str) and name.strip() and ":" not in name):
            raise PluginError(f"{TRANSFORMERS} of {distribution} lists {name!r}, which is no name")
        if not isinstance(stored, StoredType):
            raise PluginError(
                f"{TRANSFORMERS} of {distribution} must map names to StoredType, "
                f"not {name!r} to {stored!r}"
            )
    return {f"{distribution}:{name}": stored for name, stored in listed.items()}


def steps_of(plugin: Any, hooks: list[str], distribution: str) -> dict[str, str]:
    """Return the classes of prepare steps by the names that a plugin gives them.

    Raises
    ------
    PluginError
        The hook returns something else than names with ``"module:Class"``.
    """
    if PREPARE_STEPS not in hooks:
        return {}
    named = _mapping(plugin, PREPARE_STEPS, distribution, "'module:Class'")
    for name, where in named.items():
        if not (isinstance(name, str) and name.isidentifier() and name == name.lower()):
            raise PluginError(
                f"{PREPARE_STEPS} of {distribution} names {name!r}, which is no name: use "
                "lower-case letters, digits and _"
            )
        if not (isinstance(where, str) and all(where.partition(":"))):
            raise PluginError(
                f"{PREPARE_STEPS} of {distribution} gives '{name}' as {where!r}; write "
                "'module:Class'"
            )
    return dict(named)


def _mapping(plugin: Any, hook: str, distribution: str, of: str) -> Mapping[Any, Any]:
    returned = getattr(plugin, hook)()
    if not isinstance(returned, Mapping):
        raise PluginError(
            f"{hook} of {distribution} must return a mapping of names to {of}, "
            f"not {type(returned).__name__}"
        )
    return returned

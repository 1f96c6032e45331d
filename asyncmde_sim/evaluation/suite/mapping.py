"""Dataclasses from the mappings of a YAML file, with errors that name the key and suggest the near one."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def from_mapping(
    cls: Any,
    values: Any,
    where: str,
    short: str | None = None,
    parts: Mapping[str, Callable[[Any], Any]] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """An instance of a dataclass.

    Args:
        cls: The dataclass.
        values: Mapping of its fields; or, for ``short``, that field's value alone.
        where: What an error calls it.
        short: See ``values``.
        parts: How fields are made that are dataclasses themselves.
        defaults: Values for fields that are not given.

    Raises:
        ValueError: A key is unknown or missing, or a value of another type or out of bounds.
    """
    if short is not None and not isinstance(values, Mapping):
        values = {short: values}
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} is {values!r}, but a mapping of keys to values is needed")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            raise ValueError(f"unknown key {key!r} in {where}: {hint}")
    given = {**(defaults or {}), **values}
    for field in dataclasses.fields(cls):
        if field.name not in given and field.default is dataclasses.MISSING:
            raise ValueError(f"{where} has no {field.name!r}: add it")
    made = {}
    for key, value in given.items():
        if parts and key in parts:
            made[key] = parts[key](value)
        else:
            made[key] = _checked(value, hints[key], f"{key} in {where}")
    try:
        return cls(**made)
    except ValueError as error:
        raise ValueError(f"{error} (in {where})") from error


def from_mappings(cls: Any, values: Any, where: str, short: str) -> tuple[Any, ...]:
    """Instances of a dataclass from a list of mappings; see ``from_mapping``."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{where} is {values!r}, but a list is needed")
    return tuple(from_mapping(cls, v, f"{where}[{i}]", short) for i, v in enumerate(values))


def duplicate(names: Sequence[str]) -> str | None:
    """The first name that is there twice."""
    return next((name for i, name in enumerate(names) if name in names[:i]), None)


def _checked(value: Any, hint: Any, where: str) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    kind = next(option for option in options if option is not type(None))
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{where} is {value!r}, but a list is needed")
        element = typing.get_args(kind)[0]
        return tuple(_checked(item, element, where) for item in value)
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
        raise ValueError(f"{where} is {value!r}, but {names[kind]} is needed")
    return kind(value)

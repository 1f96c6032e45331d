"""Hyper-parameter files: JSON, by environment, as RL Zoo's are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from asyncmde_sim.envs.learning import ViewConfig
from asyncmde_sim.training.agents.cloning import CloneConfig
from asyncmde_sim.training.agents.ppo import PpoConfig

RECIPES_FOLDER = Path(__file__).parent / "recipes"

Section = TypeVar("Section")


@dataclass(frozen=True)
class AgentRecipe:
    """How an agent is trained.

    Args:
        view: What it sees.
        clone: How it imitates the written agent first.
        ppo: How it learns then.
    """

    view: ViewConfig = dataclasses.field(default_factory=ViewConfig)
    clone: CloneConfig = dataclasses.field(default_factory=CloneConfig)
    ppo: PpoConfig = dataclasses.field(default_factory=PpoConfig)


def load_recipe(name_or_file: str, env: str) -> AgentRecipe:
    """The recipe of an environment: the file's entry of its id, or else ``default``.

    Args:
        name_or_file: Name of a shipped recipe, or a JSON file.
        env: The environment's id.

    Raises:
        FileNotFoundError: There is no such recipe.
        ValueError: It is not valid JSON, has an unknown key, or a value out of its range.
    """
    path = next(
        (p for p in (RECIPES_FOLDER / f"{name_or_file}.json", Path(name_or_file)) if p.is_file()), None
    )
    if path is None:
        shipped = ", ".join(sorted(p.stem for p in RECIPES_FOLDER.glob("*.json")))
        raise FileNotFoundError(f"no recipe {name_or_file!r}: give a JSON file, or one of {shipped}")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): correct it") from error
    if not isinstance(entries, dict) or not (env in entries or "default" in entries):
        raise ValueError(f"{path} has no entry {env!r} and no 'default': add one of them")
    entry: Any = entries[env] if env in entries else entries["default"]
    sections: dict[str, type] = {"view": ViewConfig, "clone": CloneConfig, "ppo": PpoConfig}
    _check_keys(entry, sections, f"{path}, {env}")
    return AgentRecipe(
        **{name: _section(kind, entry.get(name, {}), f"{path}, {name}") for name, kind in sections.items()}
    )


def _section(kind: type[Section], values: Any, where: str) -> Section:
    _check_keys(values, {field.name for field in dataclasses.fields(kind)}, where)  # type: ignore[arg-type]
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def _check_keys(values: Any, known: Any, where: str) -> None:
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} holds {values!r}, but it must hold an object")
    for key in values:
        if key not in known:
            near = get_close_matches(key, known, 1)
            fix = f"did you mean {near[0]!r}?" if near else f"use {', '.join(sorted(known))}"
            raise ValueError(f"{where} has the unknown key {key!r}: {fix}")

"""What makes two episodes the same: code, config, and the content of the files that a config names."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Container
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncmde_sim
from asyncmde_sim.agents import AGENTS
from asyncmde_sim.agents.learned.folders import find_policy, shipped_policies
from asyncmde_sim.evaluation.config import EpisodeConfig
from asyncmde_sim.evaluation.output import weights_record
from asyncmde_sim.files import files_sha256, sha256
from asyncmde_sim.runtime import builtin_profiles

ROOMS = ("agents", "depth", "envs", "hil", "mapping", "metrics", "recordings", "runtime", "scenes")
"""Packages whose code decides an episode."""
MODULES = ("config", "records", "rollout")
"""Modules of ``evaluation`` that do, too."""
PACKAGES = ("asyncmde-sim", "numpy", "scipy", "torch", "onnxruntime", "gymnasium", "embreex", "trimesh")


@lru_cache(maxsize=1)
def code_version() -> str:
    """The package's version, and a hash of the code that decides an episode."""
    files = []
    for room in ROOMS:
        spec = find_spec(f"asyncmde_sim.{room}")
        assert spec is not None and spec.submodule_search_locations
        root = Path(next(iter(spec.submodule_search_locations)))
        files += [
            (f"{room}/{p.relative_to(root)}", p) for p in root.rglob("*") if p.suffix in (".py", ".json")
        ]
    package = Path(next(iter(asyncmde_sim.__path__)))
    files += [(f"evaluation/{m}.py", package / "evaluation" / f"{m}.py") for m in MODULES]
    digest = hashlib.sha256()
    for name, path in sorted(files):
        digest.update(f"{name} {sha256(path)}\n".encode())
    return f"{version('asyncmde-sim')}+{digest.hexdigest()[:12]}"


def identity(config: EpisodeConfig) -> dict[str, Any]:
    """What a config is, wherever its files lie: their content's SHA-256 stands for their paths.

    Raises:
        FileNotFoundError: There are no such weights.
    """
    return {
        **config.as_dict(),
        "device": _content(config.charged, builtin_profiles()),
        "agent": _content(_policy_folder(config.agent), AGENTS),
        "scene": _content(config.scene),
        "weights": weights_record(config),
        "code": code_version(),
    }


def key_of(config: EpisodeConfig) -> str:
    """A hash that no other config, code or weights have."""
    text = json.dumps(identity(config), sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def machine() -> dict[str, Any]:
    """Hardware and versions of this machine."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": _gpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def _policy_folder(agent: str | None) -> str | None:
    """The folder of a policy that comes with the project; any other agent as it is named."""
    return str(find_policy(agent)) if agent is not None and agent in shipped_policies() else agent


def _content(value: str | None, names: Container[str] = ()) -> Any:
    """The hashes of what a value names that is not among ``names``; the value, if that is no file."""
    if value is None or value in names or not Path(value).exists():
        return value
    return {"sha256": files_sha256(Path(value))}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _gpus() -> list[str]:
    cards = (
        path.read_text(encoding="utf-8") for path in Path("/proc/driver/nvidia/gpus").glob("*/information")
    )
    return [match[1] for text in cards if (match := re.search(r"Model:\s*(.+)", text))]

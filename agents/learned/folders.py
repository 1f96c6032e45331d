"""Where policies lie. Each is a folder."""

from __future__ import annotations

from pathlib import Path

CONFIG_FILE, NETWORK_FILE = "policy.json", "policy.safetensors"

SHIPPED = Path(__file__).parent.parent / "policies"
"""Folder of the policies that come with the project."""


def is_policy(folder: str | Path) -> bool:
    """Whether there is a policy in a folder, good or bad."""
    return (Path(folder) / CONFIG_FILE).is_file()


def shipped_policies() -> tuple[str, ...]:
    """Names of the policies that come with the project."""
    return tuple(sorted(path.parent.name for path in SHIPPED.glob(f"*/{CONFIG_FILE}")))


def find_policy(name_or_folder: str | Path) -> Path:
    """The folder of a policy that comes with the project, or of the user's own.

    Raises:
        ValueError: There is no policy.
    """
    if str(name_or_folder) in shipped_policies():
        return SHIPPED / str(name_or_folder)
    if not is_policy(name_or_folder):
        shipped = "".join(f", or {name!r}, which is shipped" for name in shipped_policies())
        raise ValueError(
            f"there is no policy {str(name_or_folder)!r}: give a folder that scripts/train_agent.py wrote "
            f"(with {CONFIG_FILE} in it){shipped}"
        )
    return Path(name_or_folder)

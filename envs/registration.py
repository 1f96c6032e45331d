"""Registers the project's environments with Gymnasium."""


def register_environments() -> None:
    """Register every environment of the project (idempotent)."""

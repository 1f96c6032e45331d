"""A training that meets a number that is none stops at once, and says where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def require_finite(seen: Mapping[str, Any], reward: Any, env: str, which: str, step: int) -> None:
    """Check what a step gave.

    Args:
        seen: The observation.
        reward: The reward.
        env: The environment's id.
        which: Which of the environments, or of its episodes.
        step: Number of the step.

    Raises:
        FloatingPointError: Something is not finite.
    """
    bad = [f"observation {name!r}" for name, value in seen.items() if not np.isfinite(value).all()]
    if not np.isfinite(reward):
        bad.append("reward")
    if bad:
        raise FloatingPointError(
            f"{env}, {which}, step {step}: {' and '.join(bad)} not finite; the training has stopped: mend "
            "the environment, then go on with --resume"
        )

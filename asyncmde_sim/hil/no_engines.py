"""Engines that compute nothing, to measure the way to a device alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "none"
TRUST_SHAPE = (42, 56)


class NoSlow:
    """Gives no memory."""

    def memory(self, image: NDArray[np.uint8]) -> Any:
        """Nothing."""
        return None


class NoFast:
    """Gives 1 m everywhere."""

    def run(self, image: NDArray[np.uint8], state: Any) -> tuple[Any, Any, Any]:
        """Depth (H, W) of 1 m, the same state, and no trust."""
        return np.ones(image.shape[:2], np.float32), state, np.zeros(TRUST_SHAPE, np.float32)

    def refreshed(self, state: Any, memory: Any) -> Any:
        """Nothing."""
        return memory


class NoEngines:
    """Both paths."""

    slow: Any = NoSlow()
    fast: Any = NoFast()

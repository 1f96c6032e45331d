"""Engines that compute nothing: to measure the way to a device, or where only the times count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "none"
TRUST_SHAPE = (42, 56)


class NoSlow:
    """Gives no memory, and 1 m everywhere."""

    def run(self, image: NDArray[np.uint8]) -> Any:
        """Depth (H, W) of 1 m."""
        return np.ones(image.shape[:2], np.float32)

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
    """Both paths, and the fast one without memory."""

    slow: Any = NoSlow()
    fast: Any = NoFast()
    single: Any = NoSlow()

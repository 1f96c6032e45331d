"""Memory of large messages, kept by the process instead of fetched afresh from the system each time."""

from __future__ import annotations

import contextlib
import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt(3)``."""

KEPT_BYTES = 32 * 2**20
"""The most that glibc takes; freed blocks of up to this size are kept."""


def keep_buffers() -> None:
    """Have freed blocks of message size kept for the next message.

    A frame of 518 x 518 passes through a dozen copies on its way; glibc would map, clear and unmap each of
    them. Another C library is left as it is.
    """
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, 4 * KEPT_BYTES)

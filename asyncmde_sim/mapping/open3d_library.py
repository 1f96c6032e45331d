"""Open3D, which the ``maps`` extra installs, also where the system has no libusb."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


@cache
def load_open3d() -> Any:
    """The module ``open3d``.

    Open3D's cameras need libusb, and its import fails without; the package ``libusb-package`` carries one.

    Raises:
        ImportError: Open3D is not installed, or does not load; the message names the extra.
    """
    try:
        try:
            import open3d
        except ImportError as error:
            if "libusb" not in str(error):
                raise
            import libusb_package

            ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
            import open3d
    except (ImportError, OSError) as error:
        raise ImportError(f"maps need Open3D ({error}): pip install 'asyncmde-sim[maps]'") from error
    return open3d

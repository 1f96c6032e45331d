"""Depth models of the user's own, by the path of their class."""

from __future__ import annotations

import importlib
import os
import re
import sys
from functools import lru_cache
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class DepthModel(Protocol):
    """What a class ``module:Class`` must make: it takes the place of the slow path, alone.

    It is made as ``Class(weights, focal)``: the weights as the user named them, or None; and the focal length
    of the camera as a share of the image's width. Its module is looked for where Python looks, and then in
    the working directory.
    """

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Depth (H, W) float32 in metres along the optical axis of an image (H, W, 3), 0 for none.

        With an alignment: inverse depth up to a scale and a shift, larger is nearer.
        """
        ...


def is_own(depth: str) -> bool:
    """Whether a depth source is the path of a class."""
    return _PATH.fullmatch(depth) is not None


def find_class(path: str) -> type[Any]:
    """The class at ``module:Class``.

    Raises:
        ValueError: There is no such module or class.
    """
    module_name, name = path.split(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise ValueError(
            f"depth source {path!r}: there is no module {error.name!r} in the working directory or where "
            "Python looks: set PYTHONPATH, or run from its folder"
        ) from error
    except AttributeError as error:
        raise ValueError(f"depth source {path!r}: the module {module_name!r} has no {name!r}") from error
    if not (isinstance(found, type) and callable(getattr(found, "run", None))):
        raise ValueError(f"depth source {path!r} must be a class with a method run(image): see DepthModel")
    return found


@lru_cache(maxsize=4)
def load_model(path: str, weights: str | None, focal: float | None) -> DepthModel:
    """The model of a class, kept for the process.

    Raises:
        ValueError: There is no such class, or it does not take ``weights`` and ``focal``.
    """
    found = find_class(path)
    try:
        model: DepthModel = found(weights, focal)
    except TypeError as error:
        raise ValueError(f"depth source {path!r} is made as Class(weights, focal), but: {error}") from error
    return model


class OwnEngines:
    """A model of the user's own as the slow path, loaded when it is first needed.

    Args:
        path: ``module:Class``; looked up at once.
        weights: See ``DepthModel``.
        focal: See ``DepthModel``.

    Raises:
        ValueError: There is no such class.
    """

    def __init__(self, path: str, weights: str | None, focal: float | None) -> None:
        find_class(path)
        self._arguments = path, weights, focal

    @property
    def slow(self) -> Any:
        """The model."""
        return load_model(*self._arguments)

    @property
    def relative(self) -> Any:
        """The model."""
        return load_model(*self._arguments)

    @property
    def fast(self) -> NoReturn:
        """There is none."""
        raise ValueError(f"{self._arguments[0]} is a slow path alone")

    single = fast

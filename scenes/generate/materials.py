"""Procedural surface colours, evaluated in metres on the surface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from asyncmde_sim.scenes.generate.shapes import Color, Material

F32 = NDArray[np.float32]
_SIDE = 512


@lru_cache(maxsize=1)
def _noise_table() -> F32:
    """A periodic fractal noise, mean 0 and standard deviation 1."""
    rng = np.random.default_rng(7)
    total = np.zeros((_SIDE, _SIDE))
    for sigma, weight in ((0.7, 0.5), (3.0, 0.7), (12.0, 1.0)):
        layer = gaussian_filter(rng.standard_normal((_SIDE, _SIDE)), sigma, mode="wrap")
        total += weight * layer / layer.std()
    return (total / total.std()).astype(np.float32)


def _hash(*keys: NDArray[np.int64] | int) -> F32:
    """Uniform numbers in [0, 1) from integer keys."""
    h: NDArray[np.uint32] = np.full(1, 2166136261, dtype=np.uint32)
    for key in keys:
        h = (h ^ np.asarray(key).astype(np.uint32)) * np.uint32(16777619)
        h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
    h = h ^ (h >> np.uint32(13))
    return np.asarray(h / np.float32(2**32), dtype=np.float32)


@dataclass(frozen=True)
class Surface:
    """Texels of one material.

    ``a``, ``b`` are metres along the patch in world position (continuous over coplanar patches), ``s``, ``t``
    the place on the patch in [0, 1], ``w``, ``h`` the patch's size in metres, ``key`` its number.
    """

    a: F32
    b: F32
    s: F32
    t: F32
    w: F32
    h: F32
    key: NDArray[np.int64]

    def noise(self, cell_m: float, stretch: float = 1.0, shift: int = 0) -> F32:
        """Noise with a finest detail of ``cell_m``, stretched along ``a``."""
        i = np.floor(self.a / (cell_m * stretch)).astype(np.int64) + shift * 37
        j = np.floor(self.b / cell_m).astype(np.int64) + shift * 91
        return _noise_table()[i % _SIDE, j % _SIDE]


def _rgb(color: Color) -> F32:
    return np.asarray(color, dtype=np.float32)


def _mix(low: Color, high: Color, amount: F32) -> F32:
    k = np.clip(amount, 0, 1)[:, None]
    return (_rgb(low) * (1 - k) + _rgb(high) * k).astype(np.float32)


def _shade(color: Color, factor: F32) -> F32:
    return _rgb(color) * np.maximum(factor, 0)[:, None].astype(np.float32)


def _plaster(m: Material, p: Surface) -> F32:
    return _shade(m.color, 1 + 0.035 * p.noise(0.02) + 0.03 * p.noise(0.11, shift=3))


def _painted(m: Material, p: Surface) -> F32:
    """Furniture paint: nearly plain, with worn edges."""
    edge = np.minimum(np.minimum(p.s, 1 - p.s) * p.w, np.minimum(p.t, 1 - p.t) * p.h)
    return _shade(m.color, 1 + 0.03 * p.noise(0.03) - 0.18 * (edge < 0.012))


def _concrete(m: Material, p: Surface) -> F32:
    return _shade(m.color, 1 + 0.10 * p.noise(0.03) + 0.10 * p.noise(0.2, shift=5))


def _planks(m: Material, p: Surface) -> F32:
    row = np.floor(p.b / m.scale).astype(np.int64)
    length = 9 * m.scale
    along = p.a + _hash(row) * length
    plank = np.floor(along / length).astype(np.int64)
    tone = 0.82 + 0.36 * _hash(row, plank) + 0.09 * p.noise(0.012, stretch=9.0)
    joint = (np.abs(p.b / m.scale - row - 0.5) > 0.5 - 0.005 / m.scale) | (along - plank * length < 0.012)
    return _shade(m.color, np.where(joint, 0.45 * tone, tone))


def _wood(m: Material, p: Surface) -> F32:
    lengthwise = p.w >= p.h
    a, b = np.where(lengthwise, p.a, p.b), np.where(lengthwise, p.b, p.a)
    turned = Surface(a, b, p.s, p.t, p.w, p.h, p.key)
    edge = np.minimum(np.minimum(p.s, 1 - p.s) * p.w, np.minimum(p.t, 1 - p.t) * p.h)
    return _shade(m.color, 1 + 0.13 * turned.noise(0.012, stretch=12.0, shift=11) - 0.15 * (edge < 0.01))


def _tiles(m: Material, p: Surface) -> F32:
    i, j = np.floor(p.a / m.scale), np.floor(p.b / m.scale)
    u, v = p.a / m.scale - i, p.b / m.scale - j
    joint = np.maximum(np.abs(u - 0.5), np.abs(v - 0.5)) > 0.5 - max(0.005 / m.scale, 0.02)
    tone = 0.93 + 0.14 * _hash(i.astype(np.int64), j.astype(np.int64)) + 0.03 * p.noise(0.03)
    return np.where(joint[:, None], _rgb(m.accent), _shade(m.color, tone))


def _chequer(m: Material, p: Surface) -> F32:
    odd = (np.floor(p.a / m.scale) + np.floor(p.b / m.scale)).astype(np.int64) % 2
    return _mix(m.color, m.accent, odd.astype(np.float32)) * (1 + 0.04 * p.noise(0.03))[:, None]


def _stripes(m: Material, p: Surface) -> F32:
    band = (p.a / m.scale) % 1.0 < 0.45
    return _mix(m.color, m.accent, band.astype(np.float32)) * (1 + 0.03 * p.noise(0.02))[:, None]


def _rings(m: Material, p: Surface) -> F32:
    """Wallpaper with staggered round motifs."""
    row = np.floor(p.b / m.scale)
    x = (p.a / m.scale + 0.5 * (row % 2)) % 1.0 - 0.5
    y = p.b / m.scale - row - 0.5
    r = np.hypot(x, y)
    ink = ((r > 0.22) & (r < 0.36)) | (r < 0.1)
    return _mix(m.color, m.accent, ink.astype(np.float32)) * (1 + 0.03 * p.noise(0.02))[:, None]


def _brick(m: Material, p: Surface) -> F32:
    row = np.floor(p.b / (m.scale / 3)).astype(np.int64)
    along = p.a / m.scale + 0.5 * (row % 2)
    brick = np.floor(along).astype(np.int64)
    joint = (along - brick < 0.05) | (p.b / (m.scale / 3) - row < 0.14)
    tone = 0.75 + 0.5 * _hash(row, brick) + 0.08 * p.noise(0.02)
    return np.where(joint[:, None], _rgb(m.accent), _shade(m.color, tone))


def _fabric(m: Material, p: Surface) -> F32:
    weave = 0.5 + 0.5 * np.sin(p.a * 2 * np.pi / 0.05) * np.sin(p.b * 2 * np.pi / 0.05)
    return _mix(m.color, m.accent, 0.22 * weave) * (1 + 0.08 * p.noise(0.02, shift=2))[:, None]


def _carpet(m: Material, p: Surface) -> F32:
    """A rug with a border and a diamond field."""
    x, y = np.minimum(p.s, 1 - p.s) * p.w, np.minimum(p.t, 1 - p.t) * p.h
    edge = np.minimum(x, y)
    diamond = (np.floor((p.a + p.b) / m.scale) + np.floor((p.a - p.b) / m.scale)).astype(np.int64) % 2
    ink = np.where(edge < 0.06, 1.0, np.where(edge < 0.12, 0.0, 0.55 * diamond))
    return _mix(m.color, m.accent, ink.astype(np.float32)) * (1 + 0.13 * p.noise(0.02))[:, None]


def _books(m: Material, p: Surface) -> F32:
    """Book spines standing side by side, up to different heights."""
    book = np.floor(p.s * p.w / 0.032).astype(np.int64)
    palette = np.stack([_hash(book, p.key, n) for n in range(3)], axis=1)
    color = 0.06 + 0.6 * palette * (0.4 + 0.6 * _hash(book, p.key, 9))[:, None]
    top = p.t > 0.72 + 0.28 * _hash(book, p.key, 5)
    label = (np.abs(p.t - 0.55) < 0.06) & (_hash(book, p.key, 6) > 0.5)
    color = np.where(label[:, None], _rgb((0.75, 0.7, 0.55)), color)
    return np.where(top[:, None], _rgb((0.02, 0.02, 0.02)), color).astype(np.float32)


def _picture(m: Material, p: Surface) -> F32:
    """A framed painting of soft shapes, different on every patch."""
    shift = (p.key * 7919) % 400
    i = ((p.s * p.w / 0.012).astype(np.int64) + shift) % _SIDE
    j = ((p.t * p.h / 0.012).astype(np.int64) + 3 * shift) % _SIDE
    field = _noise_table()[i, j]
    sky = np.stack([0.15 + 0.6 * _hash(p.key, n) for n in range(3)], axis=1)
    land = np.stack([0.05 + 0.5 * _hash(p.key, n + 5) for n in range(3)], axis=1)
    color = np.where((p.t + 0.2 * field > 0.5)[:, None], sky, land) * (1 + 0.2 * field)[:, None]
    edge = np.minimum(np.minimum(p.s, 1 - p.s) * p.w, np.minimum(p.t, 1 - p.t) * p.h)
    color = np.where((edge < 0.06)[:, None], _rgb((0.8, 0.78, 0.72)), color)
    return np.where((edge < 0.028)[:, None], _rgb(m.color), color).astype(np.float32)


def _outdoors(m: Material, p: Surface) -> F32:
    """The view through a window: sky over a hedge or houses, cut by mullions."""
    height = p.t + 0.06 * p.noise(0.05)
    houses = 0.35 + 0.25 * _hash(np.floor(p.a / 0.45).astype(np.int64), 77)
    color = _mix((0.75, 0.85, 1.0), (0.45, 0.65, 1.0), p.t)
    ground = _mix((0.1, 0.16, 0.05), (0.3, 0.3, 0.26), (houses > 0.5).astype(np.float32))
    color = np.where((height < houses)[:, None], ground * (1 + 0.3 * p.noise(0.03))[:, None], color)
    edge = np.minimum(np.minimum(p.s, 1 - p.s) * p.w, np.minimum(p.t, 1 - p.t) * p.h)
    frame = (edge < 0.05) | (np.abs(p.s - 0.5) * p.w < 0.03)
    return np.where(frame[:, None], _rgb(m.color), color).astype(np.float32)


def _wall(m: Material, p: Surface) -> F32:
    """Wallpaper above a white skirting board; ``b`` is the height above the floor."""
    accent = Material("rings" if m.scale < 0.2 else "stripes", m.color, m.accent, m.scale)
    paper = PATTERNS[accent.pattern](accent, p)
    board = np.where(p.b < 0.075, 0.72, 0.5)
    return np.where((p.b < 0.085)[:, None], board[:, None], paper).astype(np.float32)


def _leaf(m: Material, p: Surface) -> F32:
    vein = np.abs(p.s - 0.5) < 0.06
    return _shade(m.color, 1 + 0.18 * p.noise(0.02) + 0.35 * vein)


def _carton(m: Material, p: Surface) -> F32:
    tape = np.abs(p.s - 0.5) * p.w < 0.025
    label = (np.abs(p.s - 0.7) < 0.12) & (np.abs(p.t - 0.65) < 0.12) & (_hash(p.key, 4) > 0.4)
    color = _mix(m.color, m.accent, tape.astype(np.float32)) * (1 + 0.05 * p.noise(0.02))[:, None]
    return np.where(label[:, None], _rgb((0.75, 0.75, 0.72)), color).astype(np.float32)


def _hazard(m: Material, p: Surface) -> F32:
    band = ((p.a + p.b) / m.scale) % 1.0 < 0.5
    return _mix(m.color, m.accent, band.astype(np.float32)) * (1 + 0.05 * p.noise(0.03))[:, None]


def _screen(m: Material, p: Surface) -> F32:
    bezel = np.minimum(np.minimum(p.s, 1 - p.s) * p.w, np.minimum(p.t, 1 - p.t) * p.h) < 0.02
    return np.where(bezel[:, None], _rgb(m.accent), _shade(m.color, 1 + 1.2 * (p.s + p.t - 1)))


def _door(m: Material, p: Surface) -> F32:
    """A closed door leaf with four raised panels."""
    x, y = (p.s * 2) % 1.0, np.where(p.t < 0.48, p.t / 0.48, (p.t - 0.48) / 0.52)
    inset = np.maximum(np.abs(x - 0.5) - 0.34, (np.abs(y - 0.5) - 0.38))
    groove = np.abs(inset) < 0.03
    return _shade(m.color, 1 + 0.07 * p.noise(0.012, stretch=0.1) - 0.4 * groove + 0.08 * (inset < 0))


Pattern = Callable[[Material, Surface], F32]
PATTERNS: dict[str, Pattern] = {
    "plaster": _plaster,
    "painted": _painted,
    "concrete": _concrete,
    "planks": _planks,
    "wood": _wood,
    "tiles": _tiles,
    "chequer": _chequer,
    "stripes": _stripes,
    "rings": _rings,
    "brick": _brick,
    "fabric": _fabric,
    "carpet": _carpet,
    "books": _books,
    "picture": _picture,
    "outdoors": _outdoors,
    "wall": _wall,
    "leaf": _leaf,
    "carton": _carton,
    "hazard": _hazard,
    "screen": _screen,
    "door": _door,
}


def albedo(material: Material, surface: Surface) -> F32:
    """Linear colours (N, 3) of the texels, within [0.01, 0.95].

    Raises:
        ValueError: The material's pattern is unknown.
    """
    if material.pattern not in PATTERNS:
        raise ValueError(f"unknown pattern {material.pattern!r}: choose one of {', '.join(sorted(PATTERNS))}")
    return np.clip(PATTERNS[material.pattern](material, surface), 0.01, 0.95).astype(np.float32)

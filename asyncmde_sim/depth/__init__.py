"""The networks of AsyncMDE: slow path, fast path, spatial memory, losses and weights."""

from asyncmde_sim.depth.engines import load_engines

__all__ = ["load_engines"]

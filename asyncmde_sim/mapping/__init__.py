"""Maps from depth: TSDF fusion on Open3D, meshes, and the floor plan that a planner drives on."""

from asyncmde_sim.mapping.floor_plan import FloorPlan, floor_plan
from asyncmde_sim.mapping.live_mesh import LiveMesh
from asyncmde_sim.mapping.tsdf import MapConfig, MapFullError, TsdfMap

__all__ = ["FloorPlan", "LiveMesh", "MapConfig", "MapFullError", "TsdfMap", "floor_plan"]

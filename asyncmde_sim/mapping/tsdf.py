"""A truncated signed distance field of what depth maps show, on Open3D's voxel block grid."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray

from asyncmde_sim.files import write_whole
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.mapping.open3d_library import load_open3d
from asyncmde_sim.mapping.poses import check_rigid
from asyncmde_sim.mapping.weighting import without_edges

BLOCK = 8
"""Voxels along the side of a block."""

BLOCK_BYTES = 4 * 5 * BLOCK**3
"""Distance, weight and three colours, 4 bytes each."""

ATTRIBUTES = ("tsdf", "weight", "color")

FIRST_BLOCKS = 1024

BOUND_INTERVAL = 8
"""Weights are bounded at every eighth frame, which is much faster than at each."""

MIN_WEIGHT = 1.0
"""Of a voxel that counts as seen, in frames of full weight."""

PIXEL_STRIDE = 2
"""Blocks are allotted around every second pixel's point in each direction."""

WEIGHT_LEVELS = (1.0, 0.5, 0.25, 0.125)
"""Pixel weights are rounded down to one of these; what weighs less than the last is left out."""


class MapFullError(ValueError):
    """A map would need more memory than it may have."""


@dataclass(frozen=True)
class MapConfig:
    """How a map is made.

    Args:
        voxel_m: Side of a voxel, metres.
        truncation_voxels: Signed distances are cut off at so many voxels.
        max_range_m: Depth beyond it is not entered.
        max_weight: A voxel remembers at most so many frames, so that what moved away is carved out in time.
        edge_m: Pixels that are steeper than a plane at this distance from the camera are left out, see
            ``weighting.without_edges``; 0 keeps all.
        memory_mb: The map may take so much memory, megabytes.
        device: Where it lies, ``cpu`` or ``cuda``.
    """

    voxel_m: float = 0.04
    truncation_voxels: float = 4.0
    max_range_m: float = 5.0
    max_weight: float = 64.0
    edge_m: float = 0.2
    memory_mb: float = 2048.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("voxel_m", "max_range_m", "memory_mb"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}, but it must be finite and positive")
        for name in ("truncation_voxels", "max_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 1):
                raise ValueError(f"{name} is {value}, but it must be finite and 1 or more")
        if not (math.isfinite(self.edge_m) and self.edge_m >= 0):
            raise ValueError(f"edge_m is {self.edge_m}, but it must be finite and 0 or more")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"unknown device {self.device!r} of a map: choose cpu or cuda")

    @property
    def block_m(self) -> float:
        """Side of a block, metres."""
        return BLOCK * self.voxel_m

    @property
    def most_blocks(self) -> int:
        """How many blocks the memory holds."""
        return int(self.memory_mb * 1e6 / BLOCK_BYTES)


class TsdfMap:
    """What is solid and what is free, from depth maps at known poses.

    Each depth map is averaged into the voxels around what it shows (Curless and Levoy 1996), and into those
    that the map already has in front of it, where nothing was seen: what has moved away is carved out.
    Memory grows with the surface seen, up to a bound.

    Args:
        config: How it is made.

    Raises:
        ImportError: Open3D is missing.
        ValueError: The device is not there.
    """

    def __init__(self, config: MapConfig | None = None) -> None:
        self.config = config or MapConfig()
        self._o3d = load_open3d()
        if self.config.device == "cuda" and not self._o3d.core.cuda.is_available():
            raise ValueError("a map on cuda needs a GPU and Open3D's CUDA build: use device cpu")
        core = self._o3d.core
        self._device = core.Device(f"{self.config.device.upper()}:0")
        self._grid = self._o3d.t.geometry.VoxelBlockGrid(
            attr_names=ATTRIBUTES,
            attr_dtypes=(core.float32, core.float32, core.float32),
            attr_channels=((1), (1), (3)),
            voxel_size=self.config.voxel_m,
            block_resolution=BLOCK,
            block_count=min(FIRST_BLOCKS, self.config.most_blocks),
            device=self._device,
        )
        self.frames = 0
        """Depth maps entered."""
        self.watchers: list[Callable[[NDArray[np.int32]], None]] = []
        """Each is told the blocks (N, 3) that a depth map may have changed."""

    @property
    def blocks(self) -> int:
        """Blocks in use."""
        return int(self._grid.hashmap().size())

    @property
    def _half_diagonal_m(self) -> float:
        return math.sqrt(3) / 2 * self.config.block_m

    @property
    def _truncation_m(self) -> float:
        return self.config.truncation_voxels * self.config.voxel_m

    @property
    def memory_mb(self) -> float:
        """Memory of the blocks in use, megabytes."""
        return self.blocks * BLOCK_BYTES / 1e6

    def fuse(
        self,
        depth: NDArray[np.float32],
        camera: Intrinsics,
        T_map_camera: NDArray[np.float64],
        weights: NDArray[np.float32] | None = None,
        image: NDArray[np.uint8] | None = None,
    ) -> None:
        """Enter one depth map.

        Args:
            depth: (H, W) planar depth in metres, 0 for none.
            camera: The camera.
            T_map_camera: 4x4 pose at the time of capture.
            weights: (H, W) how much each pixel counts, 0 to 1, see ``WEIGHT_LEVELS``; None is 1 everywhere.
            image: (H, W, 3) uint8 colours, or None for a map without.

        Raises:
            ValueError: Depth is not finite, of another size than the camera's, or the pose is not rigid.
            MapFullError: The map would need more memory than it may have. It is as it was before.
        """
        check_rigid(T_map_camera)
        _check_depth(depth, camera)
        depth = without_edges(depth.astype(np.float32), camera, self.config.edge_m)
        layers = _layers(depth, weights)
        extrinsic = self._o3d.core.Tensor(np.linalg.inv(T_map_camera))
        matrix = self._matrix(camera)
        shown = np.sum([np.zeros_like(depth), *(layer for _, layer in layers)], axis=0)
        surface = self._surface_blocks(shown, matrix, extrinsic)
        self._make_room(surface)
        front = self._blocks_in_front(camera, T_map_camera, float(depth.max(initial=0.0)))
        colours = np.zeros((*depth.shape, 3), np.float32)
        if image is not None:
            colours = image.astype(np.float32) / np.float32(255)
        keys = np.unique(np.concatenate([surface.cpu().numpy(), front]), axis=0)
        blocks = self._tensor(keys)
        if len(blocks) == 0:
            layers = []
        else:
            self._grid.hashmap().activate(blocks)
        begins_m = self._in_camera(keys, T_map_camera)[:, 2] - self._half_diagonal_m
        for weight, layer in layers:
            # What lies behind all that this layer shows is hidden from it.
            reached = keys[begins_m < layer.max() + self._truncation_m]
            if len(reached) == 0:
                continue
            touched = self._tensor(reached)
            self._scale_weights(touched, 1 / weight)
            self._grid.integrate(
                touched,
                self._image(layer),
                self._image(colours),
                matrix,
                matrix,
                extrinsic,
                1.0,
                self.config.max_range_m,
                float(self.config.truncation_voxels),
            )
            self._scale_weights(touched, weight)
        if layers and self.frames % BOUND_INTERVAL == 0:
            rows = self._rows(blocks)
            self._weights()[rows] = self._weights()[rows].clamp(max=self.config.max_weight)
        self.frames += 1
        for tell in self.watchers:
            tell(blocks.cpu().numpy())

    def mesh(self) -> trimesh.Trimesh:
        """The zero level as a mesh with vertex colours (marching cubes); empty where nothing was seen."""
        if self.blocks == 0:
            return trimesh.Trimesh()
        return as_trimesh(self._grid.extract_triangle_mesh(MIN_WEIGHT))

    def part(self, blocks: NDArray[np.int32]) -> TsdfMap:
        """A map of its own with those of these blocks (N, 3) that are in use here."""
        copy = TsdfMap(self.config)
        if len(blocks) == 0:
            return copy
        index, known = self._grid.hashmap().find(self._tensor(blocks))
        found = known.cpu().numpy()
        if found.any():
            rows = _shared(index).long()[torch.from_numpy(found)]
            kept = copy._tensor(blocks[found])
            copy._make_room(kept)
            copy._grid.hashmap().activate(kept)
            touched = copy._rows(kept)
            for name in ATTRIBUTES:
                copy._attribute(name)[touched] = self._attribute(name)[rows]
        return copy

    def voxels(
        self, low_m: float = -math.inf, high_m: float = math.inf
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """What the blocks between two heights hold.

        Returns:
            Blocks (B, 3) by x, y and z, in sides of a block; signed distances (B, 8, 8, 8) by z, y and x in
            metres, positive in front of surfaces; and their weights, likewise.
        """
        index = self._active()
        keys = self._keys(index)
        bottom = keys[:, 2] * self.config.block_m
        near = (bottom < high_m) & (bottom + self.config.block_m > low_m)
        index = index[torch.from_numpy(near).to(index.device)]
        shape = (-1, BLOCK, BLOCK, BLOCK)
        share = self._attribute("tsdf")[index].reshape(shape).cpu().numpy()
        distance = share * np.float32(self._truncation_m)
        return keys[near], distance, self._weights()[index].reshape(shape).cpu().numpy()

    def save(self, path: Path) -> None:
        """Write the map as an ``.npz`` file, whole or not at all."""
        if path.suffix != ".npz":
            raise ValueError(f"{path}: a map is a file that ends in .npz")

        def write(temporary: Path) -> None:
            keys, distance, weights = self.voxels()
            colour = self._attribute("color")[self._active()].reshape(-1, BLOCK**3, 3).cpu().numpy()
            np.savez_compressed(
                temporary,
                keys=keys,
                distance=distance,
                weights=weights,
                colour=colour,
                frames=self.frames,
                **asdict(self.config),
            )

        write_whole(path, write)

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> TsdfMap:
        """Read a map that ``save`` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is not a map.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            config = {k: found[k].item() for k in asdict(MapConfig()) if k != "device"}
            loaded = cls(MapConfig(**config, device=device))
            loaded._fill(*(found[name] for name in ("keys", "distance", "weights", "colour")))
            loaded.frames = int(found["frames"])
        except FileNotFoundError:
            raise
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path} is not a map that this project wrote ({error}): make it again"
            ) from error
        return loaded

    # Parts

    def _fill(
        self,
        keys: NDArray[np.int32],
        distance: NDArray[np.float32],
        weights: NDArray[np.float32],
        colour: NDArray[np.float32],
    ) -> None:
        blocks = self._tensor(keys)
        self._make_room(blocks)
        self._grid.hashmap().activate(blocks)
        touched = self._rows(blocks)
        share = distance / np.float32(self._truncation_m)
        for name, values in (("tsdf", share), ("weight", weights), ("color", colour)):
            self._attribute(name)[touched] = torch.from_numpy(values.reshape(len(keys), -1)).to(
                touched.device
            )

    def _make_room(self, blocks: Any) -> None:
        """Let the table grow so that the blocks fit, or refuse before anything has changed."""
        hashmap = self._grid.hashmap()
        known = int(hashmap.find(blocks)[1].cpu().numpy().sum()) if len(blocks) else 0
        needed = self.blocks + len(blocks) - known
        if needed > self.config.most_blocks:
            raise MapFullError(
                f"the map needs {needed * BLOCK_BYTES / 1e6:.0f} MB after {self.frames} frames, but may take "
                f"{self.config.memory_mb:g} MB: use larger voxels than {self.config.voxel_m:g} m, a "
                f"shorter range than {self.config.max_range_m:g} m, or allow more memory"
            )
        if needed > hashmap.capacity():
            hashmap.reserve(min(max(2 * hashmap.capacity(), needed), self.config.most_blocks))

    def _surface_blocks(self, depth: NDArray[np.float32], matrix: Any, extrinsic: Any) -> Any:
        """The blocks within truncation of what a depth map shows; Open3D fails on none.

        Its own choice from a depth map, along every fourth pixel's ray, leaves gaps where blocks are small.
        """
        if not ((depth > 0) & (depth < self.config.max_range_m))[::PIXEL_STRIDE, ::PIXEL_STRIDE].any():
            return self._tensor(np.zeros((0, 3), np.int32))
        cloud = self._o3d.t.geometry.PointCloud.create_from_depth_image(
            self._image(depth), matrix, extrinsic, 1.0, self.config.max_range_m, PIXEL_STRIDE
        )
        return self._grid.compute_unique_block_coordinates(cloud, float(self.config.truncation_voxels))

    def _blocks_in_front(
        self, camera: Intrinsics, T_map_camera: NDArray[np.float64], farthest_m: float
    ) -> NDArray[np.int32]:
        """The blocks in use (N, 3) that the camera may see into."""
        keys = self._keys(self._active())
        margin = self._half_diagonal_m
        x, y, z = self._in_camera(keys, T_map_camera).T
        reach = min(farthest_m, self.config.max_range_m)
        seen = (z > -margin) & (z < reach + margin)
        for across, focal, middle, size in (
            (x, camera.fx, camera.cx, camera.width),
            (y, camera.fy, camera.cy, camera.height),
        ):
            for slope, sign in (((-0.5 - middle) / focal, 1), ((size - 0.5 - middle) / focal, -1)):
                seen &= sign * (across - slope * z) > -margin * math.hypot(1, slope)
        return keys[seen]

    def _in_camera(self, keys: NDArray[np.int32], T_map_camera: NDArray[np.float64]) -> NDArray[np.float64]:
        """Centres (N, 3) of blocks in the camera's frame, metres."""
        centre = (keys + 0.5) * self.config.block_m
        return np.asarray((centre - T_map_camera[:3, 3]) @ T_map_camera[:3, :3])

    def _scale_weights(self, blocks: Any, factor: float) -> None:
        """Open3D adds 1 to the weight of what it sees: in units of another weight, that is any weight."""
        if factor != 1:
            touched = self._rows(blocks)
            self._weights()[touched] = self._weights()[touched] * factor

    def _rows(self, blocks: Any) -> torch.Tensor:
        index, _ = self._grid.hashmap().find(blocks)
        return _shared(index).long()

    def _active(self) -> torch.Tensor:
        return _shared(self._grid.hashmap().active_buf_indices()).long()

    def _keys(self, index: torch.Tensor) -> NDArray[np.int32]:
        return np.asarray(self._grid.hashmap().key_tensor().cpu().numpy()[index.cpu().numpy()])

    def _attribute(self, name: str) -> torch.Tensor:
        """All blocks' values (capacity, voxels x channels), sharing the map's memory."""
        values = self._grid.attribute(name)
        return _shared(values.reshape((values.shape[0], -1)))

    def _weights(self) -> torch.Tensor:
        return self._attribute("weight")

    def _tensor(self, values: NDArray[Any]) -> Any:
        return self._o3d.core.Tensor(np.ascontiguousarray(values), device=self._device)

    def _image(self, values: NDArray[np.float32]) -> Any:
        return self._o3d.t.geometry.Image(self._tensor(values))

    def _matrix(self, camera: Intrinsics) -> Any:
        """Open3D takes the whole part of a coordinate as the pixel: its centres lie half a pixel on."""
        matrix = camera.matrix
        matrix[:2, 2] += 0.5
        return self._o3d.core.Tensor(matrix)


def as_trimesh(mesh: Any) -> trimesh.Trimesh:
    """An Open3D tensor mesh as a trimesh object, colours included.

    Vertices and triangles are put in order, for Open3D gives the same ones in another order each time.
    """
    faces = mesh.triangle.indices.cpu().numpy() if "indices" in mesh.triangle else np.zeros((0, 3), int)
    if len(faces) == 0:
        return trimesh.Trimesh()
    vertices = mesh.vertex.positions.cpu().numpy()
    colours = np.clip(mesh.vertex.colors.cpu().numpy() * 255, 0, 255).astype(np.uint8)
    order = np.lexsort(vertices.T)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    faces = place[faces]
    first = faces.argmin(axis=1)[:, None]
    faces = np.take_along_axis(faces, (first + np.arange(3)) % 3, axis=1)
    faces = faces[np.lexsort(faces.T[::-1])]
    return trimesh.Trimesh(vertices[order], faces, vertex_colors=colours[order], process=False)


def _shared(tensor: Any) -> torch.Tensor:
    return torch.from_dlpack(tensor.to_dlpack())


def _check_depth(depth: NDArray[np.float32], camera: Intrinsics) -> None:
    if depth.shape != (camera.height, camera.width):
        raise ValueError(
            f"the depth map is {depth.shape[1]} x {depth.shape[0]} px, but the camera's images are "
            f"{camera.width} x {camera.height}: give the camera resized"
        )
    bad = ~np.isfinite(depth) | (depth < 0)
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} pixels of the depth map are negative or not a number: give 0 for none"
        )


def _layers(
    depth: NDArray[np.float32], weights: NDArray[np.float32] | None
) -> list[tuple[float, NDArray[np.float32]]]:
    """The depth map split by weight level, each with 0 where the pixels have another."""
    depth = np.ascontiguousarray(depth, dtype=np.float32)
    if weights is None:
        return [(1.0, depth)]
    if weights.shape != depth.shape or not (np.isfinite(weights) & (weights >= 0) & (weights <= 1)).all():
        raise ValueError(
            f"weights are {weights.shape}, but must be from 0 to 1, one for each of {depth.shape}"
        )
    layers, above = [], np.inf
    for level in WEIGHT_LEVELS:
        chosen = (weights >= level) & (weights < above)
        if chosen.any():
            layers.append((level, np.where(chosen, depth, np.float32(0))))
        above = level
    return layers

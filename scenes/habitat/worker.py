"""The worker process: Habitat-Sim behind a pipe. Stands alone: numpy, ``habitat_sim`` and Python 3.9.

It is started as ``python worker.py CHANNEL BLOCK PARENT``: the file descriptors of its end of a
socket and of the shared memory, and the process that it serves and ends with. A message is a JSON object
after four bytes of length. The first one says whether the simulator could be imported; then every request
``{"op": NAME, ...}`` gets one answer, ``{"ok": RESULT}`` or ``{"error": SENTENCE, "kind": KIND}``. Images
stay in the shared memory, see ``frame_views``; its first eight bytes count up while the worker is alive.

Everything is in Habitat's world: y up, cameras look along -z, poses are 4x4 matrices to the world.
"""

from __future__ import annotations

import base64
import json
import mmap
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

HEADER_BYTES = 64
BEAT_S = 0.1
_LENGTH = struct.Struct("!I")
MAX_MESSAGE_BYTES = 1 << 28


def send(channel: socket.socket, message: dict[str, Any]) -> None:
    """Send one message."""
    content = json.dumps(message).encode()
    channel.sendall(_LENGTH.pack(len(content)) + content)


def receive(channel: socket.socket) -> dict[str, Any]:
    """Wait for one message.

    Raises:
        EOFError: The other side is gone.
    """
    (length,) = _LENGTH.unpack(_read(channel, _LENGTH.size))
    if length > MAX_MESSAGE_BYTES:
        raise EOFError(f"a message of {length} bytes is none of this protocol")
    return json.loads(_read(channel, length))


def _read(channel: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = channel.recv(count - len(parts))
        if not part:
            raise EOFError("the other side closed the channel")
        parts += part
    return bytes(parts)


def frame_bytes(width: int, height: int, count: int) -> int:
    """Size of shared memory for ``count`` colour images and one depth image."""
    return HEADER_BYTES + width * height * 4 * (count + 1)


def frame_views(memory: Any, width: int, height: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours (``count``, H, W, 4) uint8 and depth (H, W) float32 in the shared memory, last row first."""
    pixels = width * height
    rgba = np.frombuffer(memory, np.uint8, pixels * 4 * count, HEADER_BYTES)
    depth = np.frombuffer(memory, np.float32, pixels, HEADER_BYTES + pixels * 4 * count)
    return rgba.reshape(count, height, width, 4), depth.reshape(height, width)


class Refusal(Exception):
    """A request that cannot be met, with the sentence for the user and the kind of error it is there."""

    def __init__(self, sentence: str, kind: str = "value") -> None:
        super().__init__(sentence)
        self.kind = kind


class HabitatSimulator:
    """One Habitat-Sim simulator; every public method is a request.

    Raises:
        Refusal: This interpreter has no usable ``habitat_sim``.
    """

    def __init__(self) -> None:
        for name in ("MAGNUM_LOG", "HABITAT_SIM_LOG"):
            os.environ.setdefault(name, "quiet")
        try:
            import habitat_sim
            import magnum
        except ImportError as error:
            raise Refusal(f"{sys.executable} cannot import habitat_sim ({error})", "import") from error
        self.habitat, self.magnum = habitat_sim, magnum
        self.version = str(habitat_sim.__version__)
        self._simulator: Any = None
        self._mediator: Any = None
        self._lit = False
        self._memory: Any = None
        self._navmeshes: dict[str, Any] = {}

    def map(self, memory: Any) -> None:
        """Use another piece of shared memory."""
        self._memory = memory

    def load(self, scene: str, dataset: str | None, z_up: bool, gpu: int) -> dict[str, Any]:
        """Load a mesh file, or a scene of a dataset by its name; tells what the scene is made of."""
        settings = self.habitat.SimulatorConfiguration()
        settings.gpu_device_id = gpu
        settings.load_semantic_mesh = False
        settings.enable_gfx_replay_save = True
        settings.scene_dataset_config_file = dataset or "default"
        mediator = self._mediator_for(settings, lit=dataset is not None)
        mediator.active_dataset = settings.scene_dataset_config_file
        if dataset is None:
            stages = mediator.stage_template_manager
            stage = stages.create_new_template(scene, False)
            stage.render_asset_handle = stage.collision_asset_handle = scene
            stage.orient_up = [0.0, 0.0, 1.0] if z_up else [0.0, 1.0, 0.0]
            stage.orient_front = [0.0, 1.0, 0.0] if z_up else [0.0, 0.0, -1.0]
            stage.force_flat_shading = True
            stages.register_template(stage, scene)
        else:
            scene = _known_scene(scene, mediator)
        settings.scene_id = scene
        # A colour sensor that nobody draws: without one, Habitat-Sim loads no textures.
        unused = self.habitat.CameraSensorSpec()
        unused.uuid, unused.resolution = "unused", [32, 32]
        unused.sensor_type = self.habitat.SensorType.COLOR
        agent = self.habitat.agent.AgentConfiguration()
        agent.sensor_specifications = [unused]
        self._navmeshes.clear()
        configuration = self.habitat.Configuration(settings, [agent], mediator)
        if self._simulator is None:
            self._simulator = self.habitat.Simulator(configuration)
        else:
            self._simulator.reconfigure(configuration)
        root = self._simulator.get_active_scene_graph().get_root_node()
        self._node = root.create_child()
        self._sensor: Any = None
        self._files: list[str] = []
        self._objects: list[Any] = []
        return {"parts": self._parts() if dataset is not None else []}

    def camera(self, width: int, height: int, hfov_deg: float, frames: int) -> None:
        """Set up the camera and the shared memory that ``render`` fills."""
        spec = self.habitat.CameraSensorSpec()
        spec.uuid, spec.resolution, spec.hfov = "eye", [height, width], hfov_deg
        spec.sensor_type = self.habitat.SensorType.DEPTH
        spec.position = [0.0, 0.0, 0.0]
        factory = self.habitat.sensor.SensorFactory
        if self._sensor is not None:
            factory.delete_sensor(self._sensor)
        self._sensor = factory.create_sensors(self._node, [spec])["eye"]
        # With a colour attachment, one pass draws colour and depth.
        renderer = self._simulator.renderer
        renderer.bind_render_target(self._sensor, self.habitat.gfx.Renderer.Flags.VISUALIZE_TEXTURE)
        rgba, depth = frame_views(self._memory, width, height, frames)
        image, pixel = self.magnum.MutableImageView2D, self.magnum.PixelFormat
        self._rgba = [image(pixel.RGBA8_UNORM, (width, height), f.reshape(height, -1)) for f in rgba]
        self._depth = image(pixel.R32F, (width, height), depth)

    def render(self, files: list[str], frames: list[dict[str, Any]]) -> None:
        """Draw ``frames``, each ``{"camera": pose, "objects": a pose for each of files, "slot": its image}``.

        The depth is kept of the frame that says ``"depth": True``.
        """
        if files != self._files:
            self._place(files)
        for frame in frames:
            self._node.transformation = self._matrix(frame["camera"])
            for thing, pose in zip(self._objects, frame["objects"]):
                thing.transformation = self._matrix(pose)
            self._simulator.renderer.draw(self._sensor, self._simulator)
            target = self._sensor.render_target
            if frame["slot"] is not None:
                target.read_frame_rgba(self._rgba[frame["slot"]])
            if frame["depth"]:
                target.read_frame_depth(self._depth)

    def time_renders(self, requests: list[dict[str, Any]], rounds: int) -> float:
        """Seconds that ``render`` takes for all of ``requests``, ``rounds`` times, without the pipe."""
        start = time.perf_counter()
        for _ in range(rounds):
            for request in requests:
                self.render(**request)
        return time.perf_counter() - start

    def time_observations(
        self, width: int, height: int, hfov_deg: float, poses: list[list[list[float]]], rounds: int
    ) -> float:
        """Seconds for a colour and a depth image from each of ``poses``, ``rounds`` times.

        They are made as by Habitat-Sim's own ``get_sensor_observations``: a sensor and a pass for each.
        """
        kinds = {"colour": self.habitat.SensorType.COLOR, "depth": self.habitat.SensorType.DEPTH}
        specs = []
        for name, kind in kinds.items():
            spec = self.habitat.CameraSensorSpec()
            spec.uuid, spec.resolution, spec.hfov = name, [height, width], hfov_deg
            spec.sensor_type, spec.position = kind, [0.0, 0.0, 0.0]
            specs.append(spec)
        factory, renderer = self.habitat.sensor.SensorFactory, self._simulator.renderer
        sensors = factory.create_sensors(self._node, specs)
        colour, depth = (sensors[name] for name in kinds)
        rgba, metres = np.empty((height, width, 4), np.uint8), np.empty((height, width), np.float32)
        image, pixel = self.magnum.MutableImageView2D, self.magnum.PixelFormat
        rgba_view = image(pixel.RGBA8_UNORM, (width, height), rgba.reshape(height, -1))
        depth_view = image(pixel.R32F, (width, height), metres)
        for sensor in (colour, depth):
            renderer.bind_render_target(sensor)
        start = time.perf_counter()
        for _ in range(rounds):
            for pose in poses:
                self._node.transformation = self._matrix(pose)
                renderer.draw(colour, self._simulator)
                renderer.draw(depth, self._simulator)
                colour.render_target.read_frame_rgba(rgba_view)
                depth.render_target.read_frame_depth(depth_view)
        seconds = time.perf_counter() - start
        for sensor in (colour, depth):
            factory.delete_sensor(sensor)
        return seconds

    def navmesh(self, name: str, settings: dict[str, Any], file: str | None) -> dict[str, Any]:
        """Compute a navigation mesh, or read it from ``file``; it is known as ``name`` from then on."""
        finder = self.habitat.PathFinder()
        if file is None or not (os.path.exists(file) and finder.load_nav_mesh(file)):
            wanted = self.habitat.NavMeshSettings()
            wanted.set_defaults()
            for key, value in settings.items():
                if hasattr(wanted, key):
                    setattr(wanted, key, value)
            if not self._simulator.recompute_navmesh(finder, wanted):
                raise Refusal("Habitat-Sim finds no floor on which this body can move")
            if file is not None:
                part = f"{file}.{os.getpid()}"
                if finder.save_nav_mesh(part):
                    os.replace(part, file)
        self._navmeshes[name] = finder
        return {"area_m2": finder.navigable_area}

    def snap(self, navmesh: str, points: list[list[float]]) -> list[list[float]]:
        """The nearest points of a navigation mesh; NaN where there is none near."""
        finder = self._navmeshes[navmesh]
        return [[float(x) for x in finder.snap_point(np.array(p, np.float32))] for p in points]

    def raster(self, navmesh: str, height_m: float, step_m: float, slack_m: float) -> dict[str, Any]:
        """Which places of a grid (rows along z, columns along x) are on a navigation mesh at a height.

        The grid starts at ``corner``, x and z; its bits come packed, in base64.
        """
        finder = self._navmeshes[navmesh]
        low, _ = finder.get_bounds()
        grid = np.asarray(finder.get_topdown_view(step_m, height_m, slack_m), bool)
        bits = base64.b64encode(np.packbits(grid).tobytes()).decode()
        return {"corner": [float(low[0]), float(low[2])], "shape": list(grid.shape), "bits": bits}

    def distances(self, navmesh: str, goal: list[float], points: list[list[float]]) -> list[float]:
        """Lengths of the ways that Habitat-Sim finds from points to a goal; ``inf`` where it finds none."""
        finder, path = self._navmeshes[navmesh], self.habitat.ShortestPath()
        path.requested_end = np.array(goal, np.float32)
        found = []
        for point in points:
            path.requested_start = np.array(point, np.float32)
            found.append(path.geodesic_distance if finder.find_path(path) else float("inf"))
        return found

    def close(self) -> None:
        """Release the simulator."""
        if self._simulator is not None:
            self._simulator.close()

    def _mediator_for(self, settings: Any, lit: bool) -> Any:
        """What knows the datasets; ``lit`` if their scenes may be lit.

        Without lights Habitat-Sim is to know no map of the surroundings: in software it takes 20 s to prepare
        one that flat surfaces do not use. It looks for the default in the working directory.
        """
        if self._mediator is None or (lit and not self._lit):
            self.close()
            self._simulator, self._lit = None, lit
            here = os.getcwd()
            if not lit:
                os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "unlit"))
            try:
                self._mediator = self.habitat.metadata.MetadataMediator(settings)
            finally:
                os.chdir(here)
        return self._mediator

    def _place(self, files: list[str]) -> None:
        objects = self._simulator.get_rigid_object_manager()
        templates = self._simulator.get_object_template_manager()
        for thing in self._objects:
            objects.remove_object_by_id(thing.object_id)
        self._objects = []
        for file in files:
            if not templates.get_library_has_handle(file):
                template = templates.create_new_template(file, False)
                template.render_asset_handle = template.collision_asset_handle = file
                template.compute_COM_from_shape, template.com = False, [0.0, 0.0, 0.0]
                template.orient_up, template.orient_front = [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]
                template.is_collidable, template.force_flat_shading = False, True
                template.shader_type = "flat"
                templates.register_template(template, file)
            thing = objects.add_object_by_template_handle(file, light_setup_key=self.habitat.gfx.NO_LIGHT_KEY)
            if thing is None:
                raise Refusal(f"Habitat-Sim cannot load {file} as an object")
            thing.motion_type = self.habitat.physics.MotionType.KINEMATIC
            self._objects.append(thing)
        self._files = list(files)

    def _parts(self) -> list[dict[str, Any]]:
        """What a dataset's scene is made of: mesh files with their poses and scales."""
        replay = self._simulator.gfx_replay_manager
        replay.save_keyframe()
        keyframe = json.loads(replay.write_saved_keyframes_to_string())["keyframes"][-1]
        poses = {u["instanceKey"]: u["state"]["absTransform"] for u in keyframe["stateUpdates"]}
        frames = {load["filepath"]: load["frame"] for load in keyframe["loads"]}
        gone = keyframe.get("deletions", [])
        return [
            {
                **made["creation"],
                "pose": poses[made["instanceKey"]],
                "frame": frames.get(made["creation"]["filepath"]),
            }
            for made in keyframe["creations"]
            if made["instanceKey"] not in gone
        ]

    def _matrix(self, pose: list[list[float]]) -> Any:
        return self.magnum.Matrix4(list(zip(*pose)))


def _known_scene(scene: str, mediator: Any) -> str:
    """The full name of a dataset's scene."""
    stages = mediator.stage_template_manager.get_template_handles()
    handles = sorted({*mediator.get_scene_handles(), *stages} - {"NONE"})
    found = [h for h in handles if h == scene or os.path.basename(h).split(".")[0] == scene]
    if found:
        return found[0]
    names = [os.path.basename(h).split(".")[0] for h in handles]
    some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    raise Refusal(
        f"the dataset has no scene {scene!r}" + (f": it has {some}" if some else " and none at all")
    )


def serve(make_simulator: Callable[[], Any]) -> None:
    """Answer requests until the parent is gone; see the top of the file."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    block, parent = int(sys.argv[2]), int(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    memory = mmap.mmap(block, 0)
    threading.Thread(target=_beat, args=(mmap.mmap(block, HEADER_BYTES), parent), daemon=True).start()
    try:
        simulator = make_simulator()
    except Refusal as refusal:
        send(channel, {"error": str(refusal), "kind": refusal.kind})
        return
    simulator.map(memory)
    send(channel, {"ok": {"version": simulator.version, "python": sys.version.split()[0]}})
    while True:
        try:
            request = receive(channel)
        except (EOFError, OSError):
            return
        name = request.pop("op")
        try:
            if name == "map":
                memory = mmap.mmap(block, 0)
                simulator.map(memory)
                answer: dict[str, Any] = {"ok": None}
            else:
                answer = {"ok": getattr(simulator, name)(**request)}
        except Refusal as refusal:
            answer = {"error": str(refusal), "kind": refusal.kind}
        except Exception as error:  # whatever the simulator throws is the parent's to raise
            answer = {"error": f"{name}: {type(error).__name__}: {error}", "kind": "runtime"}
        try:
            send(channel, answer)
        except OSError:
            return
        if name == "close":
            return


def _beat(header: mmap.mmap, parent: int) -> None:
    """Count up for as long as the parent lives; without it, end the process."""
    count = np.frombuffer(header, np.uint64, 1)
    while os.getppid() == parent:
        count[0] += 1
        time.sleep(BEAT_S)
    os._exit(1)


if __name__ == "__main__":
    serve(HabitatSimulator)

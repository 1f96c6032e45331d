"""Generated indoor scenes: furnished flats and cluttered halls with baked light."""

from asyncmde_sim.scenes.generate.scene import KINDS, VERSION, GeneratedScene, generate_scene

__all__ = ["KINDS", "VERSION", "GeneratedScene", "generate_scene"]

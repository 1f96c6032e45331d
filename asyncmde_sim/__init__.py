"""Closed-loop evaluation of asynchronous monocular depth.

Importing this package registers the Gymnasium environments, so
``gymnasium.make("asyncmde_sim:ExtremeMotion-v0")`` works without another import.
"""

from asyncmde_sim.envs.registration import register_environments

__version__ = "0.1.0"

register_environments()

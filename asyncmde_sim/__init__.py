"""Closed-loop evaluation of asynchronous monocular depth.

Importing this package registers the Gymnasium environments, so
``gymnasium.make("asyncmde_sim:ExtremeMotion-v0")`` works without another import. A device that only computes
depth has no Gymnasium, and nothing to register.
"""

from importlib.util import find_spec

__version__ = "0.1.0"

if find_spec("gymnasium") is not None:
    from asyncmde_sim.envs.registration import register_environments

    register_environments()

"""Time: latency profiles, refresh policies and the depth sources that an agent can be given."""

from asyncmde_sim.runtime.latency import (
    LatencyDistribution,
    LatencyProfile,
    builtin_profiles,
    load_profile,
)
from asyncmde_sim.runtime.refresh import parse_refresh
from asyncmde_sim.runtime.registry import SOURCE_NAMES, make_source
from asyncmde_sim.runtime.types import DepthSource, Estimate, Frame, SourceCounts

__all__ = [
    "SOURCE_NAMES",
    "DepthSource",
    "Estimate",
    "Frame",
    "LatencyDistribution",
    "LatencyProfile",
    "SourceCounts",
    "builtin_profiles",
    "load_profile",
    "make_source",
    "parse_refresh",
]

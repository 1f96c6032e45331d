"""Hardware in the loop: the camera's frames go to a device, which runs both paths and sends its depth back.

``server`` runs on the device, ``remote`` is the depth source on the host, ``device.proto`` what they say to
each other. Neither reads the other's clock without saying how wrong that may be (``clock``), and both count
how every frame ended (``accounts``).
"""

PROTOCOL = 1
"""Both sides must speak the same."""

SESSION = "/asyncmde_sim.hil.Depth/Session"
"""The method of the one stream."""

SERVICE = "asyncmde_sim.hil.Depth"

PORT = 50151

MAX_IN_FLIGHT = 4
"""Frames that a device takes before it has answered the first."""

MAX_MESSAGE_BYTES = 32 * 2**20
"""Bound on a message: depth of 2048 x 2048 pixels takes half of it."""

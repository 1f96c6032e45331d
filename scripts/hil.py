"""Depth on a device: serve it, check a device, make a lab's certificates.

Examples:

    python scripts/hil.py serve                                             # this machine is the device
    python scripts/hil.py check hil://127.0.0.1:50151                       # what a device is worth
    python scripts/hil.py certificate --out lab --names jetson.local        # for --certificates
    python scripts/rollout.py --depth hil://127.0.0.1:50151                 # the simulation waits for it
    python scripts/rollout.py --depth hil://127.0.0.1:50151 --clock wall    # the simulation runs in real time
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from asyncmde_sim.evaluation.command_line import REFUSED, sentence

try:
    from asyncmde_sim.hil.server import ServerConfig, serve
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] not in ("grpc", "grpc_health", "google"):
        raise
    sys.exit("this needs gRPC: pip install 'asyncmde-sim[hil]', on a device 'asyncmde-sim[device]'")


@dataclass(frozen=True)
class Serve(ServerConfig):
    __doc__ = ServerConfig.__doc__

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        serve(self)


@dataclass(frozen=True)
class Certificate:
    """Make an authority and certificates for a device and a host.

    Args:
        out: Folder for them; all of it is secret but the .crt files.
        names: The device's host names and IP addresses, as the host calls it.
        days: How long they are valid.
    """

    out: Path
    names: tuple[str, ...] = ("localhost", "127.0.0.1")
    days: int = 365

    def run(self) -> None:
        """Make them."""
        from asyncmde_sim.hil.certificates import make_certificates

        make_certificates(self.out, self.names, self.days)
        print(f"written to {self.out}: copy authority.crt, device.crt and device.key to the device, and keep")
        print("authority.key here; the host needs authority.crt, host.crt and host.key")


COMMANDS: dict[str, Callable[..., Any]] = {"serve": Serve, "certificate": Certificate}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script."""
    try:
        tyro.extras.subcommand_cli_from_dict(COMMANDS, args=arguments, description=__doc__).run()
    except (ValueError, OSError, ImportError) as error:
        if isinstance(error, ImportError) and error.name:
            raise
        print(sentence(error), file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())

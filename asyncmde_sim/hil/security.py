"""Who may talk to a device: a token that both sides know, or certificates of one lab's authority."""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc

TOKEN_FILE = Path("~/.config/asyncmde-sim/hil-token")
"""Where a token lies unless another file is named."""

TOKEN_HEADER = "authorization"


def read_token(path: Path | None) -> str:
    """The token in a file, None for the usual one.

    Raises:
        ValueError: There is none.
    """
    file = (path or TOKEN_FILE).expanduser()
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"the token file {file} cannot be read ({error}): copy it from the device, where 'serve' makes "
            "it, or name another file or a folder of certificates"
        ) from error
    if not token or not token.isascii() or any(c.isspace() for c in token):
        raise ValueError(f"the token file {file} must hold one word: make a new one with 'serve'")
    return token


def own_token(path: Path | None) -> str:
    """The token in a file, made if there is none; only its owner may read it."""
    file = (path or TOKEN_FILE).expanduser()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(secrets.token_urlsafe(32) + "\n")
    return read_token(path)


def token_metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """What a call carries."""
    return () if token is None else ((TOKEN_HEADER, f"Bearer {token}"),)


def token_matches(token: str, metadata: Iterable[tuple[str, Any]]) -> bool:
    """Whether a call carries the token; takes as long for a wrong one."""
    given = next((value for key, value in metadata if key == TOKEN_HEADER), "")
    return hmac.compare_digest(str(given).encode(), f"Bearer {token}".encode())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _read(folder: Path, *names: str) -> list[bytes]:
    try:
        return [(folder / name).read_bytes() for name in names]
    except OSError as error:
        raise ValueError(
            f"{folder} has no {Path(error.filename).name}: name a folder that 'python scripts/hil.py "
            "certificate' wrote"
        ) from error


def server_credentials(folder: Path) -> Any:
    """Credentials of the device, which lets in only who has a certificate of the same authority.

    Args:
        folder: With ``authority.crt``, ``device.crt`` and ``device.key``.

    Raises:
        ValueError: A file is missing.
    """
    authority, certificate, key = _read(folder, "authority.crt", "device.crt", "device.key")
    return grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)


def channel_credentials(folder: Path) -> Any:
    """Credentials of the host; the folder holds ``authority.crt``, ``host.crt`` and ``host.key``.

    Raises:
        ValueError: A file is missing.
    """
    authority, certificate, key = _read(folder, "authority.crt", "host.crt", "host.key")
    return grpc.ssl_channel_credentials(authority, key, certificate)

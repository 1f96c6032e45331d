"""Certificates for a lab: an authority of its own, one certificate for the device, one for the host."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILES = ("authority.crt", "authority.key", "device.crt", "device.key", "host.crt", "host.key")


def make_certificates(folder: Path, names: Sequence[str], days: int) -> None:
    """Write an authority and two certificates that it has signed, with elliptic keys (P-256).

    The device needs ``authority.crt device.crt device.key``, the host ``authority.crt host.crt host.key``;
    ``authority.key`` is needed by neither and signs new ones.

    Args:
        folder: Where to; made if it is not there.
        names: The device's host names and IP addresses, as the host will call it.
        days: How long they are valid.

    Raises:
        ModuleNotFoundError: cryptography is not installed.
        ValueError: A file is there already, there is no name, or the days are no good.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as error:
        raise ModuleNotFoundError(
            "certificates need the package cryptography: pip install 'asyncmde-sim[hil]'"
        ) from error
    if not names:
        raise ValueError("no name is given: name the device as the host will call it, such as jetson.local")
    if not 1 <= days <= 3650:
        raise ValueError(f"days is {days}, but it must lie between 1 and 3650")
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise ValueError(f"{folder} holds {there[0]} already: give another folder, or remove it")
    now = datetime.datetime.now(datetime.timezone.utc)

    def named(text: str) -> Any:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject: str, key: Any) -> Any:
        return (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named("asyncmde-sim lab authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=24))
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    def alternative(name: str) -> Any:
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    def write(name: str, key: Any, certificate: Any) -> None:
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        handle = os.open(folder / f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(private)
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(pem))

    folder.mkdir(parents=True, exist_ok=True)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = builder("asyncmde-sim lab authority", authority_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    write("authority", authority_key, authority.sign(authority_key, hashes.SHA256()))
    usages = {"device": ExtendedKeyUsageOID.SERVER_AUTH, "host": ExtendedKeyUsageOID.CLIENT_AUTH}
    for role, usage in usages.items():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            builder(f"asyncmde-sim {role}", key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if role == "device":
            alternatives = x509.SubjectAlternativeName([alternative(name) for name in names])
            certificate = certificate.add_extension(alternatives, critical=False)
        write(role, key, certificate.sign(authority_key, hashes.SHA256()))

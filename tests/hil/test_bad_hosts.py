"""Hosts that do not match, talk nonsense or may not come in are refused, and a device serves the others."""

from __future__ import annotations

import threading
import time

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from asyncmde_sim.hil import MAX_IN_FLIGHT, PROTOCOL, SERVICE, SESSION
from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.certificates import make_certificates
from asyncmde_sim.hil.link import Address, DeviceError
from asyncmde_sim.hil.messages import encode_image
from asyncmde_sim.hil.session import Limits


def hello(**changes):
    from asyncmde_sim import __version__

    fields = {
        "protocol": PROTOCOL,
        "version": __version__,
        "mode": pb.REAL_TIME,
        "image_encoding": pb.RAW,
        "depth_encoding": pb.RAW,
    }
    return pb.ToDevice(hello=pb.Hello(**{**fields, **changes}))


def call(device, messages, token=None, timeout=15):
    """A raw session: what came, and the status."""
    address = device.address if token is None else Address(device.address.target, token=token)
    channel = address.channel()
    stream = channel.stream_stream(
        SESSION, request_serializer=pb.ToDevice.SerializeToString, response_deserializer=pb.ToHost.FromString
    )
    came = stream(messages, metadata=address.metadata(), timeout=timeout)
    got = []
    try:
        got.extend(came)
        return got, came.code(), came.details()
    except grpc.RpcError as error:
        return got, error.code(), error.details()
    finally:
        channel.close()


def image_message(number, side=8, **changes):
    array = encode_image(np.zeros((side, side, 3), np.uint8), pb.RAW)
    return pb.ToDevice(frame=pb.Frame(**{"id": number, "image": array, **changes}))


CONFLICTS = {
    "protocol": (hello(protocol=99), "FAILED_PRECONDITION", "install the same version"),
    "version": (hello(version="9.9.9"), "FAILED_PRECONDITION", "install the same version on both"),
    "mode": (hello(mode=pb.MODE_UNSPECIFIED), "FAILED_PRECONDITION", "real time or lockstep"),
    "images": (hello(image_encoding=pb.PNG16), "FAILED_PRECONDITION", "raw or jpeg"),
    "depth": (hello(depth_encoding=pb.JPEG), "FAILED_PRECONDITION", "raw or png16"),
    "weights": (hello(weights="others"), "FAILED_PRECONDITION", "serve the others"),
    "no hello": (image_message(1), "INVALID_ARGUMENT", "must be a hello"),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_who_does_not_match_is_refused_in_one_sentence(case, make_engines, make_device):
    message, status, hint = CONFLICTS[case]
    _, code, details = call(make_device(make_engines()), iter([message]))
    assert code.name == status and hint in details and "\n" not in details


BAD_MESSAGES = {
    "twice": ([image_message(1), image_message(1)], "numbers must grow"),
    "bytes": (
        [pb.ToDevice(frame=pb.Frame(id=1, image=pb.Array(dtype="uint8", shape=[8, 8, 3])))],
        "dimensions",
    ),
    "short": (
        [pb.ToDevice(frame=pb.Frame(id=1, image=pb.Array(dtype="uint8", shape=[8, 8, 3], encoding=pb.RAW)))],
        "came with 0 bytes",
    ),
    "second hello": ([hello()], "came unasked"),
    "empty": ([pb.ToDevice()], "came unasked"),
}


@pytest.mark.parametrize("case", BAD_MESSAGES)
def test_a_message_that_makes_no_sense_ends_its_session_alone(
    case, make_engines, make_device, real_time, deliver, settled
):
    messages, hint = BAD_MESSAGES[case]
    device = make_device(make_engines())
    other = real_time(device.address)
    got, code, details = call(device, iter([hello(), *messages]))
    assert got[0].HasField("welcome")
    assert (code is grpc.StatusCode.INVALID_ARGUMENT and hint in details) or case == "bytes"
    deliver(other, 1)
    assert settled(other).lost == 0


def test_more_frames_than_allowed_are_refused(make_engines, make_device):
    device = make_device(make_engines(sleep_s=0.5))
    _, code, details = call(
        device,
        iter(
            [
                hello(mode=pb.LOCKSTEP),
                *(image_message(n, run=pb.RunRequest(path=pb.SLOW)) for n in range(1, MAX_IN_FLIGHT + 3)),
            ]
        ),
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT and "in flight" in details


def test_an_oversize_frame_is_refused(make_engines, make_device):
    device = make_device(make_engines())
    huge = pb.Array(dtype="uint8", shape=[2048, 2048, 3], encoding=pb.RAW, data=bytes(33 * 2**20))
    message = pb.ToDevice(frame=pb.Frame(id=1, image=huge))
    channel = grpc.insecure_channel(device.address.target, [("grpc.max_send_message_length", -1)])
    stream = channel.stream_stream(
        SESSION, request_serializer=pb.ToDevice.SerializeToString, response_deserializer=pb.ToHost.FromString
    )
    came = stream(iter([hello(), message]), metadata=device.address.metadata(), timeout=15)
    with pytest.raises(grpc.RpcError) as raised:
        list(came)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    channel.close()
    got, code, _ = call(device, iter([hello(), pb.ToDevice(goodbye=pb.Goodbye())]))
    assert code is grpc.StatusCode.OK and got[-1].HasField("accounts")


def test_a_client_that_never_reads_is_let_go(big_engines, make_device, until):
    device = make_device(big_engines(), Limits(stall_s=1.0))
    ended = threading.Event()
    image = encode_image(np.zeros((1024, 1024, 3), np.uint8), pb.RAW)

    def messages():
        yield hello()
        number = 0
        while not ended.wait(0.02):
            number += 1
            yield pb.ToDevice(frame=pb.Frame(id=number, image=image))

    channel = device.address.channel()
    stream = channel.stream_stream(
        SESSION, request_serializer=pb.ToDevice.SerializeToString, response_deserializer=bytes
    )
    came = stream(messages(), metadata=device.address.metadata())
    until(lambda: device.server.sessions)
    (session,) = device.server.sessions
    until(lambda: not device.server.sessions)
    assert session.totals.open == 0 and session.totals.opened < 40
    ended.set()
    came.cancel()
    channel.close()


def test_a_wrong_token_is_refused_and_the_health_check_needs_none(
    make_engines, make_device, tmp_path, real_time
):
    device = make_device(make_engines())
    wrong = tmp_path / "wrong"
    wrong.write_text("guess")
    _, code, details = call(device, iter([hello()]), token=wrong)
    assert code is grpc.StatusCode.UNAUTHENTICATED and "token" in details
    start = time.monotonic()
    with pytest.raises(DeviceError, match="refuses: the token is missing or wrong"):
        real_time(Address(device.address.target, token=wrong))
    assert time.monotonic() - start < 5
    with grpc.insecure_channel(device.address.target) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_certificates_let_in_their_own_lab_alone(
    make_engines, make_device, real_time, tmp_path, deliver, settled
):
    for lab in ("ours", "theirs"):
        make_certificates(tmp_path / lab, ["127.0.0.1"], 1)
    device = make_device(make_engines(), certificates=tmp_path / "ours")
    source = real_time(device.address)
    deliver(source, 1)
    settled(source)
    token = device.address.token
    for folder in (tmp_path / "theirs", None):
        with pytest.raises(DeviceError, match="no depth device answers"):
            real_time(Address(device.address.target, folder, token))

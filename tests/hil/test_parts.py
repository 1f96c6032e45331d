"""The parts that need no connection: messages, accounts, clocks, addresses, security, telemetry."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.accounts import FrameAccounts, Totals
from asyncmde_sim.hil.certificates import FILES, make_certificates
from asyncmde_sim.hil.clock import MAX_DRIFT_PPM, ClockEstimate, PingSample, fit_clock
from asyncmde_sim.hil.generate import PROTO, generate
from asyncmde_sim.hil.messages import decode_depth, decode_image, encode_depth, encode_image
from asyncmde_sim.hil.remote import parse_url
from asyncmde_sim.hil.security import is_loopback, own_token, read_token, token_matches, token_metadata
from asyncmde_sim.hil.server import ServerConfig
from asyncmde_sim.hil.telemetry import Telemetry, jetson_values
from asyncmde_sim.runtime import make_source
from asyncmde_sim.runtime.trace import Fate

ROOT = Path(__file__).parents[2]


def test_the_generated_messages_match_their_definition():
    for name, content in generate(ROOT).items():
        assert ((ROOT / PROTO).parent / name).read_bytes() == content, (
            "run: python -m asyncmde_sim.hil.generate"
        )


def test_raw_images_and_depth_come_back_to_the_bit():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (37, 53, 3), dtype=np.uint8)
    assert np.array_equal(decode_image(encode_image(image, pb.RAW)), image)
    depth = rng.uniform(0, 20, (37, 53)).astype(np.float32)
    depth[0, :3] = 0, np.inf, np.nan
    assert decode_depth(encode_depth(depth, pb.RAW)).tobytes() == depth.tobytes()


def test_jpeg_is_near_and_png_exact_to_half_a_millimetre():
    rows, columns = np.mgrid[:48, :64]
    image = np.stack([4 * columns, 4 * rows, 2 * (rows + columns)], -1).astype(np.uint8)
    sent = encode_image(image, pb.JPEG)
    assert len(sent.data) < image.nbytes / 2
    assert np.abs(decode_image(sent).astype(int) - image).mean() < 4
    depth = np.random.default_rng(0).uniform(0, 30, (48, 64)).astype(np.float32)
    depth[0, :3] = 70.0, np.inf, np.nan
    got = decode_depth(encode_depth(depth, pb.PNG16))
    assert got.dtype == np.float32 and np.abs(got[1:] - depth[1:]).max() <= 0.0005 + 1e-6
    assert got[0, :3].tolist() == pytest.approx([65.535, 65.535, 0.0])


BAD_ARRAYS = {
    "short": ({"data": b"12"}, "came with 2 bytes, but needs 27"),
    "huge": ({"shape": [2**31, 2**31, 3]}, "between 2 and 2048"),
    "flat": ({"shape": [3, 9]}, "3 dimensions"),
    "type": ({"dtype": "object"}, "uint8 are needed"),
    "channels": ({"shape": [3, 3, 4], "data": bytes(36)}, "4 channels"),
    "encoding": ({"encoding": 17}, "use raw or jpeg"),
    "not for images": ({"encoding": pb.PNG16}, "use raw or jpeg"),
    "no picture": ({"encoding": pb.JPEG}, "cannot be decoded"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_a_bad_image_is_refused_in_one_sentence(case):
    changes, hint = BAD_ARRAYS[case]
    good = {"dtype": "uint8", "shape": [3, 3, 3], "encoding": pb.RAW, "data": bytes(27)}
    with pytest.raises(ValueError, match=hint):
        decode_image(pb.Array(**{**good, **changes}))


def test_a_picture_of_another_size_than_it_says_is_refused():
    message = encode_image(np.zeros((32, 32, 3), np.uint8), pb.JPEG)
    message.shape[0] = 16
    with pytest.raises(ValueError, match="was sent as one of"):
        decode_image(message)


# Accounts.


def test_every_frame_ends_once_whatever_happens():
    rng = np.random.default_rng(0)
    for _ in range(200):
        accounts, now, number = FrameAccounts(deadline_ns=50), 0, 0
        fates = []
        for _ in range(rng.integers(1, 60)):
            now += int(rng.integers(1, 40))
            what = rng.integers(5)
            if what <= 1:
                number += 1
                accounts.begin(number, now)
            elif what == 2 and number:
                fates.append(accounts.answer(int(rng.integers(1, number + 1)), now, bool(rng.integers(2))))
            elif what == 3 and accounts.open:
                fates.append(accounts.answer(accounts.open[-1], now))
            elif rng.integers(8) == 0:
                accounts.restart()
                number = 0
            totals = accounts.totals
            assert accounts.in_flight <= totals.open == len(accounts.open)
        totals = accounts.totals
        assert totals.strays == fates.count(None)
        assert totals.opened == totals.delivered + totals.superseded + totals.late + totals.lost + totals.open


def test_what_late_and_superseded_mean():
    accounts = FrameAccounts(deadline_ns=100)
    for number in range(1, 6):
        accounts.begin(number, 0)
    assert accounts.answer(2, 50) is Fate.DELIVERED
    assert accounts.answer(1, 60) is Fate.LATE, "a newer frame's answer came first"
    assert accounts.answer(3, 60, superseded=True) is Fate.SUPERSEDED
    assert accounts.answer(3, 60) is None, "a duplicate"
    accounts.expire(101)
    assert accounts.in_flight == 0 and accounts.open == [4, 5]
    assert accounts.answer(4, 101) is Fate.LATE, "its deadline has passed"
    accounts.lose([5])
    assert accounts.totals == Totals(opened=5, delivered=1, superseded=1, late=2, lost=1, strays=1)
    with pytest.raises(ValueError, match="numbers must grow"):
        accounts.begin(5, 0)
    with pytest.raises(ValueError, match="do not add up"):
        dataclasses.replace(accounts.totals, lost=0)


# Clocks.


def pings(rng, count, offset_ns, drift, jitter_ns, asymmetry=0.5, every_ns=250_000_000):
    """Pings over a way whose two halves take different times, to a clock with an offset and a drift."""
    samples = []
    for index in range(count):
        t0 = 10**12 + index * every_ns
        there, back = rng.exponential(jitter_ns, 2) * [2 * asymmetry, 2 - 2 * asymmetry] + 50_000
        t1 = t0 + there + offset_ns + drift * (t0 + there - 10**12)
        t2 = t1 + 30_000
        t3 = t0 + there + 30_000 + back
        samples.append(PingSample.of(t0, round(t1), round(t2), round(t3)))
    return samples


@pytest.mark.parametrize("asymmetry", [0.5, 0.05, 0.95])
@pytest.mark.parametrize("drift_ppm", [0.0, 35.0, -180.0])
@pytest.mark.parametrize("count", [1, 2, 7, 400])
def test_the_true_offset_lies_within_the_bound(count, drift_ppm, asymmetry):
    rng = np.random.default_rng(count)
    for _ in range(20):
        offset = float(rng.uniform(-1e15, 1e15))
        fit = fit_clock(pings(rng, count, offset, drift_ppm * 1e-6, 2e6, asymmetry))
        for at in (fit.since_ns, fit.until_ns, fit.until_ns + 10**9, fit.since_ns - 10**8):
            true = at + offset + drift_ppm * 1e-6 * (at - 10**12)
            assert abs(fit.here(round(true)) - at) <= fit.error_ns(at) + 1_000


def test_many_pings_beat_one_and_drift_is_found():
    rng = np.random.default_rng(1)
    samples = pings(rng, 400, 3e9, 50e-6, 2e6)
    fit = fit_clock(samples)
    assert fit.error_ns(samples[200].at_ns) < np.median([s.error_ns for s in samples])
    assert abs(fit.drift_ppm - 50) < 5
    assert abs(fit.drift_ppm) <= MAX_DRIFT_PPM


def test_old_pings_are_forgotten_and_nonsense_is_refused():
    estimate = ClockEstimate()
    assert estimate.fit is None
    for sample in pings(np.random.default_rng(0), 1000, 0.0, 0.0, 1e5):
        estimate.add(sample)
    assert estimate.fit.until_ns - estimate.fit.since_ns <= 120 * 10**9
    with pytest.raises(ValueError, match="not those of a ping"):
        PingSample.of(10, 0, 5, 9)
    with pytest.raises(ValueError, match="no ping"):
        fit_clock([])


# Addresses, tokens, certificates.


def test_addresses():
    address, options = parse_url("hil://jetson.local:1234?token=/t&image=jpeg&depth=png16", 0.5, "runs/mine")
    assert (address.target, address.token) == ("jetson.local:1234", Path("/t"))
    assert (options.image_encoding, options.depth_encoding) == (pb.JPEG, pb.PNG16)
    assert (options.focal, options.weights) == (0.5, "mine")
    assert parse_url("hil://[::1]")[0].target == "[::1]:50151"


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("hil://", "no address"),
        ("hil://a:99999", "names no port"),
        ("hil://a/b", "no address"),
        ("hil://a?speed=1", "unknown option 'speed'"),
        ("hil://a?image=bmp", "an encoding that there is not"),
    ],
)
def test_a_bad_address_is_refused(url, hint):
    with pytest.raises(ValueError, match=hint):
        make_source(url)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"engine": "torch"}, "has its own"),
        ({"clock": "wall", "device": "orin-trt"}, "takes the time that it takes"),
        ({"clock": "wall", "refresh": "every-3"}, "whenever it is free"),
        ({"clock": "wall", "latency_ms": 5.0}, "leave it out"),
        ({"clock": "sundial"}, "simulated, wall"),
        ({"device": "abacus"}, "orin-trt"),
        ({"align": "floor"}, "no relative depth"),
    ],
)
def test_options_that_do_not_go_with_a_device_are_refused(options, hint):
    with pytest.raises(ValueError, match=hint):
        make_source("hil://127.0.0.1", **options)


def test_a_token_is_made_once_for_its_owner_alone(tmp_path):
    file = tmp_path / "deep" / "token"
    token = own_token(file)
    assert own_token(file) == read_token(file) == token and len(token) > 30
    assert file.stat().st_mode & 0o077 == 0
    assert token_matches(token, token_metadata(token))
    assert not token_matches(token, token_metadata(token[:-1]))
    assert not token_matches(token, ())
    with pytest.raises(ValueError, match="cannot be read"):
        read_token(tmp_path / "nowhere")
    file.write_text("two words")
    with pytest.raises(ValueError, match="one word"):
        read_token(file)


def test_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "::1", "[::1]", "localhost", "127.3.2.1")))
    assert not any(map(is_loopback, ("0.0.0.0", "10.0.0.1", "jetson.local", "::")))


def test_certificates_are_made_once_and_keys_are_private(tmp_path):
    make_certificates(tmp_path / "lab", ["127.0.0.1", "jetson.local"], 30)
    assert {path.name for path in (tmp_path / "lab").iterdir()} == set(FILES)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "lab").glob("*.key"))
    with pytest.raises(ValueError, match="already"):
        make_certificates(tmp_path / "lab", ["127.0.0.1"], 30)
    with pytest.raises(ValueError, match="no name"):
        make_certificates(tmp_path / "other", [], 30)
    with pytest.raises(ValueError, match="between 1 and 3650"):
        make_certificates(tmp_path / "other", ["a"], 0)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"port": 70000}, "between 0 and 65535"),
        ({"sessions": 0}, "at least 1"),
        ({"engine": "abacus"}, "unknown engine"),
        ({"host": ""}, "127.0.0.1"),
    ],
)
def test_bad_options_of_a_server_are_refused(options, hint):
    with pytest.raises(ValueError, match=hint):
        ServerConfig(**options)


# Telemetry.


class StandInJetson:
    """The attributes of jetson-stats 4 that are read; made up, no Jetson was at hand."""

    gpu = types.MappingProxyType({"gpu": {"status": {"load": 41.5}, "freq": {"cur": 612000}}})
    cpu = types.MappingProxyType(
        {
            "total": {"user": 20.0, "system": 5.0, "idle": 75.0},
            "cpu": [{"online": True, "freq": {"cur": 1_200_000}}, {"online": False}],
        }
    )
    temperature = types.MappingProxyType(
        {
            "CPU": {"temp": 48.5, "online": True},
            "SoC 2": {"temp": 47, "online": True},
            "cv0": {"online": False},
        }
    )
    power = types.MappingProxyType({"rail": {}, "tot": {"power": 12345}})
    closed = False

    def start(self):
        pass

    def close(self):
        self.closed = True


def test_telemetry_of_a_stand_in_for_jetson_stats(monkeypatch):
    module = types.ModuleType("jtop")
    module.jtop = StandInJetson
    monkeypatch.setitem(sys.modules, "jtop", module)
    telemetry = Telemetry()
    assert telemetry.source == "jetson-stats"
    assert telemetry.read() == pytest.approx(
        {
            "gpu_load_percent": 41.5,
            "gpu_clock_mhz": 612.0,
            "cpu_load_percent": 25.0,
            "cpu_clock_mhz": 1200.0,
            "temperature_cpu_c": 48.5,
            "temperature_soc_2_c": 47.0,
            "power_w": 12.345,
        }
    )
    telemetry.close()


def test_without_jetson_stats_or_with_a_broken_one_there_are_no_figures(monkeypatch):
    monkeypatch.setitem(sys.modules, "jtop", None)
    assert (Telemetry().source, Telemetry().read()) == ("", {})

    def broken():
        raise OSError("no service")

    module = types.ModuleType("jtop")
    module.jtop = broken
    monkeypatch.setitem(sys.modules, "jtop", module)
    assert Telemetry().source == ""
    empty = types.SimpleNamespace(gpu={}, cpu={}, temperature={}, power={})
    assert jetson_values(empty) == {}


# The thin install.

WITHOUT = ("torch", "gymnasium", "trimesh", "embreex", "scipy", "skfmm", "pyarrow", "rich", "tyro", "imageio")


def test_the_server_computes_depth_without_simulator_and_torch(tmp_path):
    code = f"""
import sys
for name in {WITHOUT!r}:
    sys.modules[name] = None
from pathlib import Path
from asyncmde_sim.hil.server import DeviceServer, ServerConfig
server = DeviceServer(ServerConfig(token=Path({str(tmp_path / "token")!r})))
server.warm_up()
assert not [name for name in {WITHOUT!r} if sys.modules.get(name)]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

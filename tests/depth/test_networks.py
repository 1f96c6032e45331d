"""The networks: parameter counts, torchvision's names, explicit state, Depth Anything's exact depth."""

import pytest
import torch

from asyncmde_sim.depth.decoder import DPTDecoder
from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory, count_parameters, initialise_decoder
from asyncmde_sim.depth.memory import MemoryState, resize
from asyncmde_sim.depth.mobilenet import MobileNetV3Small, load_torchvision_weights
from asyncmde_sim.depth.slow_path import ConvSlowPath, DepthAnythingSlowPath

SIZE = (64, 96)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(5, 1, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def slow() -> ConvSlowPath:
    torch.manual_seed(0)
    return ConvSlowPath().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def fast() -> FastPath:
    torch.manual_seed(1)
    return FastPath().eval().requires_grad_(False)


def test_parameter_counts_are_the_papers_within_one_percent(fast: FastPath) -> None:
    for part, millions in ((fast.encoder, 0.93), (fast.smu, 0.38), (fast.decoder, 2.52), (fast, 3.83)):
        assert count_parameters(part) == pytest.approx(millions * 1e6, rel=0.01)


def test_slow_path_backbone_has_20_to_30_million_parameters(slow: ConvSlowPath) -> None:
    assert 20e6 < count_parameters([slow.stem, slow.stages, slow.context]) < 30e6


def test_encoder_has_torchvisions_names_and_strides() -> None:
    encoder = MobileNetV3Small().eval()
    state = encoder.state_dict()
    for name, shape in {
        "features.0.0.weight": (16, 3, 3, 3),
        "features.1.block.1.fc1.weight": (8, 16, 1, 1),
        "features.4.block.0.0.weight": (96, 24, 1, 1),
        "features.11.block.3.1.running_var": (96,),
        "features.12.0.weight": (576, 96, 1, 1),
    }.items():
        assert tuple(state[name].shape) == shape
    with_classifier = {**state, "classifier.0.weight": torch.zeros(1024, 576)}
    load_torchvision_weights(encoder, with_classifier)
    with pytest.raises(RuntimeError, match="features"):
        load_torchvision_weights(encoder, {"features.0.0.weight": torch.zeros(1)})
    shapes = [tuple(f.shape[1:]) for f in encoder(torch.zeros(1, 3, 64, 96))]
    assert shapes == [(16, 16, 24), (24, 8, 12), (48, 4, 6), (576, 2, 3)]


def test_the_module_remembers_nothing(fast: FastPath, slow: ConvSlowPath, images: torch.Tensor) -> None:
    start = MemoryState(tuple(slow.features(images[0])))

    def run() -> list[torch.Tensor]:
        state, depths = start, []
        for image in images:
            depth, state, _ = fast(image, state)
            depths.append(depth)
        return depths

    for first, second in zip(run(), run(), strict=True):
        assert torch.equal(first, second)


def test_full_trust_keeps_the_memory_and_none_takes_the_new_view(
    slow: ConvSlowPath, images: torch.Tensor
) -> None:
    fast = FastPath().eval().requires_grad_(False)
    memory = MemoryState(tuple(slow.features(images[0])))
    for bias, expected in ((50.0, memory.memory), (-50.0, None)):
        for gate in (fast.smu.gate1, fast.smu.gate4):
            torch.nn.init.zeros_(gate[-1].weight)
            torch.nn.init.constant_(gate[-1].bias, bias)
        state, trust = fast.fuse(images[1], memory)
        wanted = expected or fast.smu.project(fast.encoder(images[1]), [m.shape[-2:] for m in memory.memory])
        assert torch.all(trust == (1.0 if bias > 0 else trust)) and trust.shape == (1, 1, 16, 24)
        for got, want in zip(state.memory, wanted, strict=True):
            torch.testing.assert_close(got, want)


def test_smoothing_each_level_equals_resizing_the_smoothed_map(
    fast: FastPath, slow: ConvSlowPath, images: torch.Tensor
) -> None:
    """T'_l(t) = b T_l(t) + (1 - b) T'_l(t - 1), computed level by level as the paper writes it."""
    memory = state = MemoryState(tuple(slow.features(images[0])))
    smoothed: list[torch.Tensor] | None = None
    for image in images:
        before = state
        state, trust = fast.fuse(image, state)
        levels = [resize(trust, m.shape[-2:]) for m in memory.memory]
        smoothed = (
            levels if smoothed is None else [0.5 * t + 0.5 * s for t, s in zip(levels, smoothed, strict=True)]
        )
        current = fast.smu.project(fast.encoder(image), [m.shape[-2:] for m in memory.memory])
        for keep, old, new, got in zip(smoothed, before.memory, current, state.memory, strict=True):
            torch.testing.assert_close(keep * old + (1 - keep) * new, got)


def test_a_refresh_overwrites_the_memory_alone(
    fast: FastPath, slow: ConvSlowPath, images: torch.Tensor
) -> None:
    _, state, _ = fast(images[1], MemoryState(tuple(slow.features(images[0]))))
    fresh = slow.features(images[2])
    refreshed = state.refreshed(fresh)
    assert all(torch.equal(a, b) for a, b in zip(refreshed.memory, fresh, strict=True))
    assert refreshed.trust is state.trust and refreshed.previous is state.previous


def test_memory_needs_four_levels() -> None:
    with pytest.raises(ValueError, match="3 levels, but 4"):
        MemoryState((torch.zeros(1),) * 3)


def test_depth_lies_between_zero_and_the_largest(
    fast: FastPath, slow: ConvSlowPath, images: torch.Tensor
) -> None:
    for depth in (slow(images[0]), FastPathWithoutMemory().eval()(images[0])):
        assert depth.shape == (1, *SIZE) and depth.min() >= 0 and depth.max() <= 20


@pytest.mark.parametrize("kind", ["metric", "relative"])
def test_levels_followed_by_decoding_are_depth_anythings_own_depth(kind: str, depth_anything) -> None:  # type: ignore[no-untyped-def]
    model = depth_anything(kind)
    ours = DepthAnythingSlowPath(model).eval()
    images = torch.randn(1, 3, 56, 84)
    with torch.no_grad():
        expected = model(images).predicted_depth
        levels = ours.features(images)
        assert torch.equal(ours.decoder(levels, (56, 84)), expected)
    assert expected.std() > 0
    decoder = DPTDecoder(ours.decoder.depth_type, ours.decoder.max_depth_m)
    initialise_decoder(decoder, ours.decoder)
    with torch.no_grad():
        assert torch.equal(decoder(levels, (56, 84)), expected)


def test_depth_anything_refuses_other_sizes(depth_anything) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"50x84.*multiples of 14"):
        DepthAnythingSlowPath(depth_anything("metric")).features(torch.zeros(1, 3, 50, 84))

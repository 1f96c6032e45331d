"""The losses: invariances that the paper states, and masks that hide what is not valid."""

import pytest
import torch

from asyncmde_sim.depth.losses import (
    asyncmde_loss,
    gradient_loss,
    log_depth_loss,
    memory_loss,
    obstacle_weights,
    scale_shift_invariant_loss,
)


@pytest.fixture
def maps() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    depth, true_depth = (1 + 5 * torch.rand(2, 32, 48, generator=generator) for _ in range(2))
    return depth, true_depth, torch.rand(2, 32, 48, generator=generator) > 0.2


def test_ssi_ignores_scale_and_shift_and_nothing_else(maps) -> None:  # type: ignore[no-untyped-def]
    depth, true_depth, valid = maps
    loss = scale_shift_invariant_loss(depth, true_depth, valid)
    torch.testing.assert_close(scale_shift_invariant_loss(3 * depth + 7, true_depth, valid), loss)
    assert scale_shift_invariant_loss(2 * depth + 1, depth, valid) < 1e-8 < loss


@pytest.mark.parametrize("loss", [scale_shift_invariant_loss, gradient_loss, log_depth_loss, asyncmde_loss])
def test_a_perfect_map_costs_nothing_and_hidden_pixels_do_not_count(loss, maps) -> None:  # type: ignore[no-untyped-def]
    depth, true_depth, valid = maps
    assert loss(depth, depth, valid) == pytest.approx(0, abs=1e-6)
    assert loss(depth, true_depth, valid) > 0.01
    elsewhere = torch.where(valid, true_depth, torch.full_like(true_depth, 13.0))
    torch.testing.assert_close(loss(depth, elsewhere, valid), loss(depth, true_depth, valid))


def test_gradient_loss_is_blind_to_shift_but_not_to_scale(maps) -> None:  # type: ignore[no-untyped-def]
    depth, _, _ = maps
    valid = torch.ones_like(depth, dtype=torch.bool)
    assert gradient_loss(depth + 3, depth, valid) < 1e-5 < gradient_loss(2 * depth, depth, valid)


def test_log_depth_loss_is_the_log_of_a_constant_factor(maps) -> None:  # type: ignore[no-untyped-def]
    depth, _, valid = maps
    torch.testing.assert_close(log_depth_loss(2 * depth, depth, valid), torch.tensor(2.0).log())


def test_what_stands_out_counts_more_than_what_it_stands_before() -> None:
    scene = torch.linspace(1, 4, 64).expand(1, 64, 64).transpose(1, 2).clone()
    everywhere = torch.ones_like(scene, dtype=torch.bool)
    floor = obstacle_weights(scene, everywhere)
    assert floor[:, 16:48].max() < 1.3
    scene[:, 24:40, 30:33] *= 0.5
    weights = obstacle_weights(scene, everywhere)
    assert weights[:, 26:38, 30:33].min() > 4
    assert weights[:, 26:38, 20:30].max() < 1.5
    missed, ghost = scene.clone(), scene.clone()
    missed[:, 24:40, 30:33] *= 2
    ghost[:, 24:40, 10:13] *= 2
    plain = [log_depth_loss(depth, scene, everywhere) for depth in (missed, ghost)]
    weighted = [log_depth_loss(depth, scene, everywhere, weights) for depth in (missed, ghost)]
    torch.testing.assert_close(*plain)
    assert weighted[0] > 3 * weighted[1]


def test_what_is_hidden_changes_no_weight(maps) -> None:  # type: ignore[no-untyped-def]
    depth, _, valid = maps
    elsewhere = torch.where(valid, depth, torch.full_like(depth, 0.1))
    torch.testing.assert_close(
        obstacle_weights(depth, valid) * valid, obstacle_weights(elsewhere, valid) * valid
    )


def test_memory_loss_starts_below_a_mean_trust_of_0_4() -> None:
    assert memory_loss(torch.full((1, 1, 4, 4), 0.5)) == 0
    torch.testing.assert_close(memory_loss(torch.full((1, 1, 4, 4), 0.1)), torch.tensor(0.3))


def test_no_valid_pixel_gives_no_loss_and_a_finite_gradient(maps) -> None:  # type: ignore[no-untyped-def]
    depth, true_depth, valid = maps
    depth.requires_grad_()
    loss = asyncmde_loss(depth, true_depth, torch.zeros_like(valid))
    loss.backward()
    assert loss == 0 and torch.isfinite(depth.grad).all()

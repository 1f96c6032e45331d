"""Training of agents: that they learn, go on after a kill, and stop at what is not a number."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

sb3 = pytest.importorskip("stable_baselines3")

from gymnasium import spaces  # noqa: E402
from gymnasium.vector import AutoresetMode, SyncVectorEnv  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: E402

from asyncmde_sim.agents.learned.network import PolicyNetwork  # noqa: E402
from asyncmde_sim.training.agents.cloning import CloneConfig, Samples, fit  # noqa: E402
from asyncmde_sim.training.agents.finite import require_finite  # noqa: E402
from asyncmde_sim.training.agents.mirror import mirrored  # noqa: E402
from asyncmde_sim.training.agents.ppo import PpoConfig, Trainer  # noqa: E402
from asyncmde_sim.training.agents.recipe import load_recipe  # noqa: E402
from asyncmde_sim.training.agents.vec_env import LearningVecEnv  # noqa: E402

SPACE = spaces.Dict(
    {
        "depth": spaces.Box(0, 255, (1, 36, 36), np.uint8),
        "state": spaces.Box(-1, 1, (3,), np.float32),
    }
)
TINY = PpoConfig(
    n_envs=4,
    n_steps=32,
    batch_size=64,
    n_epochs=6,
    learning_rate=2e-3,
    gamma=0.0,
    target_kl=None,
    log_std_init=-1.2,
    value_steps=0,
)


@pytest.fixture(autouse=True)
def one_thread():
    """These networks are so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Steer(gym.Env):
    """Four steps of steering to what is seen: a bright side of the image, and a number in the state."""

    observation_space = SPACE
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.gained = 0, 0.0
        return self._draw(), {}

    def step(self, action):
        gained = 1.0 - float(np.abs(np.clip(action, -1, 1) - self.wanted).mean())
        self.gained += gained / 4
        self.steps += 1
        over = self.steps == 4
        return (
            self._draw(),
            gained,
            over,
            False,
            {"episode_metrics": {"success": self.gained}} if over else {},
        )

    def _draw(self):
        side, number = self.np_random.integers(2), float(self.np_random.uniform(-0.8, 0.8))
        image = np.zeros((1, 36, 36), np.uint8)
        image[:, :, 18 * side : 18 * side + 18] = 255
        self.wanted = np.array([0.8 if side else -0.8, number])
        return {"depth": image, "state": np.array([number, 0, 0], np.float32)}


def trained(steps, seed, file=None, resume=False, stop_at=None, env=None):
    """The network after a training, and what the log was told of success."""
    torch.manual_seed(seed)
    network = PolicyNetwork(SPACE, 2)
    trainer = Trainer(env or DummyVecEnv([Steer] * 4), network, TINY, steps, seed, file, resume)
    told = []

    def after(done):
        if stop_at is not None and done >= stop_at:
            raise KeyboardInterrupt

    trainer.run(lambda phase, step, measures: told.append((step, measures["success"])), after)
    return network, told


@pytest.mark.parametrize("seed", [0, 1])
def test_ppo_learns_a_tiny_task(seed):
    _, told = trained(128 * 12, seed)
    assert told[0][1] < 0.5
    assert told[-1][1] > 0.75


def test_a_training_that_was_killed_goes_on(tmp_path):
    file = tmp_path / "ppo.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(512, 0, file, stop_at=256)
    kept = torch.load(file, weights_only=True)["steps"]
    assert kept == 256
    network, told = trained(512, 0, file, resume=True)
    assert [step for step, _ in told] == [384, 512]
    done, told = trained(512, 0, file, resume=True)
    assert not told
    assert all((a == b).all() for a, b in zip(network.parameters(), done.parameters(), strict=True))


def test_checkpoints_that_are_corrupt_or_of_another_training_are_refused(tmp_path):
    file = tmp_path / "ppo.pt"
    trained(128, 0, file)
    with pytest.raises(ValueError, match="other hyper-parameters or another number of steps"):
        trained(256, 0, file, resume=True)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is no checkpoint to go on from"):
        trained(128, 0, file, resume=True)


def test_only_the_value_is_learned_at_first():
    torch.manual_seed(0)
    network = PolicyNetwork(SPACE, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    config = PpoConfig(n_envs=1, n_steps=32, batch_size=32, value_steps=64, log_std_init=-1.0)
    trainer = Trainer(DummyVecEnv([Steer]), network, config, 64, 0)
    trainer.run(lambda *_: None)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"value.weight", "value.bias"}


class Encoder:
    space = SPACE

    def reset(self):
        pass

    def see(self, observation):
        return observation


class Broken(Steer):
    """From the third step on, a number that is none."""

    where = "reward"

    def step(self, action):
        observation, reward, *rest = super().step(action)
        if self.steps == 3:
            reward = np.nan if self.where == "reward" else reward
            observation["state"][1] = np.inf if self.where == "state" else 0
        return observation, reward, *rest


@pytest.mark.parametrize(("where", "told"), [("reward", "reward"), ("state", "observation 'state'")])
def test_a_number_that_is_none_stops_the_training_and_says_where(where, told):
    broken = type("Broken", (Broken,), {"where": where})
    several = SyncVectorEnv([Steer, broken], autoreset_mode=AutoresetMode.SAME_STEP)
    env = LearningVecEnv(several, [Encoder(), Encoder()], "Steer-v0")
    with pytest.raises(FloatingPointError, match=rf"Steer-v0, environment 1, step 3: {told} not finite"):
        trained(256, 0, env=env)
    require_finite({"state": np.zeros(3)}, 1.0, "Steer-v0", "seed 1", 1)


def test_the_adapter_keeps_what_an_episode_ended_with():
    several = SyncVectorEnv([Steer, Steer], autoreset_mode=AutoresetMode.SAME_STEP)
    env = LearningVecEnv(several, [Encoder(), Encoder()], "Steer-v0")
    env.seed(3)
    first = env.reset()
    env.seed(3)
    again = env.reset()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    for step in range(1, 5):
        seen, rewards, over, infos = env.step(np.zeros((2, 2), np.float32))
        assert over.tolist() == [step == 4] * 2 and rewards.dtype == np.float32
    assert infos[0]["episode_metrics"]["success"] > 0 and not infos[0]["TimeLimit.truncated"]
    assert not np.array_equal(infos[1]["terminal_observation"]["depth"], None)
    assert seen["depth"].shape == (2, 1, 36, 36)


def ground(count, rng):
    """Random observations of a ground robot: depth, state with a goal, 16 directions and a route."""
    return {
        "depth": torch.from_numpy(rng.integers(0, 256, (count, 2, 36, 48), dtype=np.uint8)),
        "state": torch.from_numpy(rng.uniform(-1, 1, (count, 16)).astype(np.float32)),
        "around": torch.from_numpy(rng.uniform(-1, 1, (count, 96)).astype(np.float32)),
        "route": torch.from_numpy(rng.uniform(-1, 1, (count, 7)).astype(np.float32)),
    }


def test_a_mirror_turns_left_to_right_and_back():
    rng = np.random.default_rng(0)
    seen, actions = ground(5, rng), torch.rand(5, 2)
    once, turned = mirrored(seen, actions)
    twice, back = mirrored(once, turned)
    assert all(torch.equal(twice[name], seen[name]) for name in seen) and torch.equal(back, actions)
    assert (turned[:, 1] == -actions[:, 1]).all() and (once["state"][:, 3] == -seen["state"][:, 3]).all()
    around, mirror = (each["around"].reshape(5, 6, 16) for each in (seen, once))
    assert torch.equal(around[..., 0], mirror[..., 0]) and torch.equal(around[..., 4], mirror[..., 12])


def test_imitation_brings_the_actions_to_the_labels(tmp_path):
    rng = np.random.default_rng(0)
    seen = {name: values.numpy() for name, values in ground(200, rng).items()}
    labels = np.stack([seen["state"][:, 5], seen["route"][:, 1]], axis=1)
    for half in (0, 1):
        rows = slice(100 * half, 100 * half + 100)
        np.savez(tmp_path / f"{half}.npz", action=labels[rows], **{n: v[rows] for n, v in seen.items()})
    samples = Samples(sorted(tmp_path.glob("*.npz")))
    assert len(samples) == 200
    boxes = {
        "depth": spaces.Box(0, 255, (2, 36, 48), np.uint8),
        **{n: spaces.Box(-1, 1, seen[n].shape[1:], np.float32) for n in ("state", "around", "route")},
    }
    torch.manual_seed(0)
    network = PolicyNetwork(spaces.Dict(boxes), 2)
    losses = []
    config = CloneConfig(epochs=15, batch=40)
    last = fit(network, samples, config, 0, True, lambda step, steps, loss: losses.append(loss))
    assert len(losses) == 15 and last == losses[-1] < 0.3 * losses[0]
    (tmp_path / "0.npz").write_bytes(b"PK not a zip")
    with pytest.raises(ValueError, match=r"0\.npz cannot be read"):
        Samples([tmp_path / "0.npz"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            '{"default": {"ppo": {"learning_rte": 1}}}',
            "unknown key 'learning_rte': did you mean 'learning_rate'",
        ),
        ('{"default": {"ppo": {"gamma": 1.5}}}', "gamma is 1.5, but it must be a number from 0 to 1"),
        ('{"default": {"ppo": {"batch_size": 100}}}', "must divide n_envs"),
        ('{"default": {"clone": {"episodes": 0}}}', "episodes is 0"),
        ('{"Other-v0": {}}', "has no entry 'IndoorStatic-v0' and no 'default'"),
        ("{", "is not valid JSON"),
    ],
)
def test_recipes_that_are_wrong_are_refused(tmp_path, content, told):
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(ValueError, match=told):
        load_recipe(str(tmp_path / "recipe.json"), "IndoorStatic-v0")


def test_shipped_recipes_fit_their_environments():
    assert load_recipe("cpu", "IndoorStatic-v0").view.directions
    assert not load_recipe("cpu", "ExtremeMotion-v0").view.directions
    with pytest.raises(FileNotFoundError, match=r"one of cpu"):
        load_recipe("nothing", "IndoorStatic-v0")

"""PPO of Stable-Baselines3 on a policy of ours, which can be killed at any moment and goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from asyncmde_sim.agents.learned.network import FEATURES, PolicyNetwork, Torso
from asyncmde_sim.files import write_whole

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise ImportError("training agents needs the extra 'rl': pip install 'asyncmde-sim[rl]'") from error

Log = Callable[[str, int, Mapping[str, float]], None]


@dataclass(frozen=True)
class PpoConfig:
    """Hyper-parameters, named as Stable-Baselines3 and RL Zoo name them.

    Args:
        n_envs: Environments side by side.
        n_steps: Steps of each between two updates.
        batch_size: Samples a batch; it divides ``n_envs * n_steps``.
        n_epochs: Passes over the samples in an update.
        learning_rate: Adam's; it falls to 0 along the training.
        gamma: Discount a step.
        gae_lambda: Of generalised advantage estimation.
        clip_range: Of PPO's objective.
        ent_coef: Weight of the entropy.
        vf_coef: Weight of the value's loss.
        max_grad_norm: Gradients are clipped to it.
        target_kl: An update ends early beyond it.
        log_std_init: Logarithm of the deviation of the first actions.
        value_steps: For so many steps at the start only the value is learned, so that a policy that was
            cloned is not spoilt by a value that knows nothing yet.
    """

    n_envs: int = 4
    n_steps: int = 256
    batch_size: int = 256
    n_epochs: int = 4
    learning_rate: float = 1e-4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    target_kl: float | None = 0.03
    log_std_init: float = -1.5
    value_steps: int = 4096

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float, float]] = {
            "n_envs": (1, 256),
            "n_steps": (2, 65536),
            "batch_size": (2, 1 << 20),
            "n_epochs": (1, 100),
            "learning_rate": (1e-8, 0.1),
            "gamma": (0.0, 1.0),
            "gae_lambda": (0.0, 1.0),
            "clip_range": (1e-3, 1.0),
            "ent_coef": (0.0, 1.0),
            "vf_coef": (0.0, 10.0),
            "max_grad_norm": (1e-3, 100.0),
            "target_kl": (1e-4, 10.0),
            "log_std_init": (-5.0, 2.0),
            "value_steps": (0, 10**9),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if value is None and name == "target_kl":
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{name} is {value!r}, but it must be a number from {low:g} to {high:g}")
        for name in ("n_envs", "n_steps", "batch_size", "n_epochs", "value_steps"):
            if getattr(self, name) != int(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be a whole number")
        if self.n_envs * self.n_steps % self.batch_size:
            raise ValueError(
                f"batch_size is {self.batch_size}, but it must divide n_envs * n_steps, which is "
                f"{self.n_envs * self.n_steps}"
            )


class _Extractor(BaseFeaturesExtractor):
    def __init__(self, observation_space: spaces.Dict) -> None:
        super().__init__(observation_space, FEATURES)
        self.torso = Torso(observation_space)

    def forward(self, seen: dict[str, Tensor]) -> Tensor:
        features: Tensor = self.torso(seen)
        return features


class Trainer:
    """A policy network and the PPO that trains it.

    Args:
        env: The environments.
        network: Where it starts, and what ``run`` leaves the result in.
        config: Hyper-parameters.
        steps: Environment steps in all.
        seed: Draws actions, batches and episodes.
        file: Checkpoint, written after each update; None keeps none.
        resume: Whether to go on from the checkpoint.

    Raises:
        ValueError: The checkpoint is corrupt, or of another training.
    """

    def __init__(
        self,
        env: VecEnv,
        network: PolicyNetwork,
        config: PpoConfig,
        steps: int,
        seed: int,
        file: Path | None = None,
        resume: bool = False,
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}, but it must be 1 or more")
        self._network, self._config, self._steps, self._file = network, config, steps, file
        hyper = asdict(config)
        for own in ("n_envs", "log_std_init", "value_steps", "learning_rate"):
            del hyper[own]
        self._ppo = PPO(
            "MultiInputPolicy",
            env,
            learning_rate=lambda left: config.learning_rate * max(left, 0.01),
            policy_kwargs={
                "features_extractor_class": _Extractor,
                "net_arch": [],
                "normalize_images": False,
                "log_std_init": config.log_std_init,
            },
            seed=seed,
            device="cpu",
            **hyper,
        )
        self._ppo.set_logger(Logger(None, []))
        self._parts(network, into_ppo=True)
        with torch.no_grad():
            self._ppo.policy.log_std.fill_(config.log_std_init)
        self.done_steps = 0
        if resume and file is not None and file.is_file():
            self._load(file)
        env.seed(seed + self.done_steps)

    def run(self, log: Log, after_update: Callable[[int], None] = lambda steps: None) -> None:
        """Train to the end.

        Args:
            log: Told the phase, the step and its measures after each update.
            after_update: Called with the steps made, when network and checkpoint are up to date.

        Raises:
            FloatingPointError: The policy's numbers are not finite, or a reward or observation is not.
        """
        if self.done_steps >= self._steps:
            return
        self._ppo.learn(
            self._steps - self.done_steps,
            callback=_Watch(self, log, after_update),
            reset_num_timesteps=False,
        )

    def updated(self, steps: int) -> None:
        """Take over what an update gave, and keep it."""
        self.done_steps = steps
        self._parts(self._network, into_ppo=False)
        for name, value in self._network.state_dict().items():
            if not torch.isfinite(value).all():
                raise FloatingPointError(f"{name} is not finite after {steps} steps: lower learning_rate")
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            state = {
                "steps": steps,
                "of": self._steps,
                "config": asdict(self._config),
                "policy": self._ppo.policy.state_dict(),
                "optimiser": self._ppo.policy.optimizer.state_dict(),
            }
            write_whole(self._file, lambda path: torch.save(state, path))

    def learn_value_alone(self, steps: int) -> None:
        """Hold everything but the value until enough steps are made."""
        alone = steps < self._config.value_steps
        for name, parameter in self._ppo.policy.named_parameters():
            parameter.requires_grad_(not alone or name.startswith("value_net"))

    def _parts(self, network: PolicyNetwork, into_ppo: bool) -> None:
        policy: Any = self._ppo.policy
        for own, its in (
            (network.torso, policy.features_extractor.torso),
            (network.action, policy.action_net),
            (network.value, policy.value_net),
        ):
            target, source = (its, own) if into_ppo else (own, its)
            target.load_state_dict(source.state_dict())
        with torch.no_grad():
            (policy.log_std if into_ppo else network.log_std).copy_(
                network.log_std if into_ppo else policy.log_std
            )

    def _load(self, file: Path) -> None:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            if state["config"] != asdict(self._config) or state["of"] != self._steps:
                raise ValueError("it is of other hyper-parameters or another number of steps")
            self._ppo.policy.load_state_dict(state["policy"])
            self._ppo.policy.optimizer.load_state_dict(state["optimiser"])
            self.done_steps = self._ppo.num_timesteps = int(state["steps"])
        except Exception as error:
            raise ValueError(
                f"{file} is no checkpoint to go on from ({error}): remove it and start afresh"
            ) from error
        self._parts(self._network, into_ppo=False)


class _Watch(BaseCallback):
    """Keeps the checkpoint, and tells what the updates gave."""

    def __init__(self, trainer: Trainer, log: Log, after_update: Callable[[int], None]) -> None:
        super().__init__()
        self._trainer, self._log, self._after_update = trainer, log, after_update
        self._ended: list[dict[str, float]] = []
        self._begun = time.monotonic()
        self._first = trainer.done_steps

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > self._trainer.done_steps:
            self._update()
        self._trainer.learn_value_alone(self.num_timesteps)

    def _on_step(self) -> bool:
        infos = self.locals["infos"]
        self._ended += [info["episode_metrics"] for info in infos if info.get("episode_metrics")]
        return True

    def _on_training_end(self) -> None:
        self._update()

    def _update(self) -> None:
        measures = {
            name.removeprefix("train/"): float(value)
            for name, value in self.model.logger.name_to_value.items()
            if name.startswith("train/")
        }
        measures["steps_per_s"] = (self.num_timesteps - self._first) / (time.monotonic() - self._begun)
        if self._ended:
            for name in ("success", "collided"):
                measures[name] = sum(e.get(name, 0.0) for e in self._ended) / len(self._ended)
            measures["episodes"] = float(len(self._ended))
        self._ended.clear()
        self._trainer.updated(self.num_timesteps)
        self._log("ppo", self.num_timesteps, measures)
        self._after_update(self.num_timesteps)

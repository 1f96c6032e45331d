"""Training of agents: cloning of a written one, then PPO of Stable-Baselines3."""

"""Trains, exports and evaluates learned experts with Stable-Baselines3 and sb3-contrib.

    python -m gato_gym.agents.experts.sb3 train --task CartPole-v1 --out runs-local/cartpole
    python -m gato_gym.agents.experts.sb3 export --task CartPole-v1 --zip model.zip --trust
    python -m gato_gym.agents.experts.sb3 evaluate --expert sb3/CartPole-v1

What ships is the actor alone, as safetensors + JSON (see `policy.py`). Stable-Baselines3's own zips
hold pickles, which run code when they are loaded: they are read only with `trust`.
"""

from gato_gym.agents.experts.sb3.export import actor_tensors, evaluate, export_sb3
from gato_gym.agents.experts.sb3.train import train_expert, training_env

__all__ = ["actor_tensors", "evaluate", "export_sb3", "train_expert", "training_env"]

"""Let the agent make a Minari data set: python demos/tutorials/minari_collect.py

Minari's `DataCollector` wraps the environment and writes down what the agent does in it. The data
set can be shared as Minari's are, and becomes training data here with

    gato-gym corpus import --minari cartpole/gato-v0 --out corpus

Needs: pip install "gato-gym[minari]" "minari[create]"
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import gymnasium
from minari import DataCollector

import gato_gym
from gato_gym.data.minari.load import import_minari


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="CartPole-v1")
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40, help="of an episode at most")
    parser.add_argument("--name", default="cartpole/gato-v0")
    parser.add_argument("--root", type=Path, default=Path("minari"), help="of all data sets")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    options = parser.parse_args(arguments)

    root = options.root.resolve()
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    # Without JPEG: the agent that is trained on them sees the pixels that this one saw.
    env = DataCollector(
        gymnasium.make(options.task, max_episode_steps=options.steps), jpeg_encoding=False
    )
    agent = gato_gym.GatoAgent.from_pretrained()
    for seed in range(options.episodes):
        agent.reset(env)
        obs, _ = env.reset(seed=seed)
        done = False
        while not done:
            obs, _, terminated, truncated, _ = env.step(agent.act(obs))
            done = terminated or truncated
    # Minari asks for what else to say of a data set that is shared: author, code, description.
    env.create_dataset(options.name, algorithm_name="gato")
    env.close()

    imported = import_minari(options.name, options.corpus, root=root)
    print(imported)
    return 0


if __name__ == "__main__":
    sys.exit(main())

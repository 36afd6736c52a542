"""One network, one batch, different tasks: python demos/tutorials/several_tasks.py

After a reset for a list of tasks, row i of the batch plays task i: its own observations, actions
and prompt, and the same weights in the same passes. Rows are independent; one whose episode is over
may wait (None) or begin another.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import gato_gym

TASKS = ("CartPole-v1", "ALE/Boxing-v5", "gato_gym/BlockStacking-v0")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    envs = [gato_gym.make(task) for task in options.tasks]
    agent = gato_gym.GatoAgent.from_pretrained()
    agent.reset(envs)
    observations: list[Any] = [env.reset(seed=options.seed)[0] for env in envs]
    returns, state = np.zeros(len(envs)), None
    for _ in range(options.steps):
        actions, state = agent.predict(observations, state)
        for row, env in enumerate(envs):
            if observations[row] is None:  # its episode is over
                continue
            observations[row], reward, terminated, truncated, _ = env.step(actions[row])
            returns[row] += float(reward)
            if terminated or truncated:
                observations[row] = None
        if all(obs is None for obs in observations):
            break
    for task, env, episode_return in zip(options.tasks, envs, returns, strict=True):
        print(f"{task}: return {episode_return:.1f} so far")
        env.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

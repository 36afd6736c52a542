"""Play many copies at once with Gymnasium: python demos/tutorials/vector_envs.py

`predict` must be told which episodes begin with the observations it gets. When that is depends on
the vector environment's autoreset mode:

    SAME_STEP   the step that ends an episode returns the first observation of the next one
    NEXT_STEP   (Gymnasium's default) it returns the last one; the next step ignores its action
                and returns the first one, so the flag is due one step later
    DISABLED    nothing is reset: we do it ourselves
"""

import argparse
import sys
from collections.abc import Sequence

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import gato_gym


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="CartPole-v1")
    parser.add_argument("--num-envs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--mode", choices=list(AutoresetMode.__members__), default="NEXT_STEP")
    parser.add_argument("--processes", action="store_true", help="one for each copy")
    options = parser.parse_args(arguments)

    mode = AutoresetMode[options.mode]
    kind = AsyncVectorEnv if options.processes else SyncVectorEnv
    copies = [lambda: gymnasium.make(options.task, max_episode_steps=25)] * options.num_envs
    env = RecordEpisodeStatistics(kind(copies, autoreset_mode=mode))

    agent = gato_gym.GatoAgent.from_pretrained()
    agent.reset(env)
    obs, _ = env.reset(seed=0)
    state = None
    episode_start = np.ones(options.num_envs, bool)
    done = np.zeros(options.num_envs, bool)
    for _ in range(options.steps):
        actions, state = agent.predict(obs, state, episode_start)
        obs, _, terminated, truncated, infos = env.step(actions)
        before, done = done, terminated | truncated
        episode_start = before if mode == AutoresetMode.NEXT_STEP else done
        for copy in np.flatnonzero(done):
            print(f"copy {copy}: return {infos['episode']['r'][copy]:.1f}")
        if mode == AutoresetMode.DISABLED and done.any():
            obs, _ = env.reset(options={"reset_mask": done})
    env.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

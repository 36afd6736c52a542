"""Score the agent with Stable-Baselines3: python demos/tutorials/sb3.py

`evaluate_policy` takes the agent as if it were one of its own policies. With one copy of the
environment per episode it plays exactly the episodes of

    gato-gym eval --task gato_gym/BlockStacking-v0 --episodes 2 --seed 7000

as `make_vec_env` seeds copy i with seed + i. Needs: pip install "gato-gym[experts]"
"""

import argparse
import sys
from collections.abc import Sequence

import gymnasium
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

import gato_gym

gymnasium.register_envs(gato_gym)  # ids like gato_gym/BlockStacking-v0


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="gato_gym/BlockStacking-v0")
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7000)
    options = parser.parse_args(arguments)

    agent = gato_gym.GatoAgent.from_pretrained()
    vec_env = make_vec_env(options.task, n_envs=options.episodes, seed=options.seed)
    agent.reset(vec_env)
    returns, lengths = evaluate_policy(
        agent, vec_env, n_eval_episodes=options.episodes, return_episode_rewards=True
    )
    vec_env.close()

    # Episodes are listed in the order of their ends.
    for episode_return, length in zip(returns, lengths, strict=True):
        print(f"{options.task}: return {episode_return:.1f} after {length} steps")
    return 0


if __name__ == "__main__":
    sys.exit(main())

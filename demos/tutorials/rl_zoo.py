"""Play in a loop as rl-baselines3-zoo's enjoy.py does: python demos/tutorials/rl_zoo.py

Such a loop treats every policy as a recurrent one: it hands back the state that `predict` returned,
and says with `episode_start` which environments have just been reset. To the agent the state is the
episode so far, for each copy its own. Needs: pip install "gato-gym[experts]"
"""

import argparse
import sys
from collections.abc import Sequence

import gymnasium
import numpy as np
from stable_baselines3.common.env_util import make_vec_env

import gato_gym

gymnasium.register_envs(gato_gym)  # ids like gato_gym/BlockStacking-v0


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="gato_gym/BlockStacking-v0")
    parser.add_argument("--n-timesteps", type=int, default=40)
    parser.add_argument("--n-envs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stochastic", action="store_true")
    options = parser.parse_args(arguments)

    model = gato_gym.GatoAgent.from_pretrained()
    env = make_vec_env(options.env, n_envs=options.n_envs, seed=options.seed)
    model.reset(env)

    obs = env.reset()
    lstm_states = None
    episode_start = np.ones((env.num_envs,), dtype=bool)
    total = np.zeros(env.num_envs)
    for _ in range(options.n_timesteps):
        action, lstm_states = model.predict(
            obs,
            state=lstm_states,
            episode_start=episode_start,
            deterministic=not options.stochastic,
        )
        obs, reward, done, infos = env.step(action)
        episode_start = done
        total += reward
        for copy in np.flatnonzero(done):
            end = infos[copy]["episode"]
            print(f"copy {copy}: return {end['r']:.2f} after {end['l']} steps")
    env.close()
    print(f"{options.n_timesteps} steps, reward of each copy: {total.round(2)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

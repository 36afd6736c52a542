"""Record with Gymnasium's own wrappers: python demos/tutorials/gymnasium_wrappers.py

Wrappers that watch (`RecordVideo`, `RecordEpisodeStatistics`) or end an episode (`TimeLimit`) go
around any environment that the agent plays. One that changes observations (`FrameStackObservation`,
`NormalizeObservation`) is refused with its name: the agent would misread what it sees.
Needs for the video: pip install "gymnasium[other]"
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import gymnasium
from gymnasium.wrappers import (
    FrameStackObservation,
    RecordEpisodeStatistics,
    RecordVideo,
    TimeLimit,
)

import gato_gym
from gato_gym.errors import InvalidObservationError


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="CartPole-v1")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("videos"))
    options = parser.parse_args(arguments)

    env = gymnasium.make(options.task, render_mode="rgb_array")
    env = TimeLimit(env, options.steps)
    env = RecordEpisodeStatistics(env)
    env = RecordVideo(env, str(options.out), name_prefix="gato", episode_trigger=lambda _: True)

    agent = gato_gym.GatoAgent.from_pretrained()
    agent.reset(env)
    obs, info = env.reset(seed=0)
    done = False
    while not done:
        obs, _, terminated, truncated, info = env.step(agent.act(obs))
        done = terminated or truncated
    env.close()
    print(f"return {info['episode']['r']:.1f} after {info['episode']['l']} steps")
    print(*sorted(options.out.glob("gato-*.mp4")), sep="\n")

    try:
        agent.reset(FrameStackObservation(gymnasium.make(options.task), 4))
    except InvalidObservationError as error:
        print(f"refused: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Draw what the bundled agent looks at and what it will do: python demos/explain.py

Plays a few steps of each of its tasks; writes explain_boxing.png, explain_stacking.png and
explain_cartpole.png into --out. Needs neither a display nor GL.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

# Nothing here opens a window; pygame looks for a display otherwise, and greets on stdout.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

from PIL import Image

import gato_gym
from gato_gym.agents.explanation import Explanation
from gato_gym.evaluation.overlay import action_names

DOCS = Path(__file__).parents[1] / "docs"
SEED = 7000
MOMENTS = {
    "boxing": ("ALE/Boxing-v5", 40),
    "stacking": ("gato_gym/BlockStacking-v0", 25),
    "cartpole": ("CartPole-v1", 60),
}
"""Name of the picture -> task, and the step that it shows."""


def draw(agent: gato_gym.GatoAgent, task: str, steps: int, path: Path) -> Explanation:
    """Play so many steps and draw the decision of the next one."""
    env = gato_gym.make(task, render_mode="rgb_array")
    try:
        agent.reset(env)
        obs, _ = env.reset(seed=SEED)
        for _ in range(steps):
            obs, *_ = env.step(agent.act(obs))
        seen = agent.explain(obs)
        picture = seen.overlay(env.render(), names=action_names(env))
    finally:
        env.close()
    Image.fromarray(picture).save(path, optimize=True)
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=DOCS, help="folder")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    agent = gato_gym.GatoAgent.from_pretrained()
    for name, (task, steps) in MOMENTS.items():
        path = options.out / f"explain_{name}.png"
        print(f"{path}: {draw(agent, task, steps, path)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

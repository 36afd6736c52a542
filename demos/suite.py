"""Draw one frame of one task from every domain of the suite.

    python demos/suite.py
    python demos/suite.py --domains atari meta_world --steps 100 --out suite.png

Tasks from pixels show what the agent sees, all others their rendered scene. The task's expert
plays, chance where it has none.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Nothing here opens a window; pygame looks for a display otherwise, and greets on stdout.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gato_gym import RandomAgent, envs
from gato_gym.agents.experts import load_expert
from gato_gym.types import TaskSpec, flatten_observation

# The task that stands for its domain; any other domain is shown by its first task.
FACES = {
    "atari": "ALE/SpaceInvaders-v5",
    "atari_extended": "ALE/BreakoutExtended-v5",
    "babyai": "BabyAI-GoToLocal-v0",
    "box2d": "LunarLander-v3",
    "classic": "CartPole-v1",
    "dm_control": "dm_control/quadruped-walk-v0",
    "dm_control_pixels": "dm_control/humanoid-stand-pixels-v0",
    "dm_control_random_large": "dm_control/cheetah-run-random-large-v0",
    "dm_control_random_small": "dm_control/walker-walk-random-small-v0",
    "manipulation": "gato_gym/BlockStacking-Triplet1-v0",
    "meta_world": "Meta-World/assembly-v3",
    "minigrid": "MiniGrid-LavaCrossingS9N2-v0",
    "mujoco": "Ant-v5",
    "robotics": "FetchPickAndPlace-v4",
    "popgym": "popgym-MineSweeperEasy-v0",
    "toy_text": "Taxi-v4",
}
TILE = (192, 256)  # height, width of a picture
LABEL = 34
COLUMNS = 5


def frame(spec: TaskSpec, steps: int, seed: int) -> np.ndarray:
    """What a task looks like after `steps` steps; its numbers where nothing can be drawn."""
    pixels = next((leaf.key for leaf in spec.observations if leaf.kind == "image"), None)
    if spec.domain in ("atari", "atari_extended", "navigation"):
        pixels = None  # their rendered frame is the larger one of the same picture
    try:
        env = envs.make(spec.id, render_mode=None if pixels else "rgb_array")
        drawn = True
    except ValueError:
        env, drawn = envs.make(spec.id), False
    try:
        agent = load_expert(spec.expert) if spec.expert else RandomAgent(seed)
        agent.reset(env)
        observation, _ = env.reset(seed=seed)
        for _ in range(steps):
            observation, _, terminated, truncated, _ = env.step(agent.act(observation))
            if terminated or truncated:
                observation, _ = env.reset()
        leaves = flatten_observation(observation)
        if pixels:
            return leaves[pixels]
        return np.asarray(env.render()) if drawn else written(leaves)
    finally:
        env.close()


def written(leaves: dict[str, Any]) -> np.ndarray:
    """The numbers of an observation as a picture."""
    height, width = TILE
    page = Image.new("RGB", (width, height), "#202020")
    lines = [line for key, value in leaves.items() for line in (f"{key}:", f"  {value}")]
    ImageDraw.Draw(page).text((12, 12), "\n".join(lines), "#e0e0e0", ImageFont.load_default(13))
    return np.asarray(page)


def sheet(pictures: dict[str, np.ndarray]) -> Image.Image:
    """All pictures with their captions ("domain\\ntask") in a grid."""
    rows = -(-len(pictures) // COLUMNS)
    height, width = TILE
    page = Image.new("RGB", (COLUMNS * (width + 8) + 8, rows * (height + LABEL + 8) + 8), "white")
    draw = ImageDraw.Draw(page)
    bold, plain = ImageFont.load_default(14), ImageFont.load_default(12)
    for number, (caption, picture) in enumerate(pictures.items()):
        x = 8 + number % COLUMNS * (width + 8)
        y = 8 + number // COLUMNS * (height + LABEL + 8)
        domain, task = caption.split("\n")
        draw.text((x, y), domain, "black", bold)
        draw.text((x, y + 16), task, "#606060", plain)
        image = Image.fromarray(picture)
        scale = min(width / image.width, height / image.height)
        size = (round(image.width * scale), round(image.height * scale))
        # Small pictures keep their pixels: that is what the agent sees.
        filter = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS
        corner = (x + (width - size[0]) // 2, y + LABEL + (height - size[1]) // 2)
        draw.rectangle((x, y + LABEL, x + width, y + LABEL + height), fill="#202020")
        page.paste(image.resize(size, filter), corner)
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/suite.png"))
    parser.add_argument("--steps", type=int, default=60, help="steps before the frame")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--domains", nargs="+", help="default is every installed domain")
    options = parser.parse_args(arguments)
    installed = {spec.id: spec for spec in envs.tasks()}
    domains = sorted({spec.domain for spec in installed.values()})
    unknown = set(options.domains or ()) - set(domains)
    if unknown:
        parser.error(f"no domain {', '.join(sorted(unknown))}; there are {', '.join(domains)}")
    pictures = {}
    for domain in options.domains or domains:
        first = next(task for task, spec in installed.items() if spec.domain == domain)
        spec = installed.get(FACES.get(domain, first), installed[first])
        print(f"{domain}: {spec.id}", flush=True)
        pictures[f"{domain}\n{spec.id}"] = frame(spec, options.steps, options.seed)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(pictures).save(options.out)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

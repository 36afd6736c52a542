"""Writes the default text model: `python -m gato_gym.tokenizers.train_default_text [PATH]`.

It learns from missions of MiniGrid and BabyAI, instructions for block stacking and the English of
`default_text.txt`. The same installed versions give the same file.
"""

from __future__ import annotations

import sys
from functools import cache
from itertools import permutations, product
from pathlib import Path

import gymnasium as gym

from gato_gym.config import MODELS
from gato_gym.envs.families.minigrid import FAMILIES
from gato_gym.tokenizers.default_text import MODEL_PATH
from gato_gym.tokenizers.text import TextTokenizer

SIZE = MODELS["bundle"].text_size
ENGLISH_PATH = Path(__file__).with_name("default_text.txt")
MISSION_SEEDS = range(10)

# BabyAI's longest missions name eight places; as one piece each they fit into a step's 64 tokens.
PHRASES = (" next to", " in front of you", " behind you", " on your left", " on your right")

COLORS = ("red", "green", "blue", "yellow", "purple", "grey")
SHAPES = ("block", "cube", "object")


@cache
def missions() -> tuple[str, ...]:
    """Every distinct mission of the first seeds of all levels, sorted."""
    found = set()
    for family in FAMILIES:
        family.register()
        for task in family.ids():
            env = gym.make(task, disable_env_checker=True)
            found |= {env.reset(seed=seed)[0]["mission"] for seed in MISSION_SEEDS}
            env.close()
    return tuple(sorted(found))


def instructions() -> list[str]:
    """What one would tell a robot that stacks coloured blocks."""
    found = []
    for (upper, lower), shape in product(permutations(COLORS, 2), SHAPES):
        found += [
            f"stack the {upper} {shape} on the {lower} {shape}",
            f"put the {upper} {shape} on top of the {lower} {shape}",
            f"place the {upper} {shape} onto the {lower} {shape}",
            f"lift the {upper} {shape}, do not touch the {lower} {shape}",
        ]
    return found


def train() -> TextTokenizer:
    """The default text model, from its three sources."""
    english = ENGLISH_PATH.read_text(encoding="utf-8").splitlines()
    return TextTokenizer.train([*missions(), *instructions(), *english], SIZE, PHRASES)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else MODEL_PATH
    target.write_bytes(train().model)
    print(target)

"""What an agent looks at in the first steps of an episode: pictures of `overlay.draw_overlay`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gato_gym import envs
from gato_gym.errors import UnknownTaskError
from gato_gym.evaluation.overlay import OverlayPainter
from gato_gym.evaluation.report.media import Picture, picture

STEPS = (0, 8, 24)
SEED = 7000
_SIZE = (960, 540)


def attention(
    folder: Path, task: str, *, seed: int = SEED, steps: Sequence[int] = STEPS
) -> list[Picture]:
    """Have an agent play the beginning of an episode, and draw what it looks at.

    Args:
        folder: of the agent.
        task: one that it knows.
        seed: of the episode.
        steps: that are drawn, in order, as far as the episode lasts.

    Raises:
        UnknownTaskError: the agent does not know the task.
        MissingExtraError: the task's package is not installed.
        CorruptCheckpointError: see `GatoAgent.from_pretrained`.
    """
    from gato_gym.agents.gato import GatoAgent  # brings torch

    agent = GatoAgent.from_pretrained(folder, device="cpu")
    if task not in agent.specs:
        near = difflib.get_close_matches(task, agent.specs, n=1)
        known = difflib.get_close_matches(task, agent.specs, n=5, cutoff=0.0)
        more = f" and {len(agent.specs) - len(known)} more" if len(known) < len(agent.specs) else ""
        hint = f"did you mean {near[0]}?" if near else f"it knows {', '.join(sorted(known))}{more}"
        raise UnknownTaskError(f"the agent was not trained on {task!r}: {hint}")
    found: list[Picture] = []
    painter = OverlayPainter(agent.explain, _SIZE)
    env = envs.make(task, render_mode="rgb_array")
    try:
        agent.reset(env)
        obs, _ = env.reset(seed=seed)
        for step in range(max(steps) + 1):
            if step in steps:
                frame = env.render()
                assert isinstance(frame, np.ndarray)  # as "rgb_array" promises
                caption = f"{task}, seed {seed}, step {step}"
                found.append(picture(f"attention-{step}", caption, painter(env, obs, frame)))
            obs, _, terminated, truncated, _ = env.step(agent.act(obs))
            if terminated or truncated:
                break
    finally:
        env.close()
    return found

"""Write a video of an agent at play.

example:
    gato-gym record --task ALE/Boxing-v5 --out boxing.mp4
    gato-gym record --task ALE/Boxing-v5 --out boxing.mp4 --overlay
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gato_gym import envs
from gato_gym.agents import Agent
from gato_gym.agents.prompted import WithoutPrompt
from gato_gym.cli.players import (
    AgentKind,
    PrecisionName,
    load_gato,
    load_player,
    print_json,
)
from gato_gym.evaluation.language import READING_FPS
from gato_gym.evaluation.overlay import OverlayPainter
from gato_gym.evaluation.progress import ProgressBar
from gato_gym.evaluation.scores import evaluate
from gato_gym.evaluation.video import Draw, VideoObserver


@dataclass(frozen=True)
class Options:
    """Who plays what, and where the video goes."""

    task: str
    """Task id."""
    out: Path
    """The mp4 file; with more than one episode, -<seed> is put before .mp4."""
    episodes: int = 1
    """Videos, one per episode."""
    seed: int = 7000
    """Seed of the first episode; episode i has seed + i."""
    agent: AgentKind = "gato"
    """Who plays: the model, the task's expert, or uniformly random actions."""
    checkpoint: str | None = None
    """Folder or Hub id of the model; default is the bundled one."""
    no_prompt: bool = False
    """Begin episodes without the task's demonstration (gato only)."""
    precision: PrecisionName = "float32"
    """Of the weights (gato only); int8 needs torchao."""
    fps: float | None = None
    """Frames per second; default is the task's own, and slow enough to read what is said."""
    overlay: bool = False
    """Draw into each frame what the model looks at and how likely each action is (gato only)."""
    json: bool = False
    """Print JSON."""


def run(options: Options) -> int:
    """Play and write."""
    if options.out.suffix != ".mp4":
        raise ValueError(f"--out must end in .mp4, got {options.out}")
    envs.make(options.task).close()
    agent, name, draw = _player(options)
    # The observer fills in {seed}; braces of the path itself are doubled.
    template = str(options.out).replace("{", "{{").replace("}", "}}")
    if options.episodes > 1:
        template = f"{template.removesuffix('.mp4')}-{{seed}}.mp4"
    fps = options.fps or (READING_FPS if envs.task_spec(options.task).speaks else None)
    video = VideoObserver(template, fps=fps, draw=draw)
    with video, ProgressBar(options.task, options.episodes) as bar:
        score = evaluate(
            options.task,
            agent,
            episodes=options.episodes,
            seed=options.seed,
            observers=[video, bar],
            checkpoint=name,
            render_mode="rgb_array",
        )
    files = [str(path) for path in video.paths]
    if options.json:
        print_json(score.to_json() | {"files": files})
    else:
        for file, value in zip(files, score.returns, strict=True):
            print(f"{file}: return {value:g}")
    return 0


def _player(options: Options) -> tuple[Agent, str | None, Draw | None]:
    """Who plays, its name (None: it knows its own), and what draws over its frames."""
    if not options.overlay:
        agent, name = load_player(
            options.agent,
            options.task,
            checkpoint=options.checkpoint,
            prompt=not options.no_prompt,
            seed=options.seed,
            precision=options.precision,
        )
        return agent, name, None
    if options.agent != "gato":
        raise ValueError(
            f"--overlay shows what the model looks at: it is for --agent gato, not for --agent "
            f"{options.agent}"
        )
    gato = load_gato(options.checkpoint, precision=options.precision)
    return (WithoutPrompt(gato) if options.no_prompt else gato), None, OverlayPainter(gato.explain)

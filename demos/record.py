"""Let the bundled agent play the tasks it was trained on, and film it.

    python demos/record.py
    python demos/record.py --tasks CartPole-v1 --episodes 3 --out videos
    python demos/record.py --most 0                                       # all, however many

Of an agent of many tasks it plays some of every domain. Writes, into --out: one mp4 per task (its
first episode), contact_sheet.png with one row per task, and scores.json. Needs neither a display
nor GL.
"""

import argparse
import contextlib
import difflib
import itertools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Nothing here opens a window; pygame looks for a display otherwise, and greets on stdout.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import gato_gym
from gato_gym import GatoAgent
from gato_gym.errors import GatoGymError, UnknownTaskError
from gato_gym.evaluation.batched import TOGETHER
from gato_gym.evaluation.language import READING_FPS
from gato_gym.evaluation.observers import PerEpisode
from gato_gym.evaluation.progress import ProgressBar
from gato_gym.evaluation.scores import Score, evaluate
from gato_gym.evaluation.video import VideoObserver, contact_sheet

STILLS = 6
# Shown first of their domains: of dozens alike those that people know, or that show what is meant.
FAMILIAR = frozenset(
    {
        *("ALE/Boxing-v5", "ALE/Freeway-v5", "CartPole-v1", "LunarLander-v3", "Reacher-v5"),
        *("Meta-World/pick-place-v3", "Meta-World/door-open-v3", "dm_control/cheetah-run-v0"),
        *("gato_gym/BlockStacking-v0", "gato_gym/BlockStacking-Instructed-v0"),
        *("gato_gym/BabyAI-PickupDist-pixels-v0", "FrozenLake-v1"),
    }
)


def slug(task: str) -> str:
    """The task's file name: "ALE/Boxing-v5" -> "ALE__Boxing-v5"."""
    return task.replace("/", "__")


def spread(domains: Mapping[str, str], most: int) -> list[str]:
    """At most so many tasks (0: all), the domains in turn and of each the familiar ones first, in
    the order that the agent has them.

    Args:
        domains: task -> its domain.
        most: how many.
    """
    if not most or len(domains) <= most:
        return list(domains)
    turns: dict[str, list[str]] = {}
    for task, domain in domains.items():
        turns.setdefault(domain, []).append(task)
    for tasks in turns.values():
        tasks.sort(key=lambda task: task not in FAMILIAR)
    rounds = itertools.zip_longest(*turns.values())
    chosen = [task for turn in rounds for task in turn if task is not None][:most]
    return [task for task in domains if task in chosen]


def filmed(domains: Mapping[str, str]) -> dict[str, str]:
    """The tasks that can be drawn; one of a domain stands for its others. It tells which cannot."""
    first = {domain: task for task, domain in reversed(domains.items())}
    shown = {domain: _can_be_drawn(task) for domain, task in first.items()}
    for domain in (domain for domain, drawn in shown.items() if not drawn):
        left_out = sum(other == domain for other in domains.values())
        print(f"left out, nothing to film: {domain}, {left_out} tasks", flush=True)
    return {task: domain for task, domain in domains.items() if shown[domain]}


def _can_be_drawn(task: str) -> bool:
    try:
        gato_gym.make(task, render_mode="rgb_array").close()
    except ValueError:
        return False
    return True


def record(
    agent: GatoAgent, tasks: Sequence[str], out: Path, *, episodes: int, seed: int
) -> list[Score]:
    """Play each task, write its video, then the contact sheet and the scores."""
    rows, scores = {}, []
    for number, task in enumerate(tasks, 1):
        print(f"[{number}/{len(tasks)}] {task}", flush=True)
        fps = READING_FPS if agent.specs[task].speaks else None
        video = VideoObserver(out / f"{slug(task)}.mp4", fps=fps)
        first = PerEpisode(lambda env, begun, video=video: video if begun == seed else None)
        with video, ProgressBar(task, episodes) as bar:
            score = evaluate(
                task,
                agent,
                episodes=episodes,
                seed=seed,
                observers=[first, bar],
                num_envs=TOGETHER,
                render_mode="rgb_array",
            )
        caption = f"{task}   return {score.returns[0]:g}"
        rows[caption] = video.stills(STILLS)
        scores.append(score)
        print(f"      {video.paths[0]}: return {score.returns[0]:g}", flush=True)
    contact_sheet(rows, out / "contact_sheet.png")
    part = out / ".scores.json.part"
    part.write_text(json.dumps([score.to_json() for score in scores], indent=1) + "\n")
    os.replace(part, out / "scores.json")
    return scores


def table(scores: Sequence[Score]) -> str:
    """Task, episodes, return, expert, normalised; of what is said, the share that is right."""
    wide = max(28, *(len(score.task) for score in scores))
    lines = [
        f"{'task':{wide}}{'episodes':>10}{'return':>10}{'expert':>10}{'normalised':>12}"
        f"{'accuracy':>10}"
    ]
    for score in scores:
        expert = "-" if score.expert is None else f"{score.expert:.1f}"
        normalized = "-" if score.normalized is None else f"{score.normalized:.2f}"
        accuracy = "-" if score.accuracy is None else f"{score.accuracy:.0%}"
        lines.append(
            f"{score.task:{wide}}{score.episodes:10}{score.mean_return:10.1f}{expert:>10}"
            f"{normalized:>12}{accuracy:>10}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=1, help="per task; the first is filmed")
    parser.add_argument("--seed", type=int, default=7000, help="of the first episode")
    parser.add_argument("--out", type=Path, default=Path("videos"), help="folder")
    parser.add_argument("--checkpoint", help="folder or Hub id; default is the bundled agent")
    parser.add_argument("--tasks", nargs="+", help="default is --most of the checkpoint's")
    parser.add_argument(
        "--most", type=int, default=16, help="tasks, spread over its domains; 0 is all of them"
    )
    options = parser.parse_args(arguments)
    if options.episodes < 1:
        parser.error("--episodes must be at least 1")
    if options.most < 0:
        parser.error("--most must be 0 or more")
    made_here = not options.out.exists()
    try:
        options.out.mkdir(parents=True, exist_ok=True)  # now, not after the first episode
        agent = GatoAgent.from_pretrained(options.checkpoint)
        domains = {task: spec.domain for task, spec in agent.specs.items()}
        tasks = options.tasks or spread(filmed(domains), options.most)
        for task in tasks:
            if task not in agent.specs:
                near = difflib.get_close_matches(task, agent.specs, n=3, cutoff=0.0)
                raise UnknownTaskError(
                    f"{task!r} is not a task of this checkpoint; of its {len(agent.specs)} the "
                    f"nearest: {', '.join(near)}"
                )
        scores = record(agent, tasks, options.out, episodes=options.episodes, seed=options.seed)
    except (GatoGymError, ValueError, OSError) as error:
        print(f"record: {' '.join(str(error).split())}", file=sys.stderr)
        if made_here:
            with contextlib.suppress(OSError):
                options.out.rmdir()  # only if nothing was written
        return 2
    except KeyboardInterrupt:
        print(f"record: interrupted; finished videos are in {options.out}", file=sys.stderr)
        return 130
    print(f"\n{table(scores)}\n\n{options.out}: videos, contact_sheet.png, scores.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())

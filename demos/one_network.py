"""One checkpoint, loaded once: it captions, answers, chats, follows instructions, plays and stacks.

    python demos/one_network.py
    python demos/one_network.py --images photo.jpg drawing.png --out videos

Writes one page, one_network.html in --out: pictures and videos are inside of it, nothing is loaded
from elsewhere. Beside every answer stands the truth that the simulator tells. What is shown is not
chosen: it is what comes first from --seed on, which training never saw. Needs neither a display nor
GL.
"""

import argparse
import base64
import io
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Nothing here opens a window; pygame looks for a display otherwise, and greets on stdout.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import jinja2
import numpy as np
from PIL import Image

from gato_gym import GatoAgent, envs
from gato_gym.envs.pictures import read_picture
from gato_gym.errors import GatoGymError
from gato_gym.evaluation.scores import evaluate
from gato_gym.evaluation.video import VideoObserver
from gato_gym.types import TaskSpec, flatten_observation

TEMPLATE = Path(__file__).with_suffix(".html")
CAPTION, ANSWER, CHAT = "text/captioning", "text/vqa", "text/dialogue"
PLAYED = ("ALE/Boxing-v5", "gato_gym/BlockStacking-v0", "CartPole-v1")
MOST_EPISODES = 40  # looked at for pictures of every source
MOST_INSTRUCTED = 3
DONE = ("done", "not done")
OTHER_SCENES = 50
"""Seeds between the first one of captions and the first one of questions: other pictures."""


def pictures(
    agent: GatoAgent, task: str, seed: int, each: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The first pictures of every source with what the agent says about them, (source, pair)."""
    env = envs.make(task)
    shown = dict.fromkeys(env.unwrapped.sources, 0)  # type: ignore[attr-defined]  # of our own
    try:
        for number in range(MOST_EPISODES):
            obs, _ = env.reset(seed=seed + number)
            done = False
            while not done:
                question = obs.get("question", "")
                words = (
                    agent.answer(obs["image"], question)
                    if question
                    else agent.caption(obs["image"])
                )
                before = obs["image"]
                obs, reward, terminated, truncated, info = env.step(words)
                done, source = terminated or truncated, info["source"]
                shown[source] += 1
                if shown[source] <= each:
                    pair = {"image": png(before), "question": question, "words": words}
                    pair |= {"truth": info["reference"], "mark": mark(float(reward))}
                    yield source, pair
            if min(shown.values()) >= each:
                return
    finally:
        env.close()


def by_source(pairs: Iterator[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Pairs, those of one source together."""
    return [pair | {"source": source} for source, pair in sorted(pairs, key=lambda pair: pair[0])]


def conversation(agent: GatoAgent, seed: int) -> list[dict[str, Any]]:
    """One dialogue; the agent reads its own earlier replies."""
    env, messages, turns = envs.make(CHAT), list[dict[str, str]](), []
    try:
        obs, _ = env.reset(seed=seed)
        done = False
        while not done:
            said = str(obs["text"])
            messages.append({"role": "user", "content": said})
            reply = agent.chat(messages)
            # A conversation has no empty turns, even if nothing was said.
            messages.append({"role": "assistant", "content": reply.strip() or "..."})
            obs, reward, terminated, truncated, info = env.step(reply)
            done = terminated or truncated
            told = {"truth": info["reference"], "mark": mark(float(reward))}
            turns.append({"said": said, "words": reply} | told)
    finally:
        env.close()
    return turns


def films(
    agent: GatoAgent, task: str, seed: int, episodes: int, folder: Path
) -> Iterator[dict[str, Any]]:
    """Videos of a task, one per episode, with how each went."""
    for number in range(seed, seed + episodes):
        watch = _Instruction()
        path = folder / f"{task.replace('/', '__')}-{number}.mp4"
        with VideoObserver(path) as video:
            score = evaluate(
                task,
                agent,
                episodes=1,
                seed=number,
                observers=[watch, video],
                render_mode="rgb_array",
            )
        stills = video.stills(3)
        yield {
            "task": task,
            "instruction": watch.text,
            "video": f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}",
            "poster": png(stills[len(stills) // 2]),
            "seed": number,
            "result": f"{score.mean_return:g}",
            "expert": None if score.expert is None else f"{score.expert:.4g}",
            "random": None if score.random is None else f"{score.random:.4g}",
            "steps": round(score.mean_length),
            "mark": None if score.success_rate is None else mark(score.success_rate, *DONE),
        }
        path.unlink()


class _Instruction:
    """An observer that keeps the words an episode begins with."""

    text = ""

    def on_reset(self, env: Any, obs: Any, info: dict[str, Any], seed: int) -> None:
        """Read them."""
        leaves = flatten_observation(obs).values()
        self.text = "; ".join(value for value in leaves if isinstance(value, str))

    def on_step(self, *step: Any) -> None:
        """They stay."""

    def on_episode_end(self, result: Any) -> None:
        """They were read at the beginning."""


def own_pictures(agent: GatoAgent, files: Sequence[Path]) -> list[dict[str, Any]]:
    """Captions of the user's own files, of which nobody knows the truth here."""
    found = []
    for file in files:
        words = agent.caption(file)
        # As the network sees it, of its own shape and sharper.
        found.append({"image": png(read_picture(file)), "words": words, "name": file.name})
    return found


def mark(reward: float, right: str = "right", wrong: str = "wrong") -> dict[str, str]:
    """How a reward is shown: a sign, a word for it and the class of its colour."""
    if reward >= 1:
        return {"sign": "✓", "word": right, "look": "right"}
    if reward > 0:
        return {"sign": "◐", "word": f"{math.floor(reward * 100)}% {right}", "look": "partly"}
    return {"sign": "✗", "word": wrong, "look": "wrong"}


def png(image: np.ndarray) -> str:
    """(H, W, 3) uint8 as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def instructed(specs: Sequence[TaskSpec]) -> list[str]:
    """Tasks that are told in words what to do, one of each family before a second one of any."""
    told = [spec for spec in specs if spec.has_text and not spec.speaks]
    families = [spec.family for spec in told]
    order = sorted(range(len(told)), key=lambda i: families[:i].count(families[i]))
    return [told[i].id for i in order[:MOST_INSTRUCTED]]


def show(agent: GatoAgent, options: argparse.Namespace) -> dict[str, Any]:
    """All that the page shows; what the checkpoint never learned is named instead."""
    missing = [task for task in (CAPTION, ANSWER, CHAT) if task not in agent.specs]
    page: dict[str, Any] = {
        "checkpoint": agent.checkpoint,
        "parameters": f"{agent.model.parameter_count():,}",
        "tasks": len(agent.specs),
        "seed": options.seed,
        "question_seed": options.seed + OTHER_SCENES,
        "missing": missing,
        **dict.fromkeys(("captions", "own", "answers", "turns", "followed", "played"), ()),
    }
    if CAPTION in agent.specs:
        page["captions"] = count_right(
            "captions", by_source(pictures(agent, CAPTION, options.seed, options.pictures))
        )
        page["own"] = own_pictures(agent, options.images)
    if ANSWER in agent.specs:
        page["answers"] = count_right(
            "answers", by_source(pictures(agent, ANSWER, page["question_seed"], options.pictures))
        )
    if CHAT in agent.specs:
        page["turns"] = count_right("replies", conversation(agent, options.seed))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        told_what = instructed(list(agent.specs.values()))
        for name, tasks in (("followed", told_what), ("played", PLAYED)):
            page[name] = []
            for task in (task for task in tasks if task in agent.specs):
                page[name] += films(agent, task, options.seed, options.episodes, folder)
                print(f"{task}: return {page[name][-1]['result']}", flush=True)
    return page


def count_right(what: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Says in the terminal how many of some items are right; returns them."""
    right = sum(item["mark"]["look"] == "right" for item in items)
    print(f"{right} of {len(items)} {what} are right", flush=True)
    return items


def write(page: dict[str, Any], out: Path) -> Path:
    """Write the page, complete or not at all; everything is escaped by the template."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(page)
    path = out / TEMPLATE.name
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", help="folder or Hub id; default is the bundled agent")
    parser.add_argument("--out", type=Path, default=Path("videos"), help="folder")
    parser.add_argument("--images", type=Path, nargs="+", default=[], help="your own pictures")
    parser.add_argument("--seed", type=int, default=7000, help="of the first episode of each task")
    parser.add_argument("--pictures", type=int, default=2, help="of each source, for each part")
    parser.add_argument("--episodes", type=int, default=1, help="filmed of each task")
    options = parser.parse_args(arguments)
    for name in ("pictures", "episodes"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    try:
        for file in options.images:
            if not file.is_file():
                raise FileNotFoundError(f"no picture at {file}")
        options.out.mkdir(parents=True, exist_ok=True)  # now, not after minutes of play
        agent = GatoAgent.from_pretrained(options.checkpoint)
        path = write(show(agent, options), options.out)
    except (GatoGymError, ValueError, OSError) as error:
        print(f"one_network: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("one_network: interrupted; no page was written", file=sys.stderr)
        return 130
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, open it in any browser")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The generalist, top to bottom: collect, train, evaluate, write its card.

    python runs/generalist.py --work runs-local/generalist --jobs 2
    python runs/generalist.py --work runs-local/generalist --jobs 2 --start bundled --layers 8
    python runs/generalist.py --work runs-local/generalist --dry-run  # print the commands
    python runs/generalist.py --work runs-local/toy --toy             # all of it, learns nothing

Every step is a command of gato-gym that goes on where it was stopped, and so does this script: run
it again after a kill. The agent with its card and its scores ends up in WORK/agent.
"""

import argparse
import fnmatch
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gato_gym import GatoAgent, envs
from gato_gym.types import TaskSpec

# Clean episodes are where prompts come from; noisy ones show how an expert gets back on its way;
# led ones, which the agent of --start plays, what it would do where that agent gets stuck.
# Scattered ones are the block stacker's at unconnected moments (docs/experts.md).
CLEAN_SEED, NOISY_SEED, LED_SEED, SCATTERED_SEED = 400_000, 500_000, 700_000, 800_000
EVALUATION_SEED = 9_000
ANYWHERE = ["--expert", "scripted/stacker_anywhere"]
SCORECARD = "scorecard.json"


@dataclass(frozen=True)
class Part:
    """Tasks that are learned alike.

    names   ids, patterns, or "domain:NAME": those of them that have an expert better than chance
    share   of the training tokens, in any unit; its tasks count alike
    clean   episodes of each task, cut after `clean_steps`; 0 is the task's own end
    noisy   more of them, cut after `noisy_steps`, with random actions on a share `noise` of the
            steps in runs of `burst`
    led     where there is an agent to go on from: episodes that it plays, cut after `led_steps`, or
            a share `led_share` of their steps in runs of 5 to 40
    scattered  episodes of 20 moments, anywhere in the block stacker's work
    toy     a task that stands for them where all is small
    """

    names: tuple[str, ...]
    share: float
    clean: int = 0
    noisy: int = 0
    noise: float = 0.1
    burst: tuple[int, int] = (1, 4)
    clean_steps: int = 0
    noisy_steps: int = 0
    led: int = 0
    led_steps: int = 0
    led_share: float = 1.0
    scattered: int = 0
    toy: str | None = None

    def tasks(self) -> dict[str, list[str]]:
        """The task ids of each name."""
        return {name: [s.id for s in envs.tasks() if _meant(s, name)] for name in self.names}

    def weights(self) -> Iterator[str]:
        """The share, divided among the names by how many tasks they have."""
        found = self.tasks()
        total = sum(map(len, found.values()))
        for name, tasks in found.items():
            yield f"{name}={self.share * len(tasks) / total:.4g}"


def _meant(spec: TaskSpec, name: str) -> bool:
    if spec.expert is None:
        return False
    if (
        None not in (spec.expert_score, spec.random_score)
        and spec.expert_score <= spec.random_score
    ):
        return False
    return spec.domain == name.removeprefix("domain:") or fnmatch.fnmatchcase(spec.id, name)


def _games(*names: str) -> tuple[str, ...]:
    return tuple(f"ALE/{name}-v5" for name in names)


# Shares follow the number of tasks and how long an episode of tokens is: what is seen as pictures,
# or moves an arm, needs most. Arms hold still once they are there, so their episodes are cut. Where
# a motion is smooth, the action before tells the next one better than what is seen does: there
# noise is strong and lasts, so that it does not, and pictures of blocks are shown in no order. Left
# out is what so few tokens do not teach: walking, racing, mazes, blocks of odd shapes; Breakout,
# which an agent that misses nothing and hits nothing plays for ever.
STACKING = "gato_gym/BlockStacking-"
PARTS = (
    Part(("Meta-World/*",), 24, 6, 60, 0.15, (1, 5), noisy_steps=250, toy="Meta-World/reach-v3"),
    Part((f"{STACKING}v0",), 7, 30, 500, 0.2, (2, 6)),
    Part((f"{STACKING}Instructed-v0",), 6, 30, 500, 0.2, (2, 6)),
    Part((f"{STACKING}Reach-v0", f"{STACKING}Lift-v0"), 1.5, 30, 150, 0.2, (2, 6)),
    Part(
        (f"{STACKING}pixels-v0",),
        *(22, 30, 350, 0.2, (2, 6)),
        led=112,
        led_steps=220,
        led_share=0.7,
        scattered=3000,
    ),
    Part(
        (f"{STACKING}Lift-pixels-v0",),
        *(9, 30, 150, 0.2, (2, 6)),
        led=32,
        led_steps=160,
        led_share=0.8,
        scattered=1000,
    ),
    Part(
        (f"{STACKING}Reach-pixels-v0",),
        *(8, 30, 150, 0.2, (2, 6)),
        led=24,
        led_steps=80,
        scattered=1000,
    ),
    Part((f"{STACKING}Locate-pixels-v0",), 4, 3000),
    Part(
        ("domain:babyai_pixels",),
        *(9, 100, 300, 0.15, (1, 3)),
        toy="gato_gym/BabyAI-GoToObj-pixels-v0",
    ),
    Part(_games("Boxing"), 5, 20, 150, 0.3, (1, 8)),
    Part(_games("Kangaroo"), 3, 3, 100, 0.3, (1, 8), 4000, 3000, led=120, led_steps=900),
    Part(_games("Krull"), 3, 3, 100, 0.3, (1, 8), 4000, 3000, led=32, led_steps=1500),
    Part(_games("CrazyClimber"), 0.7, 3, 100, 0.3, (1, 8), 4000, 3000),
    Part(_games("Skiing"), 7, 10, 150, 0.3, (1, 24), led=440, led_steps=450),
    Part(_games("Pong"), 5, 4, 60, 0.2, (1, 8), 4000, 1200, led=32, led_steps=500),
    Part(_games("Freeway", "KungFuMaster"), 3.4, 3, 25, 0.1, (1, 4), 4000, 3000),
    Part(_games("Asterix", "UpNDown"), 0.8, 10, 60, 0.1, (1, 4)),
    Part(("text/captioning", "text/vqa"), 4, 2200),
    Part(("text/dialogue",), 2, 3000),
    Part(("Reacher-v5", "Swimmer-v5"), 1.6, 5, 60, 0.3, (1, 8)),
    Part(("Hopper-v5",), 1.5, 5, 60, 0.3, (1, 8), led=112, led_steps=300),
    Part(("domain:dm_control", "domain:dm_control_random_small"), 9, 4, 40, 0.3, (1, 8)),
    Part(("LunarLander*",), 3, 8, 150, 0.2, (1, 8)),
    Part(
        (
            *("popgym-*OnlyCart[Pp]ole*", "popgym-RepeatPrevious[EM]*"),
            *("popgym-MultiarmedBandit[EM]*", "popgym-HigherLower*"),
        ),
        *(4.6, 150, 300, 0.2, (1, 4)),
    ),
    Part(("popgym-RepeatFirst*",), 2, 150, 150, 0.2, (1, 4)),
    Part(("domain:classic",), 3, 20, 200, 0.3, (1, 6), toy="CartPole-v1"),
    Part(("domain:toy_text",), 0.8, 300),
)

TRAIN = ("--batch", "24", "--learning-rate", "1e-3", "--optimizer", "muon", "--compile", "on")
TRAIN += (
    "--schedule",
    "wsd",
    "--arithmetic",
    "bfloat16",
    "--save-every",
    "250",
    "--log-every",
    "50",
)
STEPS = 43_600  # of all parts behind the bundled weights (docs/generalist.md)
TOY_TRAIN = ("--size", "tiny", "--batch", "2", "--log-every", "1")


def collect(part: Part, options: argparse.Namespace) -> Iterator[list[str]]:
    """The experts' episodes of a domain."""
    tasks = [part.toy] if options.toy else [task for one in part.tasks().values() for task in one]
    noise = ["--noise", str(part.noise), "--burst", *map(str, part.burst)]
    ways = [
        (part.clean, CLEAN_SEED, part.clean_steps, []),
        (part.noisy, NOISY_SEED, part.noisy_steps, noise),
        (part.scattered, SCATTERED_SEED, 20, ANYWHERE),
    ]
    if options.start is not None:
        learner = ["--learner", options.start]
        if part.led_share < 1:
            learner += ["--noise", str(part.led_share), "--burst", "5", "40"]
        ways.append((part.led, LED_SEED, part.led_steps, learner))
    for episodes, seed, steps, injected in ways:
        if not episodes:
            continue
        command = ["collect", *map(str, tasks), "--episodes", str(2 if options.toy else episodes)]
        command += ["--seed", str(seed), "--workers", str(options.jobs), *injected]
        command += ["--max-steps", str(steps)] if steps else []
        yield [*command, "--out", str(options.work / "corpus")]


def train(parts: Sequence[Part], options: argparse.Namespace) -> list[str]:
    """One network on all of it."""
    folders = {"--corpus": "corpus", "--out": "run", "--export": "agent"}
    command = ["train"]
    for option, name in folders.items():
        command += [option, str(options.work / name)]
    command += ["--steps", str(2 if options.toy else options.steps)]
    command += ["--threads", str(options.jobs), *(TOY_TRAIN if options.toy else TRAIN)]
    if options.start is not None:
        command += ["--start", options.start]
        command += [] if options.layers is None else ["--layers", str(options.layers)]
    command += ["--weights"]
    for part in parts:
        command += [f"{part.toy}={part.share}"] if options.toy else part.weights()
    return command


def evaluate(options: argparse.Namespace) -> list[str]:
    """Every task on seeds that no corpus has. Beside the agent's folder, which a finished training
    writes anew when it is asked again: what is played already outlives that."""
    episodes = 1 if options.toy else 20
    command = ["eval", "--all", "--checkpoint", str(options.work / "agent"), "--controls"]
    command += ["--episodes", str(episodes), "--seed", str(EVALUATION_SEED), "--num-envs", "16"]
    command += ["--workers", str(options.jobs)]
    return [*command, "--out", str(options.work / SCORECARD)]


def commands(options: argparse.Namespace) -> Iterator[list[str]]:
    """All steps in turn."""
    parts = [part for part in PARTS if part.toy or not options.toy]
    for part in parts:
        yield from collect(part, options)
    yield train(parts, options)
    yield evaluate(options)


def write_card(work: Path) -> None:
    """Give the agent its scores, and its README.md anew with them."""
    shutil.copy(work / SCORECARD, work / "agent" / SCORECARD)
    GatoAgent.from_pretrained(work / "agent").save_pretrained(work / "agent")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is not done yet; the exit code of the first command that fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of corpus, run and agent")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes, threads")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the training")
    parser.add_argument("--start", help='an agent to go on from, or "bundled"')
    parser.add_argument("--layers", type=int, help="deepen that agent to so many blocks")
    parser.add_argument("--toy", action="store_true", help="three tasks, two steps, seconds")
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")
    options = parser.parse_args(arguments)
    for command in commands(options):
        print(f"$ gato-gym {shlex.join(command)}", flush=True)
        if options.dry_run:
            continue
        code = subprocess.run([sys.executable, "-m", "gato_gym", *command], check=False).returncode
        if code:
            return code
    if not options.dry_run:
        write_card(options.work)
    return 0


if __name__ == "__main__":
    sys.exit(main())

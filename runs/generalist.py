"""The generalist, top to bottom: collect, train, evaluate, write its card.

    python runs/generalist.py --work runs-local/generalist --jobs 2
    python runs/generalist.py --work runs-local/generalist --jobs 2 --start bundled --layers 8
    python runs/generalist.py --work runs-local/generalist --dry-run  # print the commands
    python runs/generalist.py --work runs-local/toy --toy             # all of it, learns nothing

Every step is a command of gato-gym that goes on where it was stopped, and so does this script: run
it again after a kill. The agent with its card and its scores ends up in WORK/agent.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Clean episodes are where prompts come from; noisy ones show how an expert gets back on its way.
CLEAN_SEED, NOISY_SEED, EVALUATION_SEED = 200_000, 300_000, 9_000
SCORECARD = "scorecard.json"


@dataclass(frozen=True)
class Part:
    """What is learned of a domain.

    domain  of the catalogue: all of its tasks that have an expert
    share   of the training tokens, in any unit; its tasks count alike
    clean   episodes of each task
    noisy   more of them, with random actions on a share `noise` of the steps
    toy     a task that stands for the domain where all is small
    """

    domain: str
    share: float
    clean: int
    noisy: int = 0
    noise: float = 0.0
    toy: str | None = None


# Shares follow the number of tasks and how long an episode of tokens is: what is seen as pictures,
# or moves an arm, needs most. Games of memory and tables are learned from little.
PARTS = (
    Part("meta_world", 25, clean=5, noisy=35, noise=0.1, toy="Meta-World/reach-v3"),
    Part("manipulation", 20, clean=40, noisy=260, noise=0.2),
    Part("atari", 14, clean=5, noisy=35, noise=0.1),
    Part("babyai_pixels", 10, 100, 300, noise=0.15, toy="gato_gym/BabyAI-GoToObj-pixels-v0"),
    Part("text", 8, clean=2000),
    Part("mujoco", 5, clean=5, noisy=35, noise=0.1),
    Part("robotics", 4, clean=20, noisy=100, noise=0.1),
    Part("dm_control", 3, clean=5, noisy=25, noise=0.1),
    Part("dm_control_random_small", 2, clean=10, noisy=20, noise=0.1),
    Part("dm_control_random_large", 2, clean=10, noisy=20, noise=0.1),
    Part("box2d", 4, clean=10, noisy=60, noise=0.1),
    Part("popgym", 5, clean=200),
    Part("classic", 2, clean=10, noisy=60, noise=0.2, toy="CartPole-v1"),
    Part("toy_text", 1, clean=100),
)

TRAIN = ("--batch", "16", "--learning-rate", "1e-3", "--optimizer", "muon", "--compile", "on")
TRAIN += ("--arithmetic", "bfloat16", "--save-every", "250", "--log-every", "50")
STEPS = 9000
TOY_TRAIN = ("--size", "tiny", "--batch", "2", "--log-every", "1")


def collect(part: Part, options: argparse.Namespace) -> Iterator[list[str]]:
    """The experts' episodes of a domain."""
    tasks = [str(part.toy)] if options.toy else ["--domain", part.domain]
    ways = [(part.clean, CLEAN_SEED, 0.0), (part.noisy, NOISY_SEED, part.noise)]
    for episodes, seed, noise in ways:
        if not episodes:
            continue
        command = ["collect", *tasks, "--episodes", str(2 if options.toy else episodes)]
        command += ["--seed", str(seed), "--workers", str(options.jobs)]
        command += ["--noise", str(noise)] if noise else []
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
    return [*command, "--weights", *(f"domain:{part.domain}={part.share}" for part in parts)]


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
    from gato_gym import GatoAgent

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

"""The command line: `gato-gym VERB`. One module per verb, imported when its verb is asked for.

Exit codes: 0 done, 1 failed, 2 wrong use or bad input, 130 interrupted. What goes wrong is told in
one line on stderr; a traceback is a bug.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from types import ModuleType

VERBS = {
    "tasks": "list the tasks, their scores and which extra installs them",
    "collect": "let an expert play a task and add its episodes to a corpus",
    "corpus": "verify, count, describe and merge corpora; exchange data with Minari",
    "train": "train a model on a corpus, or resume",
    "finetune": "adapt an agent to a task with few episodes, all weights or LoRA",
    "transfer": "study what pretraining is worth on tasks that were held out of it",
    "eval": "play a task and report return, confidence interval and normalised score",
    "probe": "ask what scores rest on: the prompt, noise, delays, other colours and modes",
    "report": "write one page about a run: scores, curves, data, videos, model card",
    "record": "write a video of an agent",
    "caption": "say what is in pictures, or answer a question about them",
    "chat": "talk with an agent",
    "tokenizer": "learn a text model from texts, or look at one",
    "bench": "measure speed against a reference in the same run",
}

_BAD_PATHS = (
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; wrong options raise SystemExit(2)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(_usage(), file=sys.stdout if given else sys.stderr)
        return 0 if given else 2
    verb, *rest = given
    if verb == "--version":
        from gato_gym import __version__

        print(__version__)
        return 0
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(VERBS)}"
        print(f"gato-gym: unknown verb {verb!r}: {hint}", file=sys.stderr)
        return 2
    return _run(verb, rest)


def _usage() -> str:
    lines = [f"  {verb:9}  {purpose}" for verb, purpose in VERBS.items()]
    example = "example: gato-gym eval --task CartPole-v1 --episodes 50 --seed 7000 --json"
    more = "gato-gym VERB --help shows a verb's options and an example."
    return "\n".join(["usage: gato-gym VERB [OPTIONS]", "", *lines, "", more, example])


def _run(verb: str, arguments: list[str]) -> int:
    import tyro
    from gymnasium.error import DependencyNotInstalled

    from gato_gym.errors import GatoGymError, TrainingError

    # Nothing here opens a window; pygame looks for a display otherwise, and greets on stdout, which
    # belongs to --json. grain misses jax aloud, which it does not need.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    module = importlib.import_module(f"gato_gym.cli.{verb}")
    options = tyro.cli(
        module.Options,
        prog=f"gato-gym {verb}",
        description=module.__doc__,
        args=_with_action(module, arguments),
        # --json, not --json and --no-json.
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    try:
        code: int = module.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as interrupt:
        return _told(verb, interrupt, 130, "interrupted")
    except BrokenPipeError:
        # The reader of our output went away (`| head`); there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except TrainingError as error:  # the options were right: it failed later
        return _told(verb, error, 1)
    except (GatoGymError, ValueError, DependencyNotInstalled, *_BAD_PATHS) as error:
        return _told(verb, error, 2)
    except OSError as error:
        return _told(verb, error, 1)


def _with_action(module: ModuleType, arguments: list[str]) -> list[str]:
    """Where only options are given, and the verb has a first choice of what to do, that is meant.

    `gato-gym transfer --budget small` runs the study; `gato-gym transfer` alone asks for an action.
    """
    action: str | None = getattr(module, "DEFAULT_ACTION", None)
    meant = action is not None and arguments and arguments[0].startswith("-")
    if action is None or not meant or arguments[0] in ("-h", "--help"):
        return arguments
    return [action, *arguments]


def _told(verb: str, error: BaseException, code: int, default: str = "") -> int:
    told = " ".join(str(error).split()) or default or type(error).__name__
    print(f"gato-gym {verb}: {told}", file=sys.stderr)
    return code

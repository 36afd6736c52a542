"""What the dialogues say is true: of the catalogue, the command line, the code and its files."""

import importlib
import itertools
import json
import re
import shlex
from pathlib import Path

import pytest
import tyro

import gato_gym
from gato_gym.cli import VERBS
from gato_gym.envs import registry
from gato_gym.envs.block_stacking.scene import COLOURS as BLOCK_COLOURS
from gato_gym.envs.language.dialogue_grammar import FOLDER, fillings, grammar
from gato_gym.envs.language.dialogue_subjects import COLOURS
from gato_gym.tokenizers.vocabulary import BINS
from gato_gym.types import PATCH_SIDE

ROOT = Path(__file__).parents[3]
KINDS = grammar()
EXAMPLES = sorted(
    reply.removeprefix("run: ").removeprefix("for example: ")
    for name in ("example", "eval_on", "record_on", "collect_of", "all_eval")
    for subject in KINDS[name].subjects[:14]
    for reply in fillings(KINDS[name].replies[0], subject)
)


def replies(name, subject=None):
    """All replies of a kind about the subject of this name, by default the only one."""
    kind = KINDS[name]
    about = kind.subjects[0] if subject is None else by_name(name, subject)
    return list(itertools.chain(*(fillings(reply, about) for reply in kind.replies)))


def by_name(kind, name):
    return next(subject for subject in KINDS[kind].subjects if subject.name == name)


def parsed(command):
    """The options of a command as its verb reads them."""
    program, verb, *arguments = shlex.split(command)
    assert program == "gato-gym" and verb in VERBS, command
    options = importlib.import_module(f"gato_gym.cli.{verb}").Options
    return tyro.cli(options, args=arguments, config=(tyro.conf.FlagCreatePairsOff,))


def options_of(verb):
    """The text of a verb's module, which declares its options as fields."""
    return Path(importlib.import_module(f"gato_gym.cli.{verb}").__file__).read_text()


@pytest.mark.parametrize("command", EXAMPLES)
def test_commands_are_understood(command):
    parsed(command)


def test_every_verb_that_is_named_exists():
    for subject in KINDS["verb"].subjects:
        _, verb, *action = subject.slots["verb"][0].split()
        assert verb in VERBS
        if action:
            assert f"class {action[0].title()}" in options_of(verb)


@pytest.mark.parametrize(
    ("kind", "verbs", "field"),
    [
        ("check_env", ["tasks"], "check"),
        ("all_eval", ["eval"], "all"),
        ("overlay", ["record"], "overlay"),
        ("threads", ["collect"], "workers"),
        ("many_machines", ["collect", "eval"], "ray"),
        ("lora", ["finetune"], "lora"),
        ("which_seed", ["collect", "eval", "record"], "seed"),
        ("json", ["tasks", "collect", "train", "eval", "record", "bench"], "json"),
    ],
)
def test_options_that_are_named_exist(kind, verbs, field):
    assert all(f"--{field}" in reply for reply in replies(kind))
    for verb in verbs:
        assert re.search(rf"^    {field}: ", options_of(verb), re.MULTILINE), verb


def test_tasks_are_as_the_catalogue_has_them():
    for subject in KINDS["id"].subjects:
        spec = registry.load_tasks()[subject.name]
        assert all(subject.name in reply for reply in replies("id", subject.name))
        assert all(spec.domain in reply.split() + reply[:-1].split()
                   for reply in replies("domain", subject.name))  # fmt: skip
        assert all(spec.action.kind in reply for reply in replies("control", subject.name))
        assert (subject in KINDS["collect_of"].subjects) == (spec.expert is not None)
        extra = f"gato-gym[{spec.extra}]" if spec.extra else "no extra"
        assert all(extra in reply for reply in replies("install", subject.name))


@pytest.mark.parametrize(
    ("task", "kind", "expected"),
    [
        ("CartPole-v1", "actions", "cartpole has 2 actions."),
        ("ALE/Boxing-v5", "actions", "boxing has 18 actions."),
        ("ALE/Pong-v5", "actions", "pong has 6 actions."),
        ("Ant-v5", "actions", "ant has actions of 8 numbers."),
        ("Pendulum-v1", "actions", "pendulum has actions of 1 number."),
        ("gato_gym/BlockStacking-v0", "actions", "block stacking has actions of 5 numbers."),
        ("CartPole-v1", "sees", "cartpole shows 4 numbers."),
        ("Blackjack-v1", "sees", "blackjack shows 3 whole numbers."),
        ("FrozenLake-v1", "sees", "frozen lake shows one whole number."),
        ("ALE/Pong-v5", "sees", "pong shows a picture."),
        (
            "MiniGrid-FourRooms-v0",
            "sees",
            "four rooms shows the grid nearby and a mission in words.",
        ),
        ("FetchReach-v4", "sees", "fetch reach shows 16 numbers."),
        ("CartPole-v1", "install", "cartpole needs no extra, it comes with gato-gym."),
        ("ALE/Pong-v5", "install", 'pip install "gato-gym[atari]" brings pong.'),
        ("BabyAI-OpenDoor-v0", "domain", "open door is in the domain babyai."),
    ],
)
def test_facts_of_tasks_in_words(task, kind, expected):
    assert expected in replies(kind, task)


def test_tasks_that_tests_can_build_have_the_actions_and_observations_that_are_told():
    for task in ("CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Acrobot-v1"):
        env = gato_gym.make(task, tokenize=False)
        space = env.action_space
        actions = f"{space.n} actions" if hasattr(space, "n") else f"of {space.shape[0]} number"
        assert actions in replies("actions", task)[0]
        if env.observation_space.shape:
            assert f"{env.observation_space.shape[0]} numbers" in replies("sees", task)[0]


def test_what_is_said_of_the_code_is_so():
    said = {name: " ".join(replies("meaning", name)) for name in ("a patch", "a bin")}
    assert f"{PATCH_SIDE} times {PATCH_SIDE} pixels" in said["a patch"]
    assert f"{BINS} equal parts" in said["a bin"]
    assert tuple(BLOCK_COLOURS) == COLOURS
    for kind, method in (
        ("acting", "act"),
        ("chatting", "chat"),
        ("captions", "caption"),
        ("loading", "from_pretrained"),
    ):
        assert callable(getattr(gato_gym.GatoAgent, method))
        assert all(method in reply for reply in replies(kind))
    assert callable(gato_gym.make)


def test_what_is_said_of_the_project_is_so():
    project = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.11"' in project and "3.11 or newer" in replies("python")[0]
    assert "Apache-2.0" in project and "apache 2.0" in replies("licence")[0]
    targets = (ROOT / "Makefile").read_text()
    for kind, target in (("demo", "demo"), ("tests", "test")):
        assert f"\n{target}:" in targets and f"make {target}" in replies(kind)[0]
    assert "2205.06175" in (ROOT / "README.md").read_text()
    assert all("2205.06175" in reply for reply in replies("paper"))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.name)
def test_each_file_says_its_licence(path):
    assert json.loads(path.read_text())["licence"].startswith("Apache-2.0")

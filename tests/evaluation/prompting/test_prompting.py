"""Which prompt is the wrong one, and what the three ways of beginning are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.errors import PromptError
from gato_gym.evaluation.prompting.conditions import CONDITIONS
from gato_gym.evaluation.prompting.players import with_condition, wrong_tasks
from gato_gym.models.gato import Gato
from gato_gym.types import Episode

POLE, LIFT, BOXING = "CartPole-v1", "Pendulum-v1", "ALE/Boxing-v5"
BLOCKS = "gato_gym/BlockStacking-v0"


@pytest.fixture(scope="module")
def bundled():
    return GatoAgent.from_pretrained()


def shown(task, spec, steps=3):
    observations = {
        leaf.key: np.zeros((steps + 1, *leaf.shape), np.uint8 if leaf.kind == "image" else "f4")
        for leaf in spec.observations
    }
    shape = (steps,) if spec.action.kind == "discrete" else (steps, spec.action.size)
    actions = np.zeros(shape, np.int64 if spec.action.kind == "discrete" else np.float32)
    return Episode(task, observations, actions, np.zeros(steps), False, 0, "test")


def tiny(*tasks, prompts=None):
    torch.manual_seed(0)
    specs = {task: envs.task_spec(task) for task in tasks}
    held = {task: shown(task, specs[task]) for task in (tasks if prompts is None else prompts)}
    return GatoAgent(Gato(model_config("tiny")), specs, held)


@pytest.mark.parametrize(
    "task, wrong",
    [
        ("gato_gym/BabyAI-GoToObj-pixels-v0", "gato_gym/BabyAI-GoToLocal-pixels-v0"),
        ("gato_gym/BlockStacking-v0", "gato_gym/BlockStacking-Instructed-v0"),
        ("gato_gym/BlockStacking-Instructed-v0", "gato_gym/BlockStacking-v0"),
        ("text/vqa", "text/captioning"),
        # Nothing of their domains: actions of the same kind come first.
        ("CartPole-v1", "ALE/Boxing-v5"),
        ("ALE/Boxing-v5", "CartPole-v1"),
    ],
)
def test_the_wrong_task_is_the_most_alike(task, wrong):
    names = ("BabyAI-GoToObj-pixels", "BabyAI-GoToLocal-pixels", "BlockStacking-Instructed")
    tasks = [*(f"gato_gym/{name}-v0" for name in (*names, "BlockStacking")), "text/captioning"]
    specs = {one: envs.task_spec(one) for one in (*tasks, "text/vqa", POLE, BOXING)}
    prompts = dict.fromkeys(specs)
    assert wrong_tasks(task, specs, prompts)[0] == wrong
    backwards = dict(reversed(prompts.items()))
    assert wrong_tasks(task, specs, backwards)[0] == wrong
    assert set(wrong_tasks(task, specs, prompts)) == set(prompts) - {task}


def test_a_bundled_task_of_every_domain_can_begin_in_three_ways(bundled):
    for task in {spec.domain: task for task, spec in bundled.specs.items()}.values():
        told = {}
        for name in CONDITIONS:
            player, told[name] = with_condition(bundled, task, name)
            player.reset(task)
            assert (bundled._demonstrations.of(bundled._roles[0]) is None) == (name == "none")
        assert told["own"] == task and told["none"] is None
        assert told["wrong"] == wrong_tasks(task, bundled.specs, bundled.prompts)[0]


def test_an_own_prompt_is_what_the_agent_begins_with_anyway(bundled):
    player, _ = with_condition(bundled, POLE, "own")
    player.reset(POLE)
    read = bundled._demonstrations.of(bundled._roles[0])
    bundled.reset(POLE)
    usual = bundled._demonstrations.of(bundled._roles[0])
    np.testing.assert_array_equal(read.cache.lengths, usual.cache.lengths)
    torch.testing.assert_close(read.cache.keys[0], usual.cache.keys[0], atol=0, rtol=0)


def test_what_is_not_there_is_said():
    alone = tiny(POLE)
    with pytest.raises(PromptError, match="has no demonstration of another task"):
        with_condition(alone, POLE, "wrong")
    with pytest.raises(PromptError, match="has no demonstration of it"):
        with_condition(tiny(POLE, LIFT, prompts=[LIFT]), POLE, "own")


def test_a_demonstration_of_which_no_step_fits_is_passed_over():
    agent = tiny(BLOCKS, POLE, BOXING, prompts=[POLE, BOXING])
    assert wrong_tasks(BLOCKS, agent.specs, agent.prompts) == [BOXING, POLE]
    assert with_condition(agent, BLOCKS, "wrong")[1] == BOXING
    # Half of the context is less than a step of pictures then, but not a step of CartPole.
    small = Gato(replace(agent.config, context=40))
    pole = GatoAgent(small, agent.specs, agent.prompts)
    assert with_condition(pole, BLOCKS, "wrong")[1] == POLE
    none = GatoAgent(small, agent.specs, {BOXING: agent.prompts[BOXING]})
    with pytest.raises(PromptError, match="no demonstration of another task can be read"):
        with_condition(none, BLOCKS, "wrong")

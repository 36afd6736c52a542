"""Scaling studies that are made up: a plan, its folder, and results with known scores."""

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.evaluation.scaling.budgets import budget
from gato_gym.evaluation.scaling.plan import make_plan
from gato_gym.evaluation.scaling.study import ScalingStudy

SIZES = ("bundle@64", "bundle@128", "bundle")
TASKS = ("CartPole-v1", "MountainCar-v0", "Reacher-v5")
"""Two of one domain and one of another."""


def trained(settings, data="dd"):
    """The result of a training that nobody did."""
    points = {
        str(step): {
            "tokens": step * settings["batch"] * settings["model"]["context"],
            "weights": f"{settings['size']} {settings['seed']} {step}",
            "loss": 2.0 - 0.1 * number,
            "losses": {task: 2.0 - 0.1 * number for task in settings["tasks"]},
        }
        for number, step in enumerate(settings["points"])
    }
    return {
        "tasks": {task: 1 / len(settings["tasks"]) for task in settings["tasks"]},
        "tokens": settings["tokens"],
        "steps": settings["steps"],
        "parameters": 1000 * settings["model"]["width"],
        "training_seconds": 10.0,
        "tokens_per_second": settings["tokens"] / 10,
        "loss": 1.5,
        "losses": dict.fromkeys(settings["tasks"], 1.5),
        "data": data,
        "points": points,
    }


def played(settings, level, rng):
    """The result of playing with a normalised score of about `level`."""
    spec = envs.task_spec(settings["task"])
    shares = level + 0.05 * rng.normal(size=settings["episodes"])
    returns = spec.random_score + (spec.expert_score - spec.random_score) * shares
    return {
        "weights": f"{settings['size']} {settings['seed']} {settings['step']}",
        "task": spec.id,
        "seed": 1_000_000,
        "random": spec.random_score,
        "expert": spec.expert_score,
        "success_rate": None,
        "returns": returns.tolist(),
    }


@pytest.fixture
def fill(tmp_path):
    """Make a study of which a function of a play unit's settings gives the levels; None leaves an
    evaluation out."""

    def make(level, **numbers):
        numbers = {"sizes": SIZES, "tasks": TASKS, "points": 3, "episodes": 8} | numbers
        plan = make_plan(budget("small", **numbers))
        study = ScalingStudy.create(tmp_path / "study", plan.budget)
        for number, unit in enumerate(plan.units):
            result = {"episodes": 1}
            if unit.stage == "train":
                result = trained(unit.settings)
            elif unit.stage == "play":
                height = level(unit.settings)
                if height is None:
                    continue
                result = played(unit.settings, height, np.random.default_rng(number))
            study.begin(unit)
            study.finish(unit, result, seconds=1.0, machine="a desk", versions={"torch": "2"})
        return study, plan

    return make

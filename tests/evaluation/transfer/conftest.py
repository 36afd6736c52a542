"""Studies that are made up: a plan, its folder, and results with known transfer."""

import numpy as np
import pytest

from gato_gym.evaluation.transfer.budgets import budget
from gato_gym.evaluation.transfer.plan import make_plan
from gato_gym.evaluation.transfer.study import Study
from gato_gym.training.finetune import smoothed

RANDOM, EXPERT = 20.0, 820.0


def made_up(level, rng, *, base="aa", spread=0.02, steps=(25, 50, 75, 100), smooth=3):
    """A few-shot result whose curve rises to a normalised score of about `level`."""
    level += spread * rng.normal()
    curve = [{"step": 0, "mean_return": RANDOM, "returns": [RANDOM, RANDOM]}]
    for number, step in enumerate(steps, 1):
        share = level * number / len(steps) + spread * rng.normal(size=2)
        returns = (RANDOM + (EXPERT - RANDOM) * share).tolist()
        curve.append({"step": step, "mean_return": float(np.mean(returns)), "returns": returns})
    means = smoothed([point["mean_return"] for point in curve[1:]], smooth)
    best = int(np.argmax(means))
    return {
        "score": means[best],
        "score_at_step": steps[best + smooth - 1],
        "smoothed_over": smooth,
        "normalized": (means[best] - RANDOM) / (EXPERT - RANDOM),
        "random": RANDOM,
        "expert": EXPERT,
        "last": means[-1],
        "before": RANDOM,
        "seconds": 1.0,
        "base": base,
        "curve": curve,
    }


@pytest.fixture
def fill(tmp_path):
    """Make a study whose cells have the levels that a function of the cell gives; None leaves a
    cell out."""

    def make(level, **numbers):
        plan = make_plan(budget("small", **numbers))
        study = Study.create(tmp_path / "study", plan.budget)
        for unit in plan.units:
            if unit.stage == "pretrain":
                study.begin(unit)
                told = {"tasks": {"a": 1.0}, "loss": 1.25}
                study.finish(
                    unit, {"weights": "aa", "training_seconds": 60.0, **told}, seconds=90.0
                )
            elif unit.stage == "collect":
                study.begin(unit)
                study.finish(unit, {"episodes": 2, "steps": 1000}, seconds=36.0, machine="a laptop")
        for number, cell in enumerate(plan.cells):
            height = level(cell)
            if height is not None:
                unit = plan.unit(cell.key)
                study.begin(unit)
                study.finish(unit, made_up(height, np.random.default_rng(number)), seconds=72.0)
        return study, plan

    return make

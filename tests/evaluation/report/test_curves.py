"""Series of logs: gaps, old logs, long logs, and the few-shot curve."""

import numpy as np
import pytest

from gato_gym.evaluation.report.curves import MOST_POINTS, curves, few_shot


def line(step, loss=1.0, **more):
    return {"step": step, "loss": loss, **more}


def test_a_loss_that_is_not_finite_is_a_gap_and_named():
    found = curves([line(10, 2.0), line(20, float("nan")), line(30, float("inf")), line(40, 1.5)])
    assert found.broken == [20, 30] and found.last_loss == 1.5
    assert np.isnan(found.loss.values).tolist() == [False, True, True, False]
    assert found.rate is None and found.speed is None and not found.parts


def test_no_logs_no_curves():
    assert curves([]) is None


def test_domains_where_the_log_has_them():
    found = curves([line(1, domain_losses={"b": 1, "a": 2}, losses={"T-v0": 3})])
    assert found.parts_of == "domain" and [one.name for one in found.parts] == ["a", "b"]


def test_older_logs_are_drawn_by_task_or_by_the_domains_of_many():
    few = curves([line(1, losses={"A-v0": 1.0}), line(2, losses={"B-v0": 3.0})])
    assert few.parts_of == "task"
    assert np.isnan(few.parts[0].values).tolist() == [False, True]  # A-v0 is not in the second
    many = {f"T{n}-v0": float(n) for n in range(10)}
    specs = {task: {"domain": "odd" if n % 2 else "even"} for n, task in enumerate(many)}
    found = curves([line(1, losses=many)], specs=specs)
    assert found.parts_of == "domain"
    assert {one.name: one.values[0] for one in found.parts} == {"even": 4.0, "odd": 5.0}


def test_long_logs_are_thinned_to_means():
    count = 2 * MOST_POINTS
    found = curves([line(step, float(step)) for step in range(count)])
    assert found.together == 2 and len(found.loss.values) == MOST_POINTS
    assert found.loss.values[0] == 0.5 and found.loss.steps[-1] == count - 1.5
    assert found.logs == count


def test_values_of_other_types_are_gaps():
    assert curves([line(1, "low"), line(2, None), line(3, 2.0)]).broken == [1, 2]


@pytest.fixture
def curve():
    returns = (1.0, 4.0, 6.0, 2.0)
    return [{"step": 10 * n, "mean_return": value} for n, value in enumerate(returns)]


def test_the_few_shot_score_is_the_maximum_of_the_moving_average(curve):
    spec = {"random_score": 0.0, "expert_score": 10.0}
    found = few_shot({"task": "A-v0", "smooth": 2}, curve, {}, spec)
    # Step 0, before training, does not count.
    assert found.average.values.tolist() == [5.0, 4.0] and found.width == 2
    assert found.best == (20, 5.0) and found.normalized == 0.5
    assert few_shot({"task": "A-v0"}, [], {}, spec) is None
    before = few_shot({"task": "A-v0", "smooth": 2}, curve[:1], {}, spec)
    assert before.best is None and before.normalized is None

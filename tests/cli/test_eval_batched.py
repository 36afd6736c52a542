"""`gato-gym eval --num-envs`: the same episodes, many at once."""

import pytest

from gato_gym.cli import eval as evaluation
from gato_gym.cli.players import load_gato


@pytest.fixture
def played(monkeypatch):
    """The `num_envs` of each evaluation."""
    seen, evaluate = [], evaluation.evaluate

    def spy(*args, num_envs, **kwargs):
        seen.append(num_envs)
        return evaluate(*args, num_envs=num_envs, **kwargs)

    monkeypatch.setattr(evaluation, "evaluate", spy)
    return seen


def test_the_episodes_do_not_depend_on_it(run_json, agent, played):
    command = ("eval", "--task", "CartPole-v1", "--episodes", 5, "--checkpoint", agent)
    alone = run_json(*command, "--num-envs", 1)
    assert (alone.pop("num_envs"), alone.pop("steps_per_second") > 0) == (1, True)
    assert len(set(alone["returns"])) > 1
    for asked, used in ((3, 3), (16, 5)):
        found = run_json(*command, "--num-envs", asked)
        assert (found.pop("num_envs"), found.pop("steps_per_second") > 0) == (used, True)
        assert found == alone
    assert played == [1, 3, 16]


def test_the_model_plays_in_batches_unless_told_otherwise(run_json, agent, played):
    command = ("eval", "--episodes", 2, "--seed", 3)
    found = run_json(*command, "--all", "--checkpoint", agent)
    assert [row["num_envs"] for row in found["tasks"]] == [2]
    for kind in ("expert", "random"):
        found = run_json(*command, "--task", "MountainCarContinuous-v0", "--agent", kind)
        assert found["num_envs"] == 1
    assert played == [8, 1, 1]


def test_rounded_weights_play_under_their_own_name(run_json, fails, agent):
    command = ("eval", "--task", "CartPole-v1", "--episodes", 3, "--checkpoint", agent)
    alone, found = (run_json(*command, "--precision", "bfloat16", "--num-envs", n) for n in (1, 3))
    assert found["checkpoint"] == alone["checkpoint"] == f"{agent} (bfloat16)"
    assert found["num_envs"] == 3
    told = fails("eval", "--task", "CartPole-v1", "--agent", "random", "--precision", "bfloat16")
    assert "--precision is for --agent gato" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--num-envs", 0), "--num-envs must be at least 1, got 0"),
        (("--num-envs", -2), "got -2"),
        (("--num-envs", 2, "--agent", "expert"), "--ray local --workers"),
        (("--num-envs", 2, "--agent", "random"), "--agent random plays one episode"),
        (("--num-envs", 2, "--ray", "local"), "with --ray pass --workers"),
    ],
)
def test_wrong_use(arguments, told, fails):
    assert told in fails("eval", "--task", "CartPole-v1", *arguments)


def test_ctrl_c(run, agent, monkeypatch):
    """In the middle of a batch: one line, no traceback, no result."""
    player, calls = load_gato(str(agent)), []
    predict = type(player).predict

    def interrupted(self, *args, **kwargs):
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return predict(self, *args, **kwargs)

    monkeypatch.setattr(type(player), "predict", interrupted)
    code, out, err = run(
        *("eval", "--task", "CartPole-v1", "--episodes", 9, "--checkpoint", agent, "--json")
    )
    assert (code, out) == (130, "") and len(calls) == 4
    assert "Traceback" not in err and err.count("\n") <= 1


def test_without_a_demonstration(run_json, agent):
    command = ("eval", "--task", "CartPole-v1", "--episodes", 3, "--checkpoint", agent)
    alone, found = (run_json(*command, "--no-prompt", "--num-envs", n) for n in (1, 3))
    assert found["num_envs"] == 3 and found["returns"] == alone["returns"]
    assert found["checkpoint"].endswith("(no prompt)")

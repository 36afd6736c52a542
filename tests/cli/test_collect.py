"""`gato-gym collect`: which tasks, what is kept, what a dry run tells, and how failures end."""

import json

import pytest
from gymnasium.envs.classic_control import CartPoleEnv

from gato_gym.agents.experts import sb3
from gato_gym.data.corpus import Corpus
from gato_gym.envs import tasks
from gato_gym.envs.registry import registered

KEYS = {
    *("task", "expert", "episodes", "steps", "skipped", "rejected", "missing", "mean_return"),
    *("noise", "random_start", "max_steps", "learner", "error"),
}


def test_many_tasks_on_one_pool(run_json, tmp_path):
    command = ("collect", "CartPole-v1", "Pendulum-*", "--domain", "toy_text")
    options = ("--episodes", 2, "--seed", 5, "--out", tmp_path / "c")
    found = run_json(*command, *options, "--workers", 2)
    wanted = ["CartPole-v1", "Pendulum-v1", *(s.id for s in tasks("toy_text") if s.expert)]
    assert [row["task"] for row in found["tasks"]] == wanted
    for row in found["tasks"]:
        assert set(row) == KEYS
        assert (row["episodes"], row["missing"], row["error"]) == (2, 0, None)
    corpus = Corpus.open(tmp_path / "c")
    assert {(e.task, e.seed) for e in corpus.episodes()} == {(t, s) for t in wanted for s in (5, 6)}
    assert all(row["skipped"] == 2 for row in run_json(*command, *options)["tasks"])


def test_the_text_tells_the_same(run, tmp_path):
    code, out, err = run("collect", "CartPole-v1", "--episodes", 2, "--out", tmp_path / "c")
    assert (code, err) == (0, "")
    assert out == "CartPole-v1: 2 episodes (1000 steps) added, 0 were there already, " + (
        "mean return 500\n"
    )


def test_a_cut_collection_is_recorded_and_goes_on(run_json, tmp_path):
    cut = ("--episodes", 3, "--max-steps", 30, "--out", tmp_path / "c")
    (row,) = run_json("collect", "CartPole-v1", *cut)["tasks"]
    assert (row["max_steps"], row["steps"], row["mean_return"]) == (30, 90, 30.0)
    assert run_json("collect", "CartPole-v1", *cut)["tasks"][0]["skipped"] == 3
    whole = ("--episodes", 3, "--out", tmp_path / "c")
    assert run_json("collect", "CartPole-v1", *whole)["tasks"][0]["steps"] == 1500


def test_a_learner_plays_and_its_weights_are_named(run_json, tmp_path):
    led = ("--learner", "bundled", "--max-steps", 5, "--episodes", 2, "--out", tmp_path / "c")
    (row,) = run_json("collect", "CartPole-v1", *led)["tasks"]
    assert (row["episodes"], row["steps"]) == (2, 10)
    entries = Corpus.open(tmp_path / "c").episodes()
    assert {e.learner for e in entries} == {row["learner"]} and len(row["learner"]) == 8
    assert {e.expert for e in entries} == {"sb3/CartPole-v1"}
    assert run_json("collect", "CartPole-v1", *led)["tasks"][0]["skipped"] == 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--learner", "bundled", "--random-start", 3), "leave --random-start out"),
        (("--learner", "bundled", "--train-expert"), "leave --learner out"),
        (("--learner", "nowhere/at-all/x"), "nowhere/at-all/x"),
    ],
)
def test_learners_that_cannot_play(fails, tmp_path, options, problem):
    assert problem in fails("collect", "CartPole-v1", "--out", tmp_path / "c", *options)
    assert not (tmp_path / "c").exists()


def test_noise_and_random_start_are_recorded(run_json, tmp_path):
    injected = ("--noise", 0.3, "--burst", 2, 4, "--random-start", 6)
    out = ("--episodes", 2, "--out", tmp_path / "c")
    (row,) = run_json("collect", "CartPole-v1", *injected, *out)["tasks"]
    assert (row["noise"], row["random_start"]) == (0.3, 6)
    corpus = Corpus.open(tmp_path / "c")
    assert {(e.noise, e.burst, e.random_start) for e in corpus.episodes()} == {(0.3, (2, 4), 6)}
    assert run_json("collect", "CartPole-v1", *injected, *out)["tasks"][0]["skipped"] == 2
    assert run_json("collect", "CartPole-v1", *out)["tasks"][0]["episodes"] == 2


# Filters


def test_min_fraction_is_a_share_of_the_catalogues_scores(run_json, tmp_path):
    noisy = ("collect", "CartPole-v1", "--noise", 0.2, "--episodes", 6, "--out", tmp_path / "c")
    noisy += ("--max-attempts", 100)
    (row,) = run_json(*noisy, "--min-fraction", 0.15)["tasks"]
    assert row["rejected"] > 0 and row["missing"] == 0
    spec = registered("CartPole-v1")
    least = spec.random_score + 0.15 * (spec.expert_score - spec.random_score)
    corpus = Corpus.open(tmp_path / "c")
    assert all(entry.episode_return >= least for entry in corpus.episodes())
    # The stricter of the two counts.
    again = run_json(*noisy, "--min-fraction", 0.1, "--min-return", least)["tasks"][0]
    assert (again["skipped"], again["rejected"]) == (6, row["rejected"])


def test_too_few_good_episodes_are_told_and_kept(run, tmp_path):
    command = ("collect", "CartPole-v1", "--min-return", 501, "--episodes", 2)
    code, out, err = run(*command, "--out", tmp_path / "c", "--max-attempts", 4)
    assert code == 1 and "4 rejected" in out
    assert "2 of 2 episodes are missing: the filter rejected 4; raise --max-attempts" in err
    assert len(Corpus.open(tmp_path / "c")) == 0


def test_filters_that_cannot_work_are_refused(fails, tmp_path):
    out = ("--out", tmp_path / "c")
    assert "no success" in fails("collect", "CartPole-v1", "--only-success", *out)
    told = fails("collect", "CartPole-v1", "--max-attempts", 3, "--episodes", 4, *out)
    assert "--max-attempts 3 is below --episodes 4" in told
    unknown = "gato_gym.testing:gato_gym/Toy-v0"
    told = fails(*("collect", unknown, "--expert", "sb3/CartPole-v1", "--min-fraction", 0.5), *out)
    assert "CartPole-v1" in told
    assert not (tmp_path / "c").exists()


# Failures


def test_a_failing_task_is_told_at_the_end(run, tmp_path, monkeypatch):
    step = CartPoleEnv.step
    countdown = iter(range(700))

    def breaking(self, action):
        if next(countdown, None) is None:
            raise RuntimeError("the cart\nfell off")
        return step(self, action)

    monkeypatch.setattr(CartPoleEnv, "step", breaking)
    command = ("collect", "CartPole-v1", "Pendulum-v1", "--episodes", 3, "--out", tmp_path / "c")
    code, out, err = run(*command, "--json")
    assert code == 1
    assert (
        err == "gato-gym collect: CartPole-v1 failed at seed 1: RuntimeError: the cart fell off\n"
    )
    cart, pendulum = json.loads(out)["tasks"]
    assert cart["error"] == {"seed": 1, "message": "RuntimeError: the cart fell off"}
    assert (cart["episodes"], cart["missing"], pendulum["missing"]) == (1, 2, 0)
    monkeypatch.undo()
    assert run(*command)[0] == 0
    assert Corpus.open(tmp_path / "c").verify().episodes == 6


def test_out_is_needed(fails):
    assert "--out is missing" in fails("collect", "CartPole-v1")


# Dry run


def test_a_dry_run_writes_nothing_and_comes_near(run_json, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tasks = ("CartPole-v1", "gato_gym/BlockStacking-v0")
    command = ("collect", *tasks, "--episodes-per-shard", 5, "--episodes", 30)
    found = run_json(*command, "--out", "c", "--dry-run")
    assert list(tmp_path.iterdir()) == []
    cart, blocks = found["tasks"]
    assert (cart["episodes"], cart["attempts"], cart["steps"]) == (30, 30, 15_000)
    assert cart["tokens"] == 15_000 * 6  # four numbers, a separator, an action
    for name in ("episodes", "attempts", "steps", "tokens", "bytes", "seconds"):
        assert found["total"][name] == pytest.approx(cart[name] + blocks[name])
    assert found["total"]["wall_seconds"] == found["total"]["seconds"]
    run_json(*command, "--out", "c")
    stats = run_json("corpus", "stats", "c")
    assert found["total"]["steps"] == pytest.approx(stats["steps"], rel=0.3)
    assert found["total"]["tokens"] == pytest.approx(stats["tokens"], rel=0.3)
    assert found["total"]["bytes"] == pytest.approx(stats["bytes"], rel=0.3)
    # Nothing is missing any more; and of more episodes, the mean is now that of all.
    again = run_json(*command, "--out", "c", "--dry-run")
    assert again["total"]["episodes"] == again["total"]["seconds"] == 0
    more = run_json(*command[:-1], 60, "--out", "c", "--dry-run")
    assert more["total"]["episodes"] == 60
    assert "nothing was written" in run(*command[:-1], 60, "--out", "c", "--dry-run")[1]


def test_a_dry_run_tells_what_does_not_work(run, monkeypatch):
    def broken(self, action):
        raise RuntimeError("no cart")

    monkeypatch.setattr(CartPoleEnv, "step", broken)
    code, out, err = run("collect", "CartPole-v1", "Pendulum-v1", "--dry-run", "--json")
    assert code == 1 and "CartPole-v1 failed at seed 0: RuntimeError: no cart" in err
    cart, pendulum = json.loads(out)["tasks"]
    assert cart["steps"] == 0 and cart["error"]["seed"] == 0
    assert pendulum["steps"] == 10 * 200 and pendulum["error"] is None


# Training on the way


def test_an_expert_is_trained_and_then_collects(run_json, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = ("collect", "CartPole-v1", "--train-expert", "--train-steps", 2048)
    found = run_json(*train, "--episodes", 0)
    (trained,) = found["trained"]
    assert trained["folder"] == "experts/CartPole-v1" and found["tasks"] == []
    assert trained["evaluation"]["episodes"] == 20
    assert (tmp_path / "experts" / "CartPole-v1" / "policy.safetensors").is_file()
    found = run_json(*train, "--episodes", 2, "--out", "c")
    (row,) = found["tasks"]
    assert row["episodes"] == 2 and row["expert"].startswith("sb3/CartPole-v1@")
    with_folder = ("--expert", "experts/CartPole-v1", "--episodes", 2, "--out", "c")
    assert run_json("collect", "CartPole-v1", *with_folder)["tasks"][0]["skipped"] == 2


def test_an_expert_that_cannot_be_trained_leaves_the_others(run, tmp_path, monkeypatch):
    done = []

    def train(task, out, total_steps=None, **kwargs):
        if task == "CartPole-v1":
            raise RuntimeError("it diverged")
        done.append(task)
        return {"evaluation": {"mean": 1.0}}

    monkeypatch.setattr(sb3, "train_expert", train)
    tasks = ("CartPole-v1", "Hopper-v5")
    options = ("--train-expert", "--episodes", 0, "--experts", tmp_path)
    code, out, err = run("collect", *tasks, *options, "--json")
    assert code == 1 and done == ["Hopper-v5"]
    assert "CartPole-v1: not trained: RuntimeError: it diverged" in err
    assert json.loads(out)["trained"][1]["task"] == "Hopper-v5"


def test_training_refuses_what_it_cannot_do(fails, tmp_path):
    train = ("--train-expert", "--episodes", 0, "--experts", tmp_path / "e")
    assert "how to train" in fails("collect", "Taxi-v4", *train)
    assert "leave --expert out" in fails("collect", "CartPole-v1", *train, "--expert", "x")
    assert "leave --dry-run out" in fails("collect", "CartPole-v1", *train, "--dry-run")
    told = fails("collect", "CartPole-v1", "--train-steps", 5, "--out", tmp_path / "c")
    assert "--train-steps is for --train-expert" in told
    assert list(tmp_path.iterdir()) == []


def test_training_needs_a_place_for_the_episodes_that_are_asked_for(fails, tmp_path):
    told = fails("collect", "CartPole-v1", "--train-expert", "--experts", tmp_path / "e")
    assert "--episodes 0 to train only" in told and not (tmp_path / "e").exists()

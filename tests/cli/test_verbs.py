"""What each verb prints, and how it refuses bad input."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from gato_gym import envs
from gato_gym.agents import RandomAgent
from gato_gym.cli import bench
from gato_gym.cli import eval as evaluation
from gato_gym.cli.export import choose_prompts, shortened, thinned
from gato_gym.cli.runlog import RunLog
from gato_gym.cli.train import Options, command_line, parse_weights
from gato_gym.data.corpus import Corpus
from gato_gym.envs import task_spec
from gato_gym.evaluation.scores import evaluate
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary

SCORE_KEYS = {
    *("task", "episodes", "seed", "mean_return", "ci95", "random", "expert", "normalized"),
    *("success_rate", "checkpoint", "steps_per_second"),
}
STATS_KEYS = {"episodes", "tasks", "tokens", "bytes", "by_task"}
BENCH_KEYS = {"value", "unit", "reference", "ratio", "machine", "command"}


# collect and corpus


def test_collecting_again_adds_nothing(run_json, corpus):
    found = run_json("collect", "CartPole-v1", "--out", corpus, "--episodes", 4, "--seed", 10)
    assert found["tasks"][0] | {"episodes": 0, "steps": 0, "skipped": 4} == found["tasks"][0]


def test_corpus_stats_json(run_json, corpus):
    found = run_json("corpus", "stats", corpus)
    assert set(found) >= STATS_KEYS
    assert (found["episodes"], found["tasks"]) == (6, 1)
    steps = sum(entry.steps for entry in Corpus.open(corpus).episodes())
    # Four numbers, a separator, an action.
    assert found["tokens"] == found["by_task"]["CartPole-v1"]["tokens"] == 6 * steps


def test_corpus_list_and_verify(run_json, run, corpus):
    rows = run_json("corpus", "list", corpus)
    assert [row["seed"] for row in rows] == [10, 11, 12, 13, 20, 21]
    assert run_json("corpus", "verify", corpus)["episodes"] == 6
    assert "every byte" in run("corpus", "verify", corpus)[1]
    assert len(run("corpus", "list", corpus)[1].splitlines()) == 6
    assert "total" in run("corpus", "stats", corpus)[1]


@pytest.mark.parametrize("action", ["list", "verify", "stats"])
def test_a_missing_corpus(action, fails, tmp_path):
    assert "does not exist" in fails("corpus", action, tmp_path / "none")


def test_a_corrupt_shard(fails, corpus, tmp_path):
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    shard = next((copy / "shards").iterdir())
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    told = fails("corpus", "verify", copy)
    assert shard.name in told and "corpus repair" in told
    out = tmp_path / "run"
    told = fails("train", "--corpus", copy, "--out", out, "--size", "tiny", "--steps", 1)
    assert told.count(shard.name) == 1 and "corpus repair" in told
    assert not out.exists()


def test_collect_refuses_before_it_writes(fails, tmp_path):
    out = tmp_path / "corpus"
    assert "'CartPole-v1'" in fails("collect", "CartPol-v1", "--out", out)
    assert "'CartPole-v1'" in fails("collect", "CartPole-v1", "CartPol-v1", "--out", out)
    assert "did you mean" in fails("collect", "CartPole-v1", "--out", out, "--expert", "sb3/Cart")
    assert "--noise" in fails("collect", "CartPole-v1", "--out", out, "--noise", 2)
    assert "--episodes" in fails("collect", "CartPole-v1", "--out", out, "--episodes", 0)
    for burst in ((0, 3), (4, 2)):
        assert "--burst" in fails("collect", "CartPole-v1", "--out", out, "--burst", *burst)
    wrong = fails("collect", "ALE/Boxing-v5", "--out", out, "--expert", "sb3/CartPole-v1")
    assert all(name in wrong for name in ("'CartPole-v1'", "'ALE/Boxing-v5'", "'sb3/ALE/Boxing"))
    both = ("CartPole-v1", "ALE/Boxing-v5", "--expert", "sb3/CartPole-v1")
    assert "'ALE/Boxing-v5'" in fails("collect", *both, "--out", out)
    assert "stacker" in fails(
        "collect", "CartPole-v1", "--out", out, "--expert", "scripted/stacker"
    )
    nobody = next(spec.id for spec in envs.tasks() if spec.expert is None)
    assert "--expert" in fails("collect", nobody, "--out", out)
    assert "at least one task" in fails("collect", "--out", out)
    assert not out.exists()


def test_collect_refuses_a_folder_that_is_something_else(fails, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    assert "no corpus" in fails("collect", "CartPole-v1", "--out", tmp_path)


# eval


@pytest.mark.parametrize("kind", ["expert", "random"])
def test_eval_json_of_references(kind, run_json):
    found = run_json("eval", "--task", "CartPole-v1", "--agent", kind, "--episodes", 2)
    assert set(found) >= SCORE_KEYS
    assert (found["task"], found["episodes"], found["seed"]) == ("CartPole-v1", 2, 7000)
    assert found["checkpoint"] == ("random" if kind == "random" else "sb3/CartPole-v1")


def test_eval_json_of_a_checkpoint_with_and_without_prompt(run_json, agent):
    command = ("eval", "--task", "CartPole-v1", "--episodes", 1, "--checkpoint", agent)
    assert run_json(*command)["checkpoint"] == str(agent)
    assert run_json(*command, "--no-prompt")["checkpoint"].endswith("(no prompt)")


def test_eval_of_all_tasks(run_json, agent, tmp_path):
    out = tmp_path / "scores" / "card.json"
    found = run_json("eval", "--all", "--episodes", 1, "--checkpoint", agent, "--out", out)
    assert [row["task"] for row in found["tasks"]] == ["CartPole-v1"]
    assert set(found["domains"]["classic"]) >= {"mean", "iqm", "ci95", "count"}
    assert found["checkpoint"] == str(agent)
    assert json.loads(out.read_text()) == found
    bare = run_json("eval", "--all", "--no-prompt", "--episodes", 1, "--checkpoint", agent)
    assert bare["checkpoint"] == f"{agent} (no prompt)"
    assert [path.name for path in out.parent.iterdir()] == ["card.json"]


def test_eval_warns_of_a_task_that_was_not_trained(run, agent, monkeypatch):
    played = evaluate("CartPole-v1", RandomAgent(0), episodes=1, seed=0)
    monkeypatch.setattr(evaluation, "evaluate", lambda *args, **kwargs: played)
    command = ("eval", "--checkpoint", agent, "--episodes", 1, "--task")
    code, _, err = run(*command, "Acrobot-v1")
    assert (code, err.count("\n")) == (0, 1)
    assert "Acrobot-v1 is not among the " in err and "CartPole-v1" in err
    assert run(*command, "CartPole-v1")[2] == ""


def test_eval_for_people(run):
    code, out, _ = run("eval", "--task", "CartPole-v1", "--agent", "expert", "--episodes", 1)
    assert code == 0
    assert "500.0" in out.splitlines()[1]


def test_an_unknown_task(fails, agent):
    for kind in ("gato", "expert", "random"):
        assert "'CartPole-v1'" in fails("eval", "--task", "CartPole-v7", "--agent", kind)
    assert "'CartPole-v1'" in fails("record", "--task", "CartPol-v1", "--out", "x.mp4")
    assert "'CartPole-v1'" in fails("bench", "data", "--task", "CartPol-v1")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--task"),
        (("--task", "CartPole-v1", "--all"), "--task"),
        (("--task", "CartPole-v1", "--agent", "random", "--episodes", 0), "at least 1"),
        (("--task", "CartPole-v1", "--agent", "random", "--checkpoint", "x"), "--checkpoint"),
        (("--task", "CartPole-v1", "--agent", "expert", "--no-prompt"), "--no-prompt"),
        (("--task", "CartPole-v1", "--checkpoint", "/none/there"), "does not exist"),
        (("--task", "ALE/Zaxxon-v5", "--agent", "expert"), "no expert"),
    ],
)
def test_wrong_use_of_eval(arguments, told, fails):
    assert told in fails("eval", *arguments)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_corrupt_checkpoint(damage, fails, agent, tmp_path):
    copy = tmp_path / "agent"
    shutil.copytree(agent, copy)
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(data[:-100])
    else:
        data[-1] ^= 1
        weights.write_bytes(data)
    told = fails("eval", "--task", "CartPole-v1", "--checkpoint", copy, "--episodes", 1)
    assert "model.safetensors" in told


# record


def test_recording_an_expert(run_json, tmp_path):
    out = tmp_path / "a{b}" / "cart.mp4"
    command = ("record", "--task", "CartPole-v1", "--agent", "expert", "--out", out)
    found = run_json(*command, "--fps", 100)
    assert found["files"] == [str(out)]
    with av.open(str(out)) as video:
        assert sum(1 for _ in video.decode(video=0)) == 501


def test_recording_several_episodes(run_json, tmp_path):
    command = ("record", "--task", "CartPole-v1", "--agent", "random", "--episodes", 2)
    found = run_json(*command, "--seed", 3, "--out", tmp_path / "cart.mp4")
    assert [Path(file).name for file in found["files"]] == ["cart-3.mp4", "cart-4.mp4"]


def test_a_video_has_to_be_an_mp4(fails, tmp_path):
    command = ("record", "--task", "CartPole-v1", "--agent", "random", "--out", tmp_path / "x.gif")
    assert ".mp4" in fails(*command)
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_cannot_be_written_is_named(fails, tmp_path):
    (tmp_path / "film.mp4").mkdir()
    out = tmp_path / "film.mp4"
    told = fails("record", "--task", "CartPole-v1", "--agent", "random", "--out", out)
    assert str(out) in told
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "film.mp4"
    told = fails("record", "--task", "CartPole-v1", "--agent", "random", "--out", out)
    assert str(out) in told


# bench


@pytest.mark.parametrize("what", ["env", "data", "act"])
def test_bench_json(what, run_json):
    found = run_json(
        *("bench", what, "--task", "CartPole-v1", "--size", "tiny"),
        *("--rounds", 1, "--seconds", 0),
    )
    assert set(found) >= BENCH_KEYS
    assert found["value"] > 0 and found["reference"] > 0
    assert found["ratio"] == pytest.approx(found["value"] / found["reference"], rel=0.05)


def test_bench_takes_turns():
    order = []
    pair = bench.Pair("x/s", lambda: order.append("ours") or 1, lambda: order.append("ref") or 1)
    bench.alternate(pair, rounds=2, seconds=0)
    assert order == ["ours", "ref"] * 3


# train


@pytest.mark.parametrize(
    ("pairs", "weights"),
    [
        ((), None),
        (("a=1", "ALE/B-v5=0.5"), {"a": 1.0, "ALE/B-v5": 0.5}),
        (("a=b=2",), {"a=b": 2}),
        (("domain:x=3", "a=1"), {"domain:x": 3, "a": 1}),
    ],
)
def test_weights(pairs, weights):
    assert parse_weights(pairs) == weights


@pytest.mark.parametrize("pair", ["a", "=1", "a=", "a=x", "a=0", "a=-1", "a=nan", "a=inf"])
def test_bad_weights(pair):
    with pytest.raises(ValueError, match="TASK=WEIGHT"):
        parse_weights([pair])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--size", "bundel"), "'bundle'"),
        (("--weights", "CartPol-v1=1"), "CartPole-v1"),
        (("--weights", "CartPole-v1"), "TASK=WEIGHT"),
        (("--weights", "domain:clasic=1"), "'classic'"),
        (("--mixture", "paper"), "no weight for the domains classic"),
        (("--steps", 0), "steps"),
        (("--batch", 0), "batch"),
        (("--threads", 0), "--threads"),
        (("--prompt-share", 2), "prompt_share"),
    ],
)
def test_wrong_use_of_train(arguments, told, fails, corpus, tmp_path):
    out = tmp_path / "run"
    assert told in fails("train", "--corpus", corpus, "--out", out, *arguments)
    assert not out.exists()


def test_training_without_a_corpus(fails, tmp_path):
    told = fails("train", "--corpus", tmp_path / "none", "--out", tmp_path / "run")
    assert "does not exist" in told


def test_training_never_replaces_a_foreign_folder(fails, corpus, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    command = ("train", "--corpus", corpus, "--out", tmp_path / "run", "--export", tmp_path)
    assert "holds no agent" in fails(*command)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_the_command_line_comes_back_without_paths_of_this_machine():
    options = Options(Path("/data/x/corpus"), Path("/runs/a"), steps=5, weights=("a=1", "b=2"))
    assert command_line(options) == (
        "gato-gym train --corpus corpus --out a --weights a=1 b=2 --steps 5"
    )


def test_the_prompt_is_the_best_and_shortest_clean_episode(corpus):
    entries = Corpus.open(corpus).episodes()
    prompt = choose_prompts(Corpus.open(corpus), ["CartPole-v1"])["CartPole-v1"]
    clean = [entry for entry in entries if entry.noise == 0]
    assert prompt.episode_return == max(entry.episode_return for entry in clean)
    assert prompt.seed == 10  # all four reach 500: the lowest seed


def test_a_prompt_is_as_long_as_the_context(corpus):
    prompt = choose_prompts(Corpus.open(corpus), ["CartPole-v1"])["CartPole-v1"]
    tokenizer = StepTokenizer(task_spec("CartPole-v1"), Vocabulary(1024))
    # 6 tokens a step: 16 of them fill 96.
    short = shortened(prompt, tokenizer, 96)
    assert len(short) == 16 and (short.seed, short.terminated) == (prompt.seed, False)
    assert len(shortened(prompt, tokenizer, 97)) == 17
    assert shortened(prompt, tokenizer, 1_000_000) is prompt
    np.testing.assert_array_equal(short.actions, prompt.actions[:16])
    np.testing.assert_array_equal(
        short.observations["observation"], prompt.observations["observation"][:17]
    )


def test_the_log_forgets_what_a_resumed_run_repeats(tmp_path):
    lines = [{"step": step, "losses": {}, "accuracy": {}} for step in (1, 2, 3)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "train.jsonl").write_text(text + '{"step": 4, "los')
    assert [line["step"] for line in RunLog(tmp_path, 2).lines] == [1, 2]
    kept = (tmp_path / "train.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in kept] == [1, 2]


def test_the_curve_keeps_its_end():
    lines = [{"step": i, "loss": 1.0, "losses": {}, "accuracy": {}} for i in range(1, 1235)]
    points = thinned(lines)
    assert len(points) <= 100 and points[-1]["step"] == 1234
    assert [p["step"] for p in points] == sorted(p["step"] for p in points)
    assert thinned([]) == []


def test_of_many_tasks_the_curve_keeps_fewer_points():
    many = {f"task {i}": 1.0 for i in range(300)}
    lines = [{"step": i, "loss": 1.0, "losses": many, "accuracy": many} for i in range(1, 201)]
    points = thinned(lines)
    assert len(points) == 100 and all("loss" in point for point in points)
    detailed = [point["step"] for point in points if "losses" in point]
    assert len(detailed) <= 2000 / 300 and detailed[-1] == 200
    assert points[-1]["accuracy"] == many

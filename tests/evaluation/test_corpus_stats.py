"""Counting a corpus: tokens are those of training, scores those of the catalogue."""

import json

import numpy as np
import pytest

from gato_gym import envs
from gato_gym.config import MODELS
from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.evaluation.corpus_stats import corpus_stats
from gato_gym.evaluation.scores import normalize
from gato_gym.testing import TOY_TASK, ToyExpert, make_toy
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import Episode


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("stats")
    toy = {"out": path, "expert": ToyExpert(), "make_env": make_toy}
    collect(TOY_TASK, episodes=3, seed=5, **toy)
    collect(TOY_TASK, episodes=2, seed=90, noise=0.3, **toy)
    collect("CartPole-v1", out=path, episodes=2, seed=0)
    collect("CartPole-v1", out=path, episodes=2, seed=7, noise=0.3, burst=(2, 3), random_start=4)
    return Corpus.open(path)


def test_tokens_are_those_that_training_sees(corpus):
    stats = corpus_stats(corpus)
    for task in (TOY_TASK, "CartPole-v1"):
        spec = envs.task_spec(task)
        tokenizer = StepTokenizer(spec, Vocabulary(MODELS["bundle"].text_size))
        seen = 0
        for entry in corpus.episodes(task):
            steps = corpus.read_steps(entry, 0, entry.steps)
            seen += len(
                tokenizer.sequence(steps["observations"], steps["actions"], steps["expert_actions"])
            )
        assert stats["by_task"][task]["tokens"] == seen > 0
    assert stats["tokens"] == sum(row["tokens"] for row in stats["by_task"].values())


def test_returns_lengths_and_scores(corpus):
    stats = corpus_stats(corpus)
    assert json.loads(json.dumps(stats)) == stats
    assert (stats["episodes"], stats["tasks"]) == (9, 2)
    entries = corpus.episodes("CartPole-v1")
    returns = [entry.episode_return for entry in entries]
    row = stats["by_task"]["CartPole-v1"]
    assert row["mean_return"] == pytest.approx(np.mean(returns))
    assert row["std_return"] == pytest.approx(np.std(returns))
    assert (row["min_return"], row["max_return"]) == (min(returns), max(returns))
    assert row["mean_length"] == np.mean([entry.steps for entry in entries])
    spec = envs.task_spec("CartPole-v1")
    assert (row["random"], row["expert"]) == (spec.random_score, spec.expert_score)
    assert row["normalized"] == normalize(row["mean_return"], row["random"], row["expert"])
    assert row["success_rate"] is None and row["domain"] == "classic"
    assert (row["seeds"], row["experts"]) == ([0, 8], ["sb3/CartPole-v1"])
    toy = stats["by_task"][TOY_TASK]
    assert toy["success_rate"] == 1.0
    assert (toy["random"], toy["expert"], toy["normalized"], toy["domain"]) == (
        *(None, None, None, "other"),
    )


def test_parts_tell_how_episodes_were_made(corpus):
    rows = corpus_stats(corpus)["by_task"]
    names = ("expert", "noise", "burst", "random_start", "episodes", "seeds")
    assert [[part[name] for name in names] for part in rows["CartPole-v1"]["parts"]] == [
        ["sb3/CartPole-v1", 0.0, [1, 8], 0, 2, [0, 1]],
        ["sb3/CartPole-v1", 0.3, [2, 3], 4, 2, [7, 8]],
    ]
    assert [part["seeds"] for part in rows[TOY_TASK]["parts"]] == [[5, 7], [90, 91]]


def episode(**observations):
    steps = len(next(iter(observations.values()))) - 1
    return Episode(
        task="nobody/Knows-v0",
        observations=observations,
        actions=np.zeros((steps, 2), np.float32),
        rewards=np.zeros(steps),
        terminated=True,
        seed=0,
        expert="me",
    )


@pytest.mark.parametrize(
    ("observations", "tokens"),
    [
        ({"x": np.zeros((4, 3), np.float32)}, 3 + 3),
        ({"x": np.zeros(4, np.int64), "y": np.zeros((4, 2, 2))}, 5 + 3),
        ({"table": np.zeros((4, 7, 7, 3), np.uint8)}, 147 + 3),
        ({"image": np.zeros((4, 32, 48, 3), np.uint8)}, 6 + 3),
        ({"image": np.zeros((4, 210, 160, 3), np.uint8)}, None),
        ({"x": np.zeros((4, 513))}, None),
    ],
)
def test_tokens_of_a_task_that_is_not_installed(observations, tokens, tmp_path):
    corpus = Corpus.create(tmp_path)
    corpus.append_shard([episode(**observations)])
    stats = corpus_stats(corpus)
    assert stats["tokens"] == stats["by_task"]["nobody/Knows-v0"]["tokens"]
    assert stats["tokens"] == (None if tokens is None else 3 * tokens)


def test_an_empty_corpus(tmp_path):
    stats = corpus_stats(Corpus.create(tmp_path))
    assert (stats["episodes"], stats["tokens"], stats["by_task"]) == (0, 0, {})

"""What stands beside a score: which control a task has, and that it is played on the same seeds."""

import contextlib
from types import SimpleNamespace

import pytest

from gato_gym import envs
from gato_gym.agents import RandomAgent
from gato_gym.evaluation import comparisons
from gato_gym.evaluation.comparisons import compare, control_of
from gato_gym.evaluation.language import TruthRecorder
from gato_gym.evaluation.perplexity import Perplexity
from gato_gym.evaluation.scores import evaluate

INSTRUCTED = "gato_gym/BlockStacking-Instructed-v0"


class Cheat:
    """Knows the right words, unless the observation was exchanged: then it is told another one."""

    def reset(self, env):
        self.env = env.unwrapped

    def act(self, obs, deterministic=True):
        return "no idea" if self.env.shuffled else self.env.reference


class Watch:
    """Stands in for a progress bar: which parts there were, and the seeds of each."""

    def __init__(self):
        self.parts = {}

    def __call__(self, title, episodes):
        self.seeds = self.parts.setdefault(title, [])
        return contextlib.nullcontext(self)

    def on_reset(self, env, obs, info, seed):
        self.seeds.append(seed)

    def on_step(self, *step):
        pass

    def on_episode_end(self, result):
        pass


@pytest.mark.parametrize(
    ("task", "control"),
    [
        ("text/captioning", "shuffled_image"),
        ("text/vqa", "question_only"),
        ("text/dialogue", "shuffled_question"),
        (INSTRUCTED, "shuffled_text"),
        ("CartPole-v1", None),
        ("gato_gym/BlockStacking-v0", None),
    ],
)
def test_which_control_a_task_has(task, control):
    assert control_of(envs.task_spec(task)) == control


def test_every_task_that_shows_text_has_one():
    for spec in envs.tasks():
        assert (control_of(spec) is not None) == spec.has_text, spec.id


def test_a_conversation_is_compared(monkeypatch):
    task = "text/dialogue"
    monkeypatch.setattr(comparisons, "OTHER_EPISODES", 40)
    asked = []

    def foreseen(model, said, prompt):
        asked.append((model, sorted(one.seed for one in said), prompt))
        return Perplexity(2.5, 0.5, 1.0, 100, 10)

    monkeypatch.setattr("gato_gym.evaluation.perplexity.perplexity", foreseen)
    truth, watch, model = TruthRecorder(task), Watch(), SimpleNamespace(text=None)
    score = evaluate(task, Cheat(), episodes=4, seed=7003, observers=[truth])
    assert score.accuracy == 1.0
    found = compare(score, Cheat(), model, truth.episodes, prompt=None, watch=watch)
    assert asked == [(model, [7003, 7004, 7005, 7006], None)]
    assert watch.parts == {f"{task} shuffled_question": [7003, 7004, 7005, 7006]}
    assert found["perplexity"] == 2.5 and found["teacher_forcing"]["replies"] == 10
    assert found["controls"]["shuffled_question"]["accuracy"] == 0.0
    frequent, ngram = found["baselines"]["most_frequent_reply"], found["baselines"]["ngram"]
    for one in (frequent, ngram):
        assert 0 <= one["accuracy"] < 0.9
    replies = sum(len(one) for one in truth.episodes)
    assert ngram["tokens"] > replies and 1 < ngram["perplexity"] < 100


def test_an_instructed_task_is_compared_by_success(monkeypatch):
    played = []

    def shuffled(task):
        played.append(task)
        return envs.make(task, max_episode_steps=3)

    monkeypatch.setattr(comparisons, "make_shuffled", shuffled)
    score = evaluate(INSTRUCTED, RandomAgent(0), episodes=2, seed=7000, max_episode_steps=3)
    found = compare(score, RandomAgent(0), SimpleNamespace(), [], watch=Watch())
    assert set(found) == {"controls"} and played == [INSTRUCTED]
    control = found["controls"]["shuffled_text"]
    assert control["ratio_of"] == "success_rate" and control["success_rate"] == 0.0
    assert control["ratio"] is None  # nothing is how many times nothing?
    assert control["ratio_at_least"] == 0.0  # no success is sure


def test_the_ratio_is_of_right_to_wrong_words(monkeypatch):
    def scored(success, mean):
        return SimpleNamespace(
            task=INSTRUCTED,
            episodes=5,
            seed=0,
            num_envs=1,
            accuracy=None,
            success_rate=success,
            mean_return=mean,
            ci95=(mean, mean),
        )

    for right, wrong, ratio in (
        (scored(0.8, 4.0), scored(0.2, 2.0), 4.0),
        (scored(None, 4.0), scored(None, 2.0), 2.0),
        (scored(0.8, 4.0), scored(0.0, 2.0), None),
    ):
        monkeypatch.setattr(comparisons, "evaluate", lambda *_, wrong=wrong, **__: wrong)
        found = compare(right, None, SimpleNamespace(), [], watch=Watch())
        one = found["controls"]["shuffled_text"]
        assert one["ratio"] == (ratio and pytest.approx(ratio))


def test_a_task_that_tells_no_experts_words_has_no_perplexity():
    task = "text/dialogue"
    score = evaluate(task, Cheat(), episodes=1, seed=7000)
    found = compare(score, Cheat(), SimpleNamespace(), [], watch=Watch())
    assert set(found) == {"controls"}

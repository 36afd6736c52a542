"""Scores of what is said: worked values, episodes that interleave, libraries that are missing."""

import importlib.util
import json
import string
from operator import attrgetter

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from gato_gym.evaluation import text_metrics as metrics_module
from gato_gym.evaluation.baselines import FrequentReply, Recital, dialogue_of
from gato_gym.evaluation.batched import batched_rollout
from gato_gym.evaluation.intervals import bootstrap_interval, ratio_interval
from gato_gym.evaluation.language import (
    Reply,
    ReplyRecorder,
    TruthRecorder,
    language_score,
    share,
)
from gato_gym.evaluation.rollout import rollout
from gato_gym.evaluation.scores import evaluate
from gato_gym.evaluation.text_metrics import text_metrics


class Sums(gymnasium.Env):
    """Asks as many sums as the seed says; the second letter of a right answer is half of it."""

    observation_space = spaces.Dict({"asked": spaces.Text(20, charset=string.printable)})
    action_space = spaces.Text(20, charset=string.printable)
    answers = ("four", "three", "five")
    tells = True

    def reset(self, *, seed=None, options=None):
        self.left, self.number = seed % 3 + 1, seed
        return self._asked(), {}

    def step(self, action):
        right = self.answers[self.number % 3]
        reward = 1.0 if action == right else 0.5 if action[:1] == right[:1] else 0.0
        info = {"reference": right, "source": f"sum {self.number % 3}"} if self.tells else {}
        if self.number % 3 < 2 and self.tells:
            info["held_out"] = self.number % 3 == 1
        self.left, self.number = self.left - 1, self.number + 1
        return self._asked(), reward, self.left == 0, False, info

    def _asked(self):
        return {"asked": f"sum {self.number % 3}"}


class Speaker:
    """Says one thing, alone or in a batch."""

    def __init__(self, words):
        self.words = words

    def reset(self, env_or_task):
        pass

    def act(self, obs, deterministic=True):
        return self.words

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return [None if obs is None else self.words for obs in observation], state


def replies(*rewards, seed=0, **rest):
    return [Reply(seed, "a", "a", reward, **rest) for reward in rewards]


def test_accuracy_is_the_mean_reward_and_exact_the_share_of_full_ones():
    found = share([*replies(1.0, 0.5, 0.0), *replies(1.0, seed=1)])
    assert (found.accuracy, found.exact, found.replies) == (0.625, 0.5, 4)
    low, high = found.accuracy_ci95
    # Two episodes: only one, only the other, or both.
    assert (low, high) == (0.5, 1.0)


def test_the_interval_resamples_episodes_not_steps():
    # Each of 50 episodes says ten times the same: as many independent values as episodes.
    rewards = np.random.default_rng(0).integers(0, 2, 50)
    found = share(
        [Reply(seed, "", "", float(one)) for seed, one in enumerate(rewards) for _ in range(10)]
    )
    assert found.accuracy_ci95 == pytest.approx(bootstrap_interval(rewards.tolist()))


def test_the_interval_of_a_ratio_is_as_wide_as_theory_says():
    rng = np.random.default_rng(4)
    counts = rng.integers(3, 7, 300)
    sums = [float(rng.binomial(count, 0.7)) for count in counts]
    low, high = ratio_interval(sums, counts.tolist())
    width = 2 * 1.96 * np.sqrt(0.7 * 0.3 / counts.sum())
    assert low < sum(sums) / counts.sum() < high
    assert high - low == pytest.approx(width, rel=0.15)
    assert ratio_interval([3.0, 4.0], [3, 4]) == (1.0, 1.0)


def test_sources_and_held_out_combinations_stand_apart():
    said = [
        *replies(1.0, 0.0, source="blocks", held_out=True),
        *replies(1.0, 1.0, source="atari", held_out=False, seed=1),
    ]
    found = language_score(said)
    assert {name: one.accuracy for name, one in found.sources.items()} == {
        "atari": 1.0,
        "blocks": 0.5,
    }
    assert (found.held_out.accuracy, found.held_out.replies) == (0.5, 2)
    assert language_score(replies(1.0)).held_out is None
    assert language_score(replies(1.0)).sources == {}


def test_replies_of_episodes_that_interleave_keep_their_seeds():
    recorder = ReplyRecorder()
    batched_rollout([Sums(), Sums()], Speaker("three"), episodes=4, seed=6, observers=[recorder])
    alone = ReplyRecorder()
    rollout(Sums(), Speaker("three"), episodes=4, seed=6, observers=[alone])
    assert len(recorder.replies) == 1 + 2 + 3 + 1
    order = attrgetter("seed", "reference", "reward")
    assert sorted(recorder.replies, key=order) == sorted(alone.replies, key=order)
    first = alone.replies[0]
    assert first == Reply(6, "three", "four", 0.0, "sum 0", False)
    assert {one.held_out for one in alone.replies} == {True, False, None}


def test_what_an_expert_would_have_said_is_an_episode():
    truth = TruthRecorder("sums")
    batched_rollout([Sums(), Sums()], Speaker("x"), episodes=3, seed=6, observers=[truth])
    found = {one.seed: one for one in truth.episodes}
    assert {seed: one.actions.tolist() for seed, one in found.items()} == {
        6: ["four"],
        7: ["three", "five"],
        8: ["five", "four", "three"],
    }
    assert found[7].observations["asked"].tolist() == ["sum 1", "sum 2", "sum 0"]
    silent, nobody = Sums(), TruthRecorder("sums")
    silent.tells = False
    rollout(silent, Speaker("x"), episodes=2, seed=6, observers=[nobody])
    assert nobody.episodes == []


@pytest.fixture
def registered():
    gymnasium.register("test/Sums-v0", entry_point=Sums)
    yield "test/Sums-v0"
    del gymnasium.registry["test/Sums-v0"]


@pytest.mark.parametrize("num_envs", [1, 3])
def test_the_score_of_a_task_that_speaks(registered, num_envs):
    found = evaluate(registered, Speaker("five"), episodes=3, seed=6, num_envs=num_envs)
    # Seeds 6, 7, 8 ask four | three five | five four three, of which "f" is half of four.
    assert found.returns == (0.5, 1.0, 1.5)
    assert found.accuracy == pytest.approx(3.0 / 6)
    assert found.success_rate is None
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["exact"] == pytest.approx(2 / 6)
    assert told["sources"]["sum 0"]["accuracy"] == 0.5
    assert told["held_out"]["replies"] == 2
    assert set(told["text_metrics"]) == {"bleu", "chrf", "nist", "nist_best"}


# Libraries


def test_figures_of_libraries_are_those_of_the_libraries():
    sacrebleu = pytest.importorskip("sacrebleu")
    said = ["the red block is on the blue block", "a grey ball"]
    right = ["the red block stands on the blue block", "a grey ball and a green key"]
    found, note = text_metrics(said, right)
    assert note == ""
    assert found.bleu == sacrebleu.corpus_bleu(said, [right]).score
    assert found.chrf == sacrebleu.corpus_chrf(said, [right]).score
    assert 0 < found.nist < found.nist_best


def test_right_words_have_the_best_figures_however_short():
    for words in (["yes", "no", "yes"], ["turn left", "yes"], ["a b c d e f", "b c a d e g"]):
        found, _ = text_metrics(words, words)
        assert (found.bleu, found.chrf) == (pytest.approx(100), 100)
        assert found.nist == found.nist_best > 0


@pytest.mark.parametrize("said", [["", ""], ["yes", ""], ["... .", "\n"]])
def test_wrong_words_have_the_worst_figures(said):
    found, _ = text_metrics(said, ["the ball is left of the key", "nothing is on the red block"])
    assert found.bleu == pytest.approx(0, abs=1e-6) and found.chrf < 20 and found.nist == 0


def test_without_the_libraries_there_is_a_note_instead(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        metrics_module.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "sacrebleu" else find(name, *rest),
    )
    found = language_score(replies(1.0, 0.0))
    assert found.metrics is None and found.total.accuracy == 0.5
    told = found.to_json()
    assert told["text_metrics"] is None
    assert told["note"] == 'text metrics need sacrebleu: pip install "gato-gym[language]"'


# Baselines


def test_the_most_frequent_reply_to_the_same_words():
    truth = TruthRecorder("sums")
    rollout(Sums(), Speaker("x"), episodes=5, seed=6, observers=[truth])
    agent = FrequentReply(truth.episodes)
    for number, right in enumerate(Sums.answers):
        assert agent.act({"asked": f"sum {number}"}) == right
    # Of seeds 6 to 10: four is asked 1 + 0 + 1 + 1 + 0 times and so on; five most often.
    said = [reply for episode in truth.episodes for reply in episode.actions.tolist()]
    assert agent.act({"asked": "what?"}) == max(Sums.answers, key=said.count)
    assert dialogue_of(truth.episodes[1]) == [("sum 1", "three"), ("sum 2", "five")]
    with pytest.raises(ValueError, match="no episode"):
        FrequentReply([])


def test_a_recital_is_judged_like_any_agent(registered):
    own = [["four"], ["three", "x"], ["fi", "four", "three"]]
    found = evaluate(registered, Recital(own), episodes=3, seed=6)
    assert found.returns == (1.0, 1.0, 2.5)

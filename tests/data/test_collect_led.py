"""Episodes that a learner plays: whose actions are executed, whose are the targets, and what names
them."""

import numpy as np
import pytest

from gato_gym import GatoAgent, envs
from gato_gym.agents import RandomAgent
from gato_gym.agents.experts.led import LedExpert
from gato_gym.cli.export import choose_prompts
from gato_gym.data.collect import collect, collect_jobs
from gato_gym.data.corpus import Corpus
from gato_gym.data.executors import ProcessPool
from gato_gym.data.jobs import Job, Quality
from gato_gym.data.merge import merge
from gato_gym.evaluation import corpus_card
from gato_gym.evaluation.corpus_card import write_card
from gato_gym.evaluation.corpus_stats import parts
from gato_gym.testing import TOY_TASK, ToyExpert, WatchedToys, make_toy
from gato_gym.training.adapt import fingerprint


class Left:
    """Always walks to the left."""

    id = "left"

    def reset(self, env):
        pass

    def act(self, obs, deterministic=True):
        return np.int64(0)


class Right(Left):
    id = "right"

    def act(self, obs, deterministic=True):
        return np.int64(2)


class Constant(Left):
    def __init__(self, action):
        self.action = action

    def act(self, obs, deterministic=True):
        return self.action


def toy(path, episodes=3, **kwargs):
    how = {"expert": ToyExpert(), "make_env": make_toy, "seed": 0, **kwargs}
    return collect(TOY_TASK, out=path, episodes=episodes, **how).corpus


def test_the_learner_is_executed_and_the_expert_is_the_target(tmp_path):
    corpus = toy(tmp_path, learner=Left(), max_steps=6)
    for entry in corpus.episodes():
        episode = corpus.read(entry)
        assert (episode.actions == 0).all()
        position = episode.observations["position"][:-1, 0]
        np.testing.assert_array_equal(episode.expert_actions, 1 - np.sign(position))
    assert (np.diff(position) < 0).all(), "it went where the learner goes"


def test_the_learner_is_part_of_what_names_an_episode(tmp_path):
    kinds = [{}, {"learner": Left()}, {"learner": RandomAgent(0), "learner_name": "random"}]
    for kind in kinds:
        toy(tmp_path / "c", **kind)
    corpus = toy(tmp_path / "c", learner=Left())
    assert len(corpus) == corpus.verify().episodes == 9
    assert [e.learner for e in corpus.episodes()][::3] == ["", "left", "random"]
    assert [e.is_clean for e in corpus.episodes()][::3] == [True, False, False]
    assert {e.expert for e in corpus.episodes()} == {"scripted/toy"}
    merge([corpus.path], tmp_path / "all")
    again = Corpus.open(tmp_path / "all")
    assert {e.key for e in again.episodes()} == {e.key for e in corpus.episodes()}


def test_what_a_learner_played_is_no_demonstration(tmp_path):
    corpus = toy(tmp_path, learner=ToyExpert(), learner_name="toy")
    assert choose_prompts(corpus, [TOY_TASK]) == {}
    toy(tmp_path, episodes=1, seed=50)
    assert choose_prompts(Corpus.open(tmp_path), [TOY_TASK])[TOY_TASK].seed == 50


def test_the_card_tells_who_played(tmp_path):
    (part,) = parts(toy(tmp_path, learner=Left()).episodes())
    assert part["learner"] == "left"
    (command,) = corpus_card.commands({TOY_TASK: {"parts": [part]}}, "all")
    assert "--learner left" in command
    corpus = toy(tmp_path, learner=Left(), noise=0.5)
    write_card(corpus)
    text = (tmp_path / "README.md").read_text()
    assert (
        "scripted/toy (played by left); scripted/toy (played by left, on 0.5 of the steps)" in text
    )


def test_a_filter_remembers_what_the_learner_lost(tmp_path):
    watched = WatchedToys(str(tmp_path / "log"))
    job = Job(
        *(TOY_TASK, ToyExpert(), "scripted/toy", watched),
        quality=Quality(min_return=1.0),
        learner=Left(),
        learner_name="left",
    )
    for _ in range(2):
        (report,) = collect_jobs([job], out=tmp_path / "c", episodes=1, seed=0, max_attempts=3)
        assert (report.missing, report.rejected) == (1, 3)
    assert sorted(seed for _, seed, _ in watched.lines()) == [0, 1, 2]


def test_a_learner_and_a_random_start_are_refused(tmp_path):
    with pytest.raises(ValueError, match="a learner plays from the start"):
        toy(tmp_path / "c", learner=Left(), random_start=3)
    with pytest.raises(ValueError, match="a learner needs a name"):
        toy(tmp_path / "c", learner=RandomAgent(0))
    assert not (tmp_path / "c").exists()


def test_with_noise_the_expert_plays_between_the_learners_bursts(tmp_path):
    how = {"learner": Left(), "noise": 0.5, "burst": (2, 4)}
    corpus = toy(tmp_path, episodes=20, expert=Right(), max_steps=40, **how)
    actions = np.concatenate([corpus.read(entry).actions for entry in corpus.episodes()])
    assert 0.35 < (actions == 0).mean() < 0.65
    assert all((corpus.read(entry).expert_actions == 2).all() for entry in corpus.episodes())
    # Another share makes other episodes.
    toy(tmp_path, episodes=20, expert=Right(), max_steps=40, **how | {"noise": 0.25})
    assert len(Corpus.open(tmp_path)) == 40


def test_between_its_bursts_the_learner_knows_what_was_done(tmp_path):
    """Whatever was executed is what the network sees as its past."""
    agent = GatoAgent.from_pretrained()
    env = envs.make("Pendulum-v1")
    told = LedExpert(Constant(np.array([0.25], np.float32)), agent, rate=0.5, seed=3, burst=(1, 3))
    told.reset(env)
    obs, _ = env.reset(seed=5)
    seen, done = [], []
    for _ in range(12):
        seen.append(obs)
        done.append(told.act(obs))
        obs, *_ = env.step(done[-1])
    assert 0 < sum(float(action[0]) == 0.25 for action in done) < 12
    expected = agent.act(obs)
    # The same past told step by step.
    again = GatoAgent.from_pretrained()
    again.reset(env)
    for before, action in zip(seen, done, strict=True):
        again.follow(before, action)
    np.testing.assert_array_equal(again.act(obs), expected)
    again.reset(env)
    for before in seen:
        again.follow(before, np.array([-1.0], np.float32))
    assert (again.act(obs) != expected).any(), "the past must matter"


def test_the_same_episodes_in_processes(tmp_path):
    """Weights travel to the processes, and each episode stays a function of its seed."""
    agent = GatoAgent.from_pretrained()
    name = fingerprint(agent.model)
    job = Job(
        *("CartPole-v1", "sb3/CartPole-v1", "sb3/CartPole-v1"),
        max_steps=8,
        learner=agent,
        learner_name=name,
    )
    collect_jobs(
        [job], out=tmp_path / "two", episodes=4, seed=0, executor=ProcessPool(2), progress=False
    )
    led = {"learner": agent, "learner_name": name}
    collect("CartPole-v1", out=tmp_path / "one", episodes=4, seed=0, max_steps=8, **led)
    found = [
        {e.key: corpus.read_record(e) for e in corpus.episodes()}
        for corpus in (Corpus.open(tmp_path / "two"), Corpus.open(tmp_path / "one"))
    ]
    assert found[0] == found[1] and {key[-1] for key in found[0]} == {name}


def test_both_are_reset():
    seen = []

    class Noted(Left):
        def reset(self, env):
            seen.append(env)

    led = LedExpert(Noted(), Noted())
    led.last_expert_action = 3
    led.reset("env")
    assert seen == ["env", "env"] and led.last_expert_action is None

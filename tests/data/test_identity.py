"""Names of episodes, episodes held out for validation, and what a resumed run compares."""

import json
from dataclasses import replace

import pytest

from gato_gym.data.corpus import Corpus
from gato_gym.data.identity import changed_data, episode_name, split
from gato_gym.data.merge import merge
from gato_gym.data.mixture import Mixture
from gato_gym.errors import UnknownTaskError


def fill(corpus, make_episode, seeds, tasks=("toy", "other"), **kwargs):
    corpus.append_shard(
        [make_episode(seed, steps=2, task=task) for task in tasks for seed in seeds], **kwargs
    )
    return corpus


@pytest.fixture
def corpus(tmp_path, make_episode):
    return fill(Corpus.create(tmp_path / "corpus"), make_episode, range(60))


def seeds(mixture):
    return {task.task: [entry.seed for entry in task.entries] for task in mixture.tasks}


def test_train_and_validation_are_all_episodes_once(corpus):
    train, validation = (Mixture(corpus, held_out=0.2, part=p) for p in ("train", "validation"))
    for task in ("toy", "other"):
        both = seeds(train)[task] + seeds(validation)[task]
        assert sorted(both) == list(range(60))
        # Of 60: 12 with a standard deviation of 3.
        assert 3 <= len(seeds(validation)[task]) <= 21
        assert seeds(validation)[task] == sorted(seeds(validation)[task])  # in commit order
    assert seeds(validation)["toy"] != seeds(validation)["other"]
    assert seeds(Mixture(corpus)) == {task: list(range(60)) for task in ("other", "toy")}


def test_a_grown_corpus_keeps_the_sides(corpus, make_episode):
    before = Mixture(corpus, held_out=0.2, part="validation")
    fill(corpus, make_episode, range(60, 90))
    fill(corpus, make_episode, range(90), noise=0.25)
    after = seeds(Mixture(corpus, held_out=0.2, part="validation"))
    for task, old in seeds(before).items():
        assert after[task][: len(old)] == old
        # Episodes of one seed begin alike: with noise they are on the same side.
        assert sorted(set(after[task])) == sorted(after[task])[::2]


def test_a_larger_share_holds_out_more(corpus):
    small, large = (
        set(seeds(Mixture(corpus, held_out=s, part="validation"))["toy"]) for s in (0.1, 0.5)
    )
    assert small < large


@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_episode_at_least_is_trained_on(corpus, count):
    entries = corpus.episodes("toy")[:count]
    train, validation = split(entries, 0.999)
    assert len(train) == 1 and len(validation) == count - 1


def test_validation_leaves_out_tasks_that_have_none(corpus, make_episode):
    fill(corpus, make_episode, [3], tasks=["alone"])
    weights = {"alone": 5, "toy": 1, "other": 3}
    assert list(Mixture(corpus, weights, held_out=0.2).shares) == ["alone", "other", "toy"]
    mixture = Mixture(corpus, weights, held_out=0.2, part="validation")
    assert mixture.shares == {"other": 0.75, "toy": 0.25}
    with pytest.raises(
        ValueError, match=r"0\.2 leaves validation no episode of alone: choose a larg"
    ):
        Mixture(corpus, {"alone": 1}, held_out=0.2, part="validation")
    with pytest.raises(ValueError, match="held_out 0 leaves validation no episode of other, toy"):
        Mixture(corpus, {"toy": 1, "other": 1}, part="validation")


def test_the_filter_comes_first(corpus):
    won = [entry.seed for entry in corpus.episodes("toy") if entry.success]
    parts = [
        Mixture(corpus, filter="success", held_out=0.3, part=p) for p in ("train", "validation")
    ]
    found = [seed for mixture in parts for seed in seeds(mixture)["toy"]]
    assert sorted(found) == won and len(won) < 60


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_shares_that_cannot_be_held_out(corpus, share):
    with pytest.raises(ValueError, match=r"held_out must lie in \[0, 1\)"):
        Mixture(corpus, held_out=share)


def test_names_tell_episodes_apart(corpus):
    entry = corpus.episodes("toy")[3]
    assert episode_name(entry) == "toy by scripted/toy, seed 3"
    noisy = replace(entry, noise=0.25, random_start=30)
    assert episode_name(noisy) == "toy by scripted/toy, seed 3, noise 0.25, random start 30"
    led = replace(entry, learner="1c4aaffc", max_steps=9)
    assert episode_name(led) == "toy by scripted/toy, seed 3, played by 1c4aaffc, cut at 9 steps"
    half = replace(entry, learner="1c4aaffc", noise=0.5)
    assert episode_name(half).endswith("seed 3, played by 1c4aaffc on 0.5 of the steps")


def settings(mixture):
    """As a checkpoint keeps it."""
    return json.loads(json.dumps(mixture.settings()))


def test_the_same_data_has_the_same_settings(corpus, tmp_path):
    mixture = Mixture(corpus, held_out=0.2)
    copy = tmp_path / "copy"
    merge([corpus.path], copy)  # other shards
    for again in (corpus, Corpus.open(corpus.path), Corpus.open(copy)):
        other = Mixture(again, held_out=0.2)
        assert settings(other) == settings(mixture)
        assert other.digest() == mixture.digest()
        assert changed_data(settings(mixture), settings(other)) == ""


def test_what_changed_is_told(corpus, make_episode, tmp_path):
    plain = Mixture(corpus)
    before = settings(plain)

    def told(mixture):
        assert mixture.digest() != plain.digest()
        return changed_data(before, settings(mixture))

    assert told(Mixture(corpus, {"toy": 3, "other": 1})) == (
        "other has share 0.25, had 0.5; toy has share 0.75, had 0.5"
    )
    assert told(Mixture(corpus, {"toy": 1})) == "other is gone; toy has share 1, had 0.5"
    assert "toy has 20 episodes, had 60" in told(Mixture(corpus, filter="success"))
    assert told(Mixture(corpus, filter="success")).startswith("filter is 'success', was 'none'")
    assert told(Mixture(corpus, held_out=0.2)).startswith("held_out is 0.2, was 0.0")
    others = fill(Corpus.create(tmp_path / "others"), make_episode, range(1, 61), tasks=["toy"])
    fill(others, make_episode, range(60), tasks=["other"])
    assert told(Mixture(others)) == "toy has as many episodes, but others or in another order"
    backwards = fill(Corpus.create(tmp_path / "backwards"), make_episode, range(59, -1, -1))
    assert "other has as many episodes, but others" in told(Mixture(backwards))
    fill(corpus, make_episode, [60], tasks=["toy", "new"])
    assert "new is new" in told(Mixture(corpus))
    assert "toy has 61 episodes, had 60" in told(Mixture(corpus))


def test_a_run_of_a_version_that_kept_no_digest(corpus):
    told = changed_data({}, settings(Mixture(corpus)))
    assert "toy is new" in told


def test_unknown_task_in_validation(corpus):
    with pytest.raises(UnknownTaskError, match="'toi'"):
        Mixture(corpus, {"toi": 1}, held_out=0.2, part="validation")

"""The few-shot protocol: nested draws of the best episodes, its settings, its smoothed score."""

import random
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from gato_gym.config import model_config
from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.records import Leaf
from gato_gym.envs import task_spec
from gato_gym.errors import (
    GatoGymError,
    InvalidObservationError,
    UnknownTaskError,
    UnsupportedSpaceError,
)
from gato_gym.models.gato import Gato
from gato_gym.testing import TOY_TASK, ToyExpert, make_toy
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.training import adapt
from gato_gym.training.bundle import Bundle
from gato_gym.training.finetune import (
    BEST,
    DRAWN,
    SIZES,
    FineTuneConfig,
    best_episodes,
    few_shot_subset,
    smoothed,
)
from gato_gym.training.optim import learning_rate

CONFIG = replace(model_config("tiny"), context=160)


def entry(seed, episode_return, noise=0.0):
    return EpisodeEntry(
        index=seed,
        shard="a.array_record",
        record=seed,
        task="toy",
        expert="scripted/toy",
        seed=seed,
        noise=noise,
        steps=5,
        episode_return=episode_return,
        success=None,
        terminated=True,
        size=10,
        observations={"position": Leaf("array", "<f4", (2,))},
        actions=Leaf("array", "<i8", ()),
        versions={},
    )


@pytest.fixture(scope="module")
def many():
    """2,500 episodes of which seeds 2000 to 2499 are the worst."""
    return [entry(seed, float(10 - seed // 1000)) for seed in range(2000)] + [
        entry(seed, -1.0) for seed in range(2000, 2500)
    ]


# Episodes


def test_subsets_are_nested_and_from_the_best(many):
    sets = [few_shot_subset(many, size, draw=0) for size in SIZES]
    for small, large in pairwise(sets):
        assert large[: len(small)] == small
    assert [len(chosen) for chosen in sets] == [1, 3, 5, 10, 100, 1000]
    assert len({one.seed for one in sets[-1]}) == DRAWN
    assert all(one.seed < BEST for one in sets[-1])


def test_draws_are_repeatable_and_differ_and_order_of_commits_is_nothing(many):
    shuffled = random.Random(0).sample(many, len(many))
    for draw in (0, 1, 2):
        assert few_shot_subset(shuffled, 100, draw) == few_shot_subset(many, 100, draw)
    draws = [{one.seed for one in few_shot_subset(many, 100, draw)} for draw in (0, 1, 2)]
    assert all(len(a & b) < 30 for a, b in ((draws[0], draws[1]), (draws[1], draws[2])))
    # A draw of 1,000 of 2,000: half of it is in another one.
    whole = [{one.seed for one in few_shot_subset(many, 1000, draw)} for draw in (0, 1)]
    assert 400 < len(whole[0] & whole[1]) < 600


def test_among_equal_returns_clean_episodes_come_first():
    found = best_episodes([entry(1, 5.0, noise=0.2), entry(2, 5.0), entry(3, 7.0, noise=0.4)])
    assert [one.seed for one in found] == [3, 2, 1]


def test_fewer_episodes_than_the_protocols_are_all_drawn_from():
    few = [entry(seed, float(seed)) for seed in range(12)]
    assert {one.seed for one in few_shot_subset(few, 12)} == set(range(12))
    assert few_shot_subset(few, 10)[:3] == few_shot_subset(few, 3)


@pytest.mark.parametrize(
    ("episodes", "draw", "told"),
    [(0, 0, "from 1 to 1000"), (1001, 0, "from 1 to 1000"), (5, -1, "draw -1"), (5, 0, "are 4")],
)
def test_impossible_subsets(episodes, draw, told):
    with pytest.raises(ValueError, match=told):
        few_shot_subset([entry(seed, 0.0) for seed in range(4)], episodes, draw)


# Settings and score


def test_the_default_is_the_papers_protocol():
    config = FineTuneConfig()
    train = config.train_config(seed=3)
    assert (train.steps, train.batch, train.seed) == (10_000, 64, 3)
    assert (train.optimizer, train.weight_decay, train.ema, train.clip) == ("adamw", 0.0, 0.0, 0.0)
    assert {learning_rate(train, step) for step in (0, 1, 5000, 9999)} == {1e-5}
    assert (config.evaluate_every, config.evaluate_episodes, config.smooth) == (100, 10, 5)
    assert config.stochastic_depth == 0.1
    assert FineTuneConfig(**config.to_json()) == config


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"batch": 3, "accumulate": 2},
        {"learning_rate": 0.0},
        {"evaluate_every": 0},
        {"evaluate_episodes": 0},
        {"smooth": 0},
        {"rank": 0},
        {"alpha": 0},
        {"stochastic_depth": 1.0},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FineTuneConfig(**wrong)


def test_smoothed_by_hand():
    assert smoothed([1.0, 2.0, 6.0, 4.0], 3) == pytest.approx([3.0, 4.0])
    assert smoothed([1.0, 3.0], 5) == [2.0]
    assert smoothed([], 5) == []


# An agent and a corpus


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    out = tmp_path_factory.mktemp("finetune") / "toy"
    collect(
        TOY_TASK,
        out=out,
        episodes=6,
        seed=0,
        expert=ToyExpert(),
        episodes_per_shard=6,
        make_env=make_toy,
    )
    return Corpus.open(out)


@pytest.fixture(scope="module")
def spec():
    return task_spec(make_toy(TOY_TASK))


def base(text=True, **specs):
    torch.manual_seed(0)
    tokenizer = TextTokenizer.train(["go left", "go right"] * 20, 512) if text else None
    return Bundle(Gato(CONFIG), specs, text=tokenizer)


def test_a_corpus_with_too_few_tells_how_to_collect_more(toy):
    with pytest.raises(GatoGymError, match=r"has 6 episodes.*100 are asked") as told:
        adapt.choose_episodes(toy, TOY_TASK, 100, 0)
    assert f"gato-gym collect {TOY_TASK} --episodes 100 --out {toy.path}" in str(told.value)
    with pytest.raises(UnknownTaskError, match="gato-gym collect CartPole-v1"):
        adapt.choose_episodes(toy, "CartPole-v1", 1, 0)


def test_rows_hold_the_chosen_episodes_alone(toy, spec):
    chosen = adapt.choose_episodes(toy, TOY_TASK, 2, draw=1)
    source = adapt.few_shot_source(toy, spec, chosen, base(), seed=1, prompt_share=0.25)
    assert source.mixture.settings()["tasks"][TOY_TASK]["episodes"] == 2
    seen = re.findall(r"seed (\d+)", str([source.row(row).episodes for row in range(20)]))
    assert {int(seed) for seed in seen} == {one.seed for one in chosen}


def test_text_needs_the_bases_text_model(toy, spec):
    chosen = adapt.choose_episodes(toy, TOY_TASK, 1, 0)
    with pytest.raises(UnsupportedSpaceError, match="no text model"):
        adapt.few_shot_source(toy, spec, chosen, base(text=False), seed=0, prompt_share=0.25)


def test_a_known_task_keeps_the_bases_spec(spec):
    known = replace(spec, expert_score=-1.0)
    assert adapt.known_spec(base(**{TOY_TASK: known}), spec) is known
    assert adapt.known_spec(base(), spec) is spec
    other = replace(spec, observations=spec.observations[:1])
    with pytest.raises(InvalidObservationError, match="start from another agent"):
        adapt.known_spec(base(**{TOY_TASK: other}), spec)


def test_the_model_starts_as_a_copy_of_the_base_or_anew():
    model = base().model
    config = FineTuneConfig(stochastic_depth=0.3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    copy = adapt.prepare_model(model, config)
    assert copy.config == replace(CONFIG, stochastic_depth=0.3)
    assert adapt.fingerprint(copy) == adapt.fingerprint(model)
    with torch.no_grad():
        copy.norm.weight.zero_()
    new = [adapt.prepare_model(model, config, scratch=True, seed=seed) for seed in (4, 4, 5)]
    prints = [adapt.fingerprint(one) for one in new]
    assert prints[0] == prints[1] and len({*prints, adapt.fingerprint(model)}) == 3
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="from scratch all weights"):
        adapt.prepare_model(model, replace(config, method="lora"), scratch=True)


def test_a_changed_weight_changes_the_fingerprint():
    model = base().model
    before = adapt.fingerprint(model)
    assert len(before) == 8 and int(before, 16) >= 0
    with torch.no_grad():
        model.blocks[0].out.weight[0, 0] += np.float32(1e-3)
    assert adapt.fingerprint(model) != before

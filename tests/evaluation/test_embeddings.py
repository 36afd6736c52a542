"""Averaged activations: against a loop over single windows, and what a window is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gato_gym.config import model_config
from gato_gym.data.corpus import Corpus
from gato_gym.evaluation.embedding_study import embed
from gato_gym.evaluation.embeddings import (
    choose_windows,
    mean_states,
    random_model,
    task_source,
)
from gato_gym.models.gato import Gato
from gato_gym.training.step import INPUTS, to_device
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec

CONFIG = model_config("tiny")
LENGTH = 32
SPECS = {
    spec.id: spec
    for spec in (
        TaskSpec(
            *("near", "one", "test"),
            (ObservationSpec("state", "continuous", (4,)),),
            ActionSpec("discrete", 1, (2,)),
        ),
        TaskSpec(
            *("far", "one", "test"),
            (ObservationSpec("state", "continuous", (4,)),),
            ActionSpec("discrete", 1, (2,)),
        ),
        TaskSpec(
            *("picture", "two", "test"),
            (ObservationSpec("screen", "image", (32, 32, 3)),),
            ActionSpec("discrete", 1, (3,)),
        ),
        TaskSpec(
            *("words", "two", "test"),
            (ObservationSpec("text", "text", ()),),
            ActionSpec("discrete", 1, (2,)),
        ),
    )
}


def episode(task, seed, steps):
    rng = np.random.default_rng([seed, len(task)])
    spec = SPECS[task]
    (item,) = spec.observations
    if item.kind == "image":
        values = rng.integers(0, 256, (steps + 1, *item.shape)).astype(np.uint8)
    elif item.kind == "text":
        values = np.array(["go to the red ball" * int(n) for n in rng.integers(1, 4, steps + 1)])
    else:
        values = rng.normal(2.0 if task == "far" else -2.0, 0.5, (steps + 1, 4)).astype(np.float32)
    return Episode(
        task=task,
        observations={item.key: values},
        actions=rng.integers(0, spec.action.n[0], steps),
        rewards=np.zeros(steps),
        terminated=True,
        seed=seed,
        expert="nobody",
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twelve episodes of each task; those of odd seeds are shorter than a window."""
    corpus = Corpus.create(tmp_path_factory.mktemp("embeddings") / "corpus")
    corpus.append_shard(
        [episode(task, seed, 3 if seed % 2 else 40) for task in SPECS for seed in range(12)]
    )
    return task_source(corpus, list(SPECS), SPECS, CONFIG, None)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return Gato(CONFIG).eval()


def of(windows, task):
    return [window for window in windows if window.task == task]


def test_a_window_has_its_tokens_or_all_of_its_episode(source):
    windows = choose_windows(source, 12, LENGTH, seed=0)
    assert [len(of(windows, task)) for task in SPECS] == [12] * 4
    for window in windows:
        ends = source.token_ends(window.cut.task, window.cut.episode)
        assert window.step == window.cut.start
        if ends[-1] < LENGTH:
            assert (window.step, window.cut.length) == (0, len(ends) - 1)
            assert window.tokens == ends[-1]
        else:
            assert window.tokens == LENGTH
            # Whole steps, and none more than it takes.
            stop = window.step + window.cut.length
            assert ends[stop] - ends[window.step] >= LENGTH > ends[stop - 1] - ends[window.step]
    assert {window.tokens for window in of(windows, "near")} == {3 * 6, LENGTH}
    starts = {window.step for window in of(windows, "near") if window.tokens == LENGTH}
    # 40 steps of 6 tokens have 32 more after each of the first 35.
    assert len(starts) > 3 and max(starts) <= 34


def test_a_window_depends_on_its_episode_alone(source):
    every = choose_windows(source, 12, LENGTH, seed=0)
    few = choose_windows(source, 5, LENGTH, seed=0)
    assert len(few) == 20 and set(few) < set(every)
    assert choose_windows(source, 5, LENGTH, seed=1) != few
    alone = task_source(source.corpus, ["words"], SPECS, CONFIG, None)
    (one, *_), (other, *_) = choose_windows(alone, 12, LENGTH, 0), of(every, "words")
    assert (one.seed, one.step, one.tokens) == (other.seed, other.step, other.tokens)


def test_windows_do_not_depend_on_the_order_of_collection(source, tmp_path):
    corpus = Corpus.create(tmp_path / "corpus")
    for task in reversed(SPECS):
        shuffled = (5, 3, 11, 0, 7, 1, 2, 4, 10, 6, 9, 8)
        corpus.append_shard([episode(task, seed, 3 if seed % 2 else 40) for seed in shuffled])
    other = task_source(corpus, list(SPECS), SPECS, CONFIG, None)
    found = [
        [(w.task, w.seed, w.step, w.tokens) for w in choose_windows(one, 5, LENGTH, seed=0)]
        for one in (source, other)
    ]
    assert found[0] == found[1]


def test_means_are_those_of_single_windows(source, model):
    windows = choose_windows(source, 3, LENGTH, seed=0)
    found = mean_states(model, source, windows, batch=5, progress=False)
    assert found.shape == (12, CONFIG.layers + 1, CONFIG.width) and found.dtype == np.float32
    for number, window in enumerate(windows):
        # One document of its own length, hidden states from hooks, the mean by hand.
        ends = source.token_ends(window.cut.task, window.cut.episode)
        size = int(ends[window.step + window.cut.length] - ends[window.step])
        laid = source.lay_out([[[window.cut]]], [0], None, length=size)
        seen = []
        hooks = [
            part.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out))
            for part in (model.embedding, *model.blocks)
        ]
        tensors = to_device(laid, torch.device("cpu"))
        with torch.no_grad():
            model(**{name: tensors[name] for name in INPUTS if name not in ("queries", "targets")})
        for hook in hooks:
            hook.remove()
        means = np.stack([state[0, : window.tokens].mean(dim=0).numpy() for state in seen])
        np.testing.assert_allclose(found[number], means, atol=2e-5)


def test_random_weights_are_the_same_for_a_seed_and_leave_no_trace():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, same, other = (random_model(CONFIG, seed) for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [model.blocks[0].query.weight for model in (one, same, other)]
    assert torch.equal(*weights[:2]) and not torch.equal(weights[0], weights[2])


@pytest.fixture(scope="module")
def result(source, model):
    agent = SimpleNamespace(model=model, config=CONFIG, checkpoint="toy")
    windows = choose_windows(source, 12, LENGTH, seed=0)
    again = [
        embed(agent, source, windows, layer=1, length=LENGTH, perplexity=10, progress=False)
        for _ in range(2)
    ]
    assert again[0] == again[1]
    return again[0]


def test_the_result_says_what_the_figure_shows(result):
    assert result["layer"] == 1 and result["layers"] == 2 and result["episodes"] == 48
    assert result["chance"] == 0.25 and result["settings"]["components"] == 32
    assert [row["layer"] for row in result["by_layer"]] == [0, 1, 2]
    chosen = result["by_layer"][1]
    assert (chosen["accuracy"], chosen["silhouette"]) == (result["accuracy"], result["silhouette"])
    assert [row["task"] for row in result["tasks"]] == ["far", "near", "picture", "words"]
    points = result["points"]
    assert len(points) == 48
    # Texts may be the same, and then their episodes lie in one place.
    assert len({(p["x"], p["y"]) for p in points if p["task"] != "words"}) == 36
    for row in result["tasks"]:
        own = [point for point in points if point["task"] == row["task"]]
        right = sum(point["taken_for"] == row["task"] for point in own)
        assert row["accuracy"] == right / len(own) == right / row["episodes"]
        assert sum(row["taken_for"].values()) == len(own) - right
        assert row["short"] == sum(point["tokens"] < LENGTH for point in own)
    assert {row["task"]: row["short"] for row in result["tasks"]}["near"] == 6


def test_what_differs_in_its_tokens_is_told_without_any_training(result):
    """Pictures, words and numbers far apart need no layer, and the result says so."""
    for row in result["by_layer"]:
        assert row["accuracy"] > 0.9 and row["random"]["accuracy"] > 0.9


def test_too_little_to_compare_is_refused(source, model):
    agent = SimpleNamespace(model=model, config=CONFIG, checkpoint="toy")
    windows = choose_windows(source, 12, LENGTH, seed=0)
    with pytest.raises(ValueError, match=r"no layer 3: this agent has the layers 0 .* to 2"):
        embed(agent, source, windows, layer=3, length=LENGTH)
    with pytest.raises(ValueError, match="one is too few, got \\['far'\\]"):
        embed(agent, source, of(windows, "far"), layer=1, length=LENGTH)
    with pytest.raises(ValueError, match="48 neighbours cannot be found among 48 episodes"):
        embed(agent, source, windows, layer=1, length=LENGTH, neighbours=48)

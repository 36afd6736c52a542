"""What a row holds: shares of its tokens, texts of different lengths, steps that are named."""

import numpy as np
import pytest

from gato_gym.data.corpus import Corpus
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource
from gato_gym.errors import InvalidObservationError
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec

VOCABULARY = Vocabulary(1024)
SEPARATOR = 2048


def state_task(name, numbers):
    """A task whose steps have `numbers` + 2 tokens."""
    observation = ObservationSpec("state", "continuous", (numbers,))
    return TaskSpec(name, "test", "test", (observation,), ActionSpec("discrete", 1, (900,)))


SMALL, LARGE = state_task("small", 4), state_task("large", 26)
SPOKEN = TaskSpec(
    "spoken",
    "test",
    "test",
    (ObservationSpec("goal", "text", ()), ObservationSpec("where", "discrete", (2,))),
    ActionSpec("discrete", 1, (900,)),
)


def episode_of(spec, seed, observations):
    steps = len(next(iter(observations.values()))) - 1
    return Episode(
        task=spec.id,
        observations=observations,
        actions=np.arange(steps),
        rewards=np.zeros(steps),
        terminated=True,
        seed=seed,
        expert="one",
    )


def state_episode(spec, seed, steps):
    rng = np.random.default_rng(seed)
    return episode_of(
        spec, seed, {"state": rng.normal(size=(steps + 1, *spec.observations[0].shape))}
    )


def spoken_episode(number, steps, *goals):
    """Its steps show the goals in turn."""
    where = np.stack([np.full(steps + 1, number), np.arange(steps + 1)], axis=1)
    texts = np.array([goals[step % len(goals)] for step in range(steps + 1)])
    return episode_of(SPOKEN, number, {"goal": texts, "where": where})


def open_source(path, specs, episodes, context, **kwargs):
    corpus = Corpus.create(path)
    corpus.append_shard(episodes)
    specs = {spec.id: spec for spec in specs}
    return WindowSource(corpus, Mixture(corpus), specs, context, VOCABULARY, **kwargs)


def tokens_by_task(source, rows):
    """Tokens of each task in the first rows; their episodes' names are no help, so by document."""
    window = source.rows(range(rows))
    found = np.zeros(len(source.tasks))
    for row in range(rows):
        known = window.targets[row] >= 0
        starts = window.first_visible[row][window.queries[row][known]]
        # Padding sees only itself: no start of a document.
        length = np.bincount(window.first_visible[row], minlength=source.context)
        for start, task in set(
            zip(starts.tolist(), window.tasks[row][known].tolist(), strict=True)
        ):
            found[task] += length[start]
    assert found.sum() == window.ids.size - window.padding
    return found


def test_weights_are_shares_of_tokens_whatever_the_length_of_episodes(tmp_path):
    """One task has episodes that fill a row, the other needs ten for it."""
    episodes = [state_episode(SMALL, i, 5) for i in range(9)] + [state_episode(LARGE, 9, 300)]
    source = open_source(tmp_path, [SMALL, LARGE], episodes, 308, prompt_share=0)
    shares = tokens_by_task(source, 2000)
    # Standard error 1.1 %.
    np.testing.assert_allclose(shares / shares.sum(), 0.5, atol=0.04)


def test_rows_with_short_texts_are_full(tmp_path):
    """A text may take 64 tokens; what it takes decides how many steps fit."""
    goals = ["go", "go to the red ball", "pick up the green key"]
    episodes = [spoken_episode(i, 12, goal) for i, goal in enumerate(goals)]
    source = open_source(tmp_path, [SPOKEN], episodes, 308)
    (tokenizer,) = source.tokenizers
    steps = [len(tokenizer.text.encode(goal)) + 4 for goal in goals]
    assert max(steps) < 20 < tokenizer.tokens_per_step
    for index in range(60):
        row = source.row(index)
        assert row.padding < max(steps)
        # Every step is whole: its text, where it is, the separator and the action.
        used = row.ids[: 308 - row.padding]
        ends = np.flatnonzero(used == SEPARATOR) + 2
        assert ends[-1] == len(used)
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            episode, step, _, action = used[end - 4 : end]
            assert action == step
            assert tokenizer.text.decode(used[start : end - 4]) == goals[episode]


def test_texts_that_change_within_an_episode_take_what_they_take(tmp_path):
    goals = ["go", "pick up the green key", "go to the red ball", "word " * 9]
    episodes = [spoken_episode(0, 41, *goals), spoken_episode(1, 7, *goals)]
    source = open_source(tmp_path, [SPOKEN], episodes, 308)
    (tokenizer,) = source.tokenizers
    sizes = [len(tokenizer.text.encode(goal)) + 4 for goal in goals]
    assert len(set(sizes)) > 2
    for index in range(60):
        row = source.row(index)
        # What is left is too little for the longest step, of which one is in each episode.
        assert row.padding < max(sizes)
        used = row.ids[: 308 - row.padding]
        ends = np.flatnonzero(used == SEPARATOR) + 2
        assert ends[-1] == len(used)
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            _, step, _, action = used[end - 4 : end]
            assert action == step
            assert end - start == sizes[step % 4]
            assert tokenizer.text.decode(used[start : end - 4]) == goals[step % 4]


GRID = TaskSpec(
    "grid",
    "test",
    "test",
    (ObservationSpec("goal", "text", ()), ObservationSpec("view", "discrete", (148,))),
    ActionSpec("discrete", 1, (900,)),
)


def grid_episode(seed, steps):
    """Steps of 155 to 170 tokens, as in BabyAI."""
    view = np.random.default_rng(seed).integers(0, 9, (steps + 1, 148))
    goal = " ".join(["go to the red ball then"] * (1 + seed % 3))
    return episode_of(GRID, seed, {"goal": np.array([goal] * (steps + 1)), "view": view})


def test_padding_is_below_two_percent_where_small_steps_can_fill_up_rows(tmp_path):
    """The paper's context; tasks with steps of 22 and 28 tokens beside one of about 160."""
    small, middle = state_task("small", 20), state_task("middle", 26)
    episodes = [grid_episode(seed, 4 + 9 * seed) for seed in range(6)]
    episodes += [state_episode(small, 6, 200), state_episode(middle, 7, 100)]
    source = open_source(tmp_path, [GRID, small, middle], episodes, 1024)
    window = source.rows(range(150))
    assert window.padding / window.ids.size < 0.02
    of_one_task = open_source(tmp_path / "one", [GRID], episodes[:6], 1024)
    for index in range(30):
        assert of_one_task.row(index).padding < 175  # a step, as there is nothing smaller


def test_a_long_text_leaves_its_row_to_others(tmp_path):
    """What is left after a step of the long text fits a short step, but none of its own."""
    episodes = [spoken_episode(0, 3, "word " * 40), state_episode(SMALL, 1, 90)]
    source = open_source(tmp_path, [SPOKEN, SMALL], episodes, 100)
    for index in range(30):
        row = source.row(index)
        assert row.padding < 6
        assert (row.ids == SEPARATOR).sum() > 1


def test_a_bad_step_is_named_also_where_steps_are_tokenised_together(tmp_path):
    episode = state_episode(SMALL, 0, 90)
    source = open_source(tmp_path, [SMALL], [episode, state_episode(SMALL, 1, 90)], 308)
    values = episode.observations["state"].copy()
    values[70, 2] = np.nan
    read = source.corpus.read_steps

    def broken(entry, start, stop):
        found = read(entry, start, stop)
        return found | {"observations": {"state": values[start:stop]}}

    source.corpus.read_steps = broken
    with pytest.raises(InvalidObservationError, match="small: 'state' at step 70 is not finite"):
        source.rows(range(16))

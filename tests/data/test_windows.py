"""Packed rows, checked against a task whose tokens say which episode and step they are.

The traced task observes (episode, step), so a row can be read back from its ids.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

from gato_gym.data.corpus import Corpus
from gato_gym.data.mixture import Mixture
from gato_gym.data.packing import Window, collate
from gato_gym.data.windows import WindowSource, batches
from gato_gym.tokenizers.vocabulary import PATCH, Vocabulary
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec

VOCABULARY = Vocabulary(1024)
SEPARATOR = 2048
TRACED = TaskSpec(
    "traced",
    "test",
    "test",
    (ObservationSpec("where", "discrete", (2,)),),
    ActionSpec("discrete", 1, (900,)),
)
TOKENS = 4  # episode, step, separator, action

# The three sizes of step of the bundled tasks: 6, 22 and 28 tokens.
SMALL = TaskSpec(
    "small",
    "test",
    "test",
    (ObservationSpec("state", "continuous", (4,)),),
    ActionSpec("discrete", 1, (2,)),
)
PIXELS = TaskSpec(
    "pixels",
    "test",
    "test",
    (ObservationSpec("screen", "image", (64, 80, 3)),),
    ActionSpec("discrete", 1, (18,)),
)
ARM = TaskSpec(
    "arm",
    "test",
    "test",
    (ObservationSpec("state", "continuous", (22,)),),
    ActionSpec("continuous", 5),
)


def executed(episode, step):
    return (7 * episode + step) % 900


def wanted(episode, step):
    """What the expert would have done: something else at every third step."""
    return (executed(episode, step) + (step % 3 == 0)) % 900


def traced_episode(number, steps, expert="one"):
    where = np.stack([np.full(steps + 1, number), np.arange(steps + 1)], axis=1)
    return Episode(
        task="traced",
        observations={"where": where},
        actions=np.array([executed(number, t) for t in range(steps)]),
        expert_actions=np.array([wanted(number, t) for t in range(steps)]),
        rewards=np.zeros(steps),
        terminated=True,
        seed=number,
        expert=expert,
    )


def random_episode(spec, seed, steps):
    rng = np.random.default_rng(seed)
    (item,) = spec.observations
    if item.kind == "image":
        # Few distinct patches, as in a video.
        blocks = rng.integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
        grid = blocks[rng.integers(0, 4, (steps + 1, 4, 5))]
        values = np.moveaxis(grid, 3, 2).reshape(steps + 1, *item.shape)
    else:
        values = rng.normal(size=(steps + 1, *item.shape)).astype(np.float32)
    if spec.action.kind == "continuous":
        actions = rng.uniform(-1, 1, (steps, spec.action.size)).astype(np.float32)
    else:
        actions = rng.integers(0, spec.action.n[0], steps)
    return Episode(
        task=spec.id,
        observations={item.key: values},
        actions=actions,
        rewards=np.zeros(steps),
        terminated=False,
        seed=seed,
        expert="random",
    )


def open_source(path, specs, episodes, context, weights=None, **kwargs):
    corpus = Corpus.create(path)
    corpus.append_shard(episodes)
    mixture = Mixture(corpus, weights)
    return WindowSource(
        corpus, mixture, {spec.id: spec for spec in specs}, context, VOCABULARY, **kwargs
    )


LENGTHS = [1, 2, 3, 40, 60, 9]


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """Episodes 0..5 of LENGTHS steps by expert "one", 6 and 7 by "two", 8 alone by "three"."""
    episodes = [traced_episode(i, n) for i, n in enumerate(LENGTHS)]
    episodes += [traced_episode(i, 30, "two") for i in (6, 7)]
    episodes += [traced_episode(8, 30, "three")]
    return open_source(tmp_path_factory.mktemp("traced"), [TRACED], episodes, 62)


@pytest.fixture(scope="module")
def three_sizes(tmp_path_factory):
    episodes = [random_episode(SMALL, 0, 90), random_episode(SMALL, 1, 12)]
    episodes += [random_episode(PIXELS, 2, 40), random_episode(ARM, 3, 50)]
    return open_source(
        tmp_path_factory.mktemp("three"), [SMALL, PIXELS, ARM], episodes, 308, seed=1
    )


@dataclass
class Document:
    """Steps of one document of a row, and its prompt's."""

    start: int
    prompt: list[tuple[int, int]]
    body: list[tuple[int, int]]


def documents(row):
    """Read a traced row back; checks the layout on the way."""
    used = len(row.ids) - row.padding
    starts = [p for p in range(used) if row.first_visible[p] == p]
    found = []
    for start, end in zip(starts, [*starts[1:], used], strict=True):
        assert (row.first_visible[start:end] == start).all()
        steps = row.ids[start:end].reshape(-1, TOKENS)
        assert (steps[:, 2] == SEPARATOR).all()
        pairs = [(int(e), int(t)) for e, t, _, _ in steps]
        assert steps[:, 3].tolist() == [executed(e, t) for e, t in pairs]
        body = [pair for pair in pairs if pair[0] == pairs[-1][0]]
        prompt = pairs[: len(pairs) - len(body)]
        for run in (prompt, body):
            assert run == [(run[0][0], run[0][1] + i) for i in range(len(run))] if run else True
        found.append(Document(start, prompt, body))
    return found


def same(a, b):
    for field in fields(Window):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y, err_msg=field.name)
        else:
            assert x == y, field.name
    return True


def test_row_is_a_function_of_seed_and_index(traced, three_sizes):
    for source in (traced, three_sizes):
        again = WindowSource(
            Corpus.open(source.corpus.path),
            source.mixture,
            {t.spec.id: t.spec for t in source.tokenizers},
            source.context,
            VOCABULARY,
            seed=source.seed,
        )
        expected = [source.row(i) for i in range(12)]
        for i in (7, 0, 11, 3):
            assert same(again.row(i), expected[i])
        with ThreadPoolExecutor(4) as pool:
            assert all(map(same, pool.map(again.row, range(12)), expected))
        texts = {row.ids.tobytes() + row.patches.tobytes() for row in expected}
        assert len(texts) == 12
        again.seed += 1
        assert again.row(0).ids.tobytes() != expected[0].ids.tobytes()


def test_rows_are_distinct_objects(three_sizes):
    a, b = three_sizes.row(0), three_sizes.row(0)
    for name in ("ids", "local", "targets", "patches", "positions"):
        assert not np.shares_memory(getattr(a, name), getattr(b, name))
    before = b.ids.copy()
    a.ids[:] = 0
    np.testing.assert_array_equal(b.ids, before)


def test_every_target_of_every_row(traced):
    """Naive reading: the action of each step is predicted from its separator, nothing else is."""
    for index in range(60):
        row = traced.row(index)
        queries, targets = [], []
        for document in documents(row):
            for i, pair in enumerate(document.prompt + document.body):
                queries.append(document.start + TOKENS * i + 2)
                targets.append(wanted(*pair))
        assert row.queries.tolist() == queries
        assert row.targets.tolist() == targets
        assert row.tasks.tolist() == [0] * len(queries)


def test_local_rows_and_padding(traced):
    row = traced.row(0)
    used = len(row.ids) - row.padding
    assert row.padding == 62 % TOKENS == 2
    assert row.local[:used].tolist() == [0, 1, 513, 512] * (used // TOKENS)
    assert row.first_visible[used:].tolist() == [60, 61]
    assert row.queries.max() < used


def test_documents_are_cut_within_one_episode(traced):
    lengths = [*LENGTHS, 30, 30, 30]
    for index in range(100):
        for document in documents(traced.row(index)):
            for episode, step in document.prompt + document.body:
                assert step < lengths[episode]


def test_prompts(traced):
    first = [documents(traced.row(i))[0] for i in range(1200)]
    group = [0, 0, 0, 0, 0, 0, 1, 1, 2]
    lengths = [*LENGTHS, 30, 30, 30]
    for document in first:
        if document.prompt:
            other, episode = document.prompt[0][0], document.body[0][0]
            assert group[other] == group[episode] != 2
            assert other != episode
            assert len(document.prompt) <= 7  # half of the 15 steps that fit
    eligible = [d for d in first if group[d.body[0][0]] != 2]
    prompted = [d for d in eligible if d.prompt]
    # Binomial: 25 % of about 1,000 with a standard error of 1.4 %.
    assert abs(len(prompted) / len(eligible) - 0.25) < 0.045
    long = [d for d in prompted if lengths[d.prompt[0][0]] >= 30]
    ends = [d.prompt[-1][1] == lengths[d.prompt[0][0]] - 1 for d in long]
    # Half are ends; one anywhere ends there in about 1 of 30 cases. Standard error 4 %.
    assert abs(np.mean(ends) - 0.5) < 0.13
    assert {len(d.prompt) for d in long} == set(range(1, 8))


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 40)])
def test_prompt_share_ends(tmp_path, share, expected):
    episodes = [traced_episode(i, 50) for i in range(3)]
    source = open_source(tmp_path, [TRACED], episodes, 62, prompt_share=share)
    prompted = [bool(documents(source.row(i))[0].prompt) for i in range(40)]
    assert sum(prompted) == expected


def test_prompt_names(tmp_path):
    episodes = [traced_episode(i, 50) for i in range(3)]
    source = open_source(tmp_path, [TRACED], episodes, 62, prompt_share=1.0)
    row = source.row(0)
    document = documents(row)[0]
    assert row.episodes[:2] == (
        f"traced by one, seed {document.prompt[0][0]} (prompt)",
        f"traced by one, seed {document.body[0][0]}",
    )


@pytest.mark.parametrize("lengths", [[1], [2], [1, 1], [2, 1], [200]])
def test_corpora_of_tiny_or_single_episodes(tmp_path, lengths):
    episodes = [traced_episode(i, n) for i, n in enumerate(lengths)]
    source = open_source(tmp_path, [TRACED], episodes, 62, prompt_share=1.0)
    seen = set()
    for index in range(60):
        row = source.row(index)
        assert row.padding == 2
        for document in documents(row):
            seen |= {*document.prompt, *document.body}
            assert not document.prompt or len(lengths) > 1
    assert {(i, n - 1) for i, n in enumerate(lengths)} <= seen


def test_a_context_of_one_step(tmp_path):
    source = open_source(
        tmp_path, [TRACED], [traced_episode(i, 5) for i in range(2)], TOKENS, prompt_share=1.0
    )
    found = {tuple(source.row(i).ids[:2].tolist()) for i in range(200)}
    assert found == {(e, t) for e in range(2) for t in range(5)}


def test_last_steps_are_learnable(traced):
    """The last action of every episode is a target of some row, outside of prompts too."""
    seen = {pair for i in range(150) for d in documents(traced.row(i)) for pair in d.body}
    assert {(i, n - 1) for i, n in enumerate([*LENGTHS, 30, 30, 30])} <= seen
    assert {(i, 0) for i in range(9)} <= seen


def test_context_too_small_for_a_step(tmp_path):
    with pytest.raises(ValueError, match="takes 4 tokens and does not fit a context of 3"):
        open_source(tmp_path, [TRACED], [traced_episode(0, 5)], 3)


def test_a_task_without_anything_to_predict(tmp_path):
    blind = replace(TRACED, action=ActionSpec("continuous", 0))
    with pytest.raises(ValueError, match="traced has no action numbers and no text, so nothing"):
        open_source(tmp_path, [blind], [traced_episode(0, 5)], 62)


def test_every_row_has_targets(traced, three_sizes):
    for source in (traced, three_sizes):
        assert (source.rows(range(100)).targets >= 0).any(axis=1).all()


def test_padding_is_below_two_percent(three_sizes):
    rows = [three_sizes.row(i) for i in range(150)]
    assert sum(row.padding for row in rows) / (308 * len(rows)) < 0.02
    assert max(row.padding for row in rows) < 6  # the smallest step


def test_tasks_are_weighted(tmp_path):
    episodes = [random_episode(SMALL, 0, 300), random_episode(ARM, 1, 300)]
    source = open_source(
        tmp_path, [SMALL, ARM], episodes, 28 * 4, weights={"small": 3, "arm": 1}, prompt_share=0
    )
    first = [source.row(i).tasks[0] for i in range(400)]
    assert source.tasks == ["arm", "small"]
    assert abs(np.mean(np.array(first) == 1) - 0.75) < 0.07  # standard error 2.2 %


def test_positions_are_drawn_in_the_intervals(three_sizes):
    rows = [three_sizes.row(i) for i in range(30)]
    intervals = three_sizes.tokenizers[three_sizes.tasks.index("pixels")].intervals
    drawn = np.concatenate([row.positions.reshape(-1, 20, 2) for row in rows])
    assert (drawn >= intervals[:, [0, 2]]).all() and (drawn < intervals[:, [1, 3]]).all()
    assert (drawn.std(axis=0) > 3).all()


def test_pixels_of_a_row_are_those_of_the_corpus(three_sizes):
    """Read the screens back from a row and find each of them in the episode."""
    entry = three_sizes.corpus.episodes("pixels")[0]
    screens = three_sizes.corpus.read(entry).observations["screen"]
    known = {screen.tobytes() for screen in screens}
    seen = 0
    for index in range(10):
        row = three_sizes.row(index)
        np.testing.assert_array_equal(row.marks, np.flatnonzero(row.ids == PATCH))
        for patches in row.patches[row.pixels].reshape(-1, 4, 5, 16, 16, 3):
            assert np.moveaxis(patches, 2, 1).reshape(64, 80, 3).tobytes() in known
            seen += 1
    assert seen > 20


def test_collate_keeps_rows(three_sizes, traced):
    for source in (three_sizes, traced):
        rows = [source.row(i) for i in range(5)]
        batch = collate(rows)
        np.testing.assert_array_equal(batch.ids, [row.ids for row in rows])
        np.testing.assert_array_equal(batch.local, [row.local for row in rows])
        np.testing.assert_array_equal(batch.first_visible, [row.first_visible for row in rows])
        for name, fill in (("queries", 0), ("targets", -1), ("tasks", 0)):
            for found, row in zip(getattr(batch, name), rows, strict=True):
                expected = getattr(row, name)
                assert found[: len(expected)].tolist() == expected.tolist()
                assert (found[len(expected) :] == fill).all()
        raw = np.concatenate([row.patches[row.pixels] for row in rows])
        np.testing.assert_array_equal(batch.patches[batch.pixels], raw)
        assert len(np.unique(batch.patches.reshape(-1, 768), axis=0)) == len(batch.patches)
        np.testing.assert_array_equal(batch.positions, np.concatenate([r.positions for r in rows]))
        assert batch.padding == sum(row.padding for row in rows)
        assert batch.episodes == tuple(row.episodes for row in rows)
        assert batch.rows.tolist() == [0, 1, 2, 3, 4]
        np.testing.assert_array_equal(batch.marks, np.flatnonzero(batch.ids == PATCH))
        assert batch.target_count == sum(len(row.targets) for row in rows)


@pytest.mark.parametrize(("threads", "workers"), [(0, 0), (1, 0), (2, 0), (0, 1), (1, 2)])
def test_loader_state_is_one_integer(three_sizes, threads, workers):
    """And no thread or process changes a sample."""
    expected = [collate([three_sizes.row(2 * k), three_sizes.row(2 * k + 1)]) for k in range(7)]
    for first in (0, 5):
        found = list(batches(three_sizes, 2, first, 7, threads, workers))
        assert len(found) == 7 - first
        assert all(map(same, found, expected[first:]))


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_any_step_is_reached_at_once(three_sizes, threads):
    (far,) = batches(three_sizes, 3, 10_000_000, 10_000_001, threads)
    assert same(far, collate([three_sizes.row(30_000_000 + i) for i in range(3)]))


def test_rows_that_are_built_together_are_those_built_alone(three_sizes, traced):
    for source in (three_sizes, traced):
        for indices in ([4], range(40), [7, 3, 7]):
            assert same(source.rows(indices), collate([source.row(i) for i in indices]))

"""Acting with a cache equals recomputing everything, before and after the window slides."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gato_gym.models.cache import KeyValueCache, StepWindow
from gato_gym.models.decode import Decoder
from gato_gym.models.layout import Feed

CONTEXT = 32
ACTIONS = 3
SLACK = 32


class Play:
    """One episode of random steps of one row, and the full recomputation of its logits."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.window = StepWindow(CONTEXT)
        self.ids, self.local, self.first = [], [], []
        self.patches, self.positions = [], []

    def begin(self, observed=6, patches=2):
        """Draw an observation of `observed` tokens with its separator; the step has 3 actions."""
        ids = self.rng.integers(0, 2048, observed)
        ids[:patches], ids[-1] = -1, 2048
        first = self.window.begin_step(observed + ACTIONS)
        new = {
            "patches": self.rng.integers(0, 256, (patches, 16, 16, 3)).astype(np.uint8),
            "positions": self.rng.integers(0, 128, (patches, 2)),
        }
        return self._append(ids, [*range(observed - 1), 513], first, **new)

    def act(self):
        """Draw one action token."""
        empty = {"patches": np.zeros((0, 16, 16, 3), np.uint8), "positions": np.zeros((0, 2), int)}
        return self._append(self.rng.integers(1024, 2048, 1), [512], self.first[-1], **empty)

    def _append(self, ids, local, first, patches, positions):
        self.ids += list(ids)
        self.local += list(local)
        self.first += [first] * len(ids)
        self.patches.append(patches)
        self.positions.append(positions)
        return {
            "ids": np.array(ids),
            "local": np.array(local),
            "patches": patches,
            "places": positions,
            "first": np.full(len(ids), first),
        }

    @torch.no_grad()
    def recomputed(self, model):
        patches = np.concatenate(self.patches)
        return model(
            torch.tensor(np.array([self.ids])),
            torch.tensor([self.local]),
            torch.from_numpy(patches),
            torch.arange(len(patches)),
            torch.from_numpy(np.concatenate(self.positions)),
            torch.tensor([self.first]),
            queries=torch.tensor([[len(self.ids) - 1]]),
        )[:, 0]


def extend(model, cache, parts, rows=None):
    """Append one new piece to each of some rows; all rows if `rows` is None; logits after them."""
    rows = np.arange(len(parts)) if rows is None else np.array(rows)
    counts = np.array([len(part["ids"]) for part in parts])
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    decoder = Decoder(model)
    states = decoder.run(cache, Feed(rows=rows, counts=counts, **joined))
    return decoder.logits(states[:, 0], 0, len(model.embedding.ids.weight))


def check(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_every_token_of_a_long_episode(make_model, layers):
    model = make_model(layers=layers)
    cache, play = KeyValueCache(model.config, rows=1, slack=SLACK), Play(0)
    for _ in range(14):  # 126 tokens: four turns of the ring
        check(extend(model, cache, [play.begin()]), play.recomputed(model))
        for _ in range(ACTIONS):
            check(extend(model, cache, [play.act()]), play.recomputed(model))
    assert cache.lengths.tolist() == [126] and len(play.ids) == 126
    assert play.first[-1] == 126 - 27  # three whole steps of nine fit into 32


def test_steps_of_different_sizes(make_model):
    model = make_model()
    cache, play = KeyValueCache(model.config, rows=1, slack=SLACK), Play(1)
    for observed in (1, 12, 29, 3, 3, 3, 20, 5, 1, 1, 29, 7):
        check(extend(model, cache, [play.begin(observed, 0)]), play.recomputed(model))
        for _ in range(ACTIONS):
            check(extend(model, cache, [play.act()]), play.recomputed(model))


def test_logits_do_depend_on_the_window(make_model):
    """The comparison above would pass for a model that ignores its context; this one does not."""
    model = make_model()
    play = Play(0)
    for _ in range(6):
        play.begin()
        [play.act() for _ in range(ACTIONS)]
    before = play.recomputed(model)
    for wrong in (0, len(play.ids) - 9):
        play.first[-9:] = [wrong] * 9
        assert (play.recomputed(model) - before).abs().max() > 1e-3


def test_rows_of_different_lengths_after_copying_a_prompt(make_model):
    """Row 0 starts empty, rows 1 and 2 from prompts of other caches; all then act together."""
    model = make_model()
    plays, cache = (
        [Play(seed) for seed in range(3)],
        KeyValueCache(model.config, rows=3, slack=SLACK),
    )
    for row, steps in ((1, 2), (2, 7)):  # the longer prompt has wrapped around
        prompt = KeyValueCache(model.config, rows=1, slack=SLACK)
        for _ in range(steps):
            extend(model, prompt, [plays[row].begin()])
            for _ in range(ACTIONS):
                extend(model, prompt, [plays[row].act()])
        cache.copy_row(row, prompt)
        for table in (*prompt.keys, *prompt.values):
            table.zero_()
    assert cache.lengths.tolist() == [0, 18, 63]
    for _ in range(6):
        for move in ("begin", *["act"] * ACTIONS):
            found = extend(model, cache, [getattr(play, move)() for play in plays])
            check(found, torch.cat([play.recomputed(model) for play in plays]))


@pytest.mark.parametrize("restart", ["clear", "copy"])
def test_restarting_a_row_leaves_the_others(make_model, restart):
    model = make_model()
    plays, cache = [Play(0), Play(1)], KeyValueCache(model.config, rows=2, slack=SLACK)
    for step in range(9):
        if step == 5:
            if restart == "clear":
                cache.clear_row(0)
            else:
                cache.copy_row(0, KeyValueCache(model.config, rows=1, slack=SLACK))
            plays[0] = Play(2)
        for move in ("begin", *["act"] * ACTIONS):
            found = extend(model, cache, [getattr(play, move)() for play in plays])
            check(found, torch.cat([play.recomputed(model) for play in plays]))


def test_some_rows_only(make_model):
    """Rows take turns; the others keep what they had."""
    model = make_model()
    plays, cache = (
        [Play(seed) for seed in range(3)],
        KeyValueCache(model.config, rows=3, slack=SLACK),
    )
    for step in range(12):
        rows = [[0], [1, 2], [0, 2], [2]][step % 4]
        for move in ("begin", *["act"] * ACTIONS):
            found = extend(model, cache, [getattr(plays[row], move)() for row in rows], rows)
            check(found, torch.cat([plays[row].recomputed(model) for row in rows]))
    assert cache.lengths.tolist() == [54, 27, 81]


def test_a_whole_prompt_at_once(make_model):
    """Several steps in one call, each with its own window, end as token by token."""
    model = make_model()
    one, many, play = KeyValueCache(model.config, rows=1, slack=27), Play(0), Play(0)
    cache = KeyValueCache(model.config, rows=1, slack=SLACK)
    for _ in range(5):
        parts = []
        for _ in range(3):
            parts += [many.begin(), *(many.act() for _ in range(ACTIONS))]
            for part in (play.begin(), *(play.act() for _ in range(ACTIONS))):
                expected = extend(model, cache, [part])
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        found = extend(model, one, [whole])
        check(found, expected)
        check(found, many.recomputed(model))


def test_rows_of_different_lengths_in_one_pass(make_model):
    """Long and short observations, rows that only act, and rows that leave the pass out."""
    model = make_model()
    plays = [Play(seed) for seed in range(4)]
    cache = KeyValueCache(model.config, rows=4, slack=SLACK)
    rng = np.random.default_rng(0)
    for step in range(20):
        rows = np.flatnonzero(rng.random(4) < 0.8).tolist() or [step % 4]
        parts = []
        for row in rows:
            observes = not plays[row].ids or rng.random() < 0.5
            parts.append(
                plays[row].begin(int(rng.integers(1, 12)), 0) if observes else plays[row].act()
            )
        found = extend(model, cache, parts, rows)
        check(found, torch.cat([plays[row].recomputed(model) for row in rows]))


def test_what_was_taken_back_leaves_no_trace(make_model):
    model = make_model()
    play, cache = Play(0), KeyValueCache(model.config, rows=1, slack=SLACK)
    for _ in range(12):
        for move in ("begin", *["act"] * ACTIONS):
            before = cache.lengths.copy()
            for other in (Play(99), Play(100)):  # something else, as long as the slack
                extend(model, cache, [other.begin(SLACK // 2, 0)])
            cache.shorten([0], before)
            assert cache.lengths.tolist() == before.tolist()
            check(extend(model, cache, [getattr(play, move)()]), play.recomputed(model))


def test_copy_row_copies(make_config):
    source, target = (KeyValueCache(make_config(), rows=2, slack=SLACK) for _ in range(2))
    rows = np.arange(2)
    positions = source.append(rows, np.full(2, 5))
    source.place(torch.tensor([0] * 5 + [1] * 5), torch.from_numpy(positions))
    for table in source.keys:
        table.fill_(3)
    target.copy_row(1, source)
    assert target.lengths.tolist() == [0, 5]
    assert (target.positions[0] == -1).all() and target.positions[1, :5].tolist() == [0, 1, 2, 3, 4]
    for table, copied in zip(source.keys, target.keys, strict=True):
        assert (copied[1, :, :5] == 3).all() and (copied[0] == 0).all()
        table.zero_()
        assert (copied[1, :, :5] == 3).all()


def test_what_does_not_fit_is_not_copied(make_config):
    source = KeyValueCache(make_config(), rows=1, slack=SLACK)
    source.append(np.zeros(1, int), np.array([70]))  # it has turned
    with pytest.raises(ValueError, match="70 tokens of 71 slots do not fit 47"):
        KeyValueCache(make_config(), rows=1, slack=8).copy_row(0, source)


sizes = st.lists(st.integers(1, 20), max_size=40)


@given(sizes, st.integers(20, 50))
def test_step_window_against_a_naive_reference(steps, context):
    window, ends = StepWindow(context), np.cumsum([0, *steps])
    for step, tokens in enumerate(steps):
        expected = next(int(s) for s in ends[: step + 1] if ends[step + 1] - s <= context)
        assert window.begin_step(tokens) == expected
        assert window.length == ends[step + 1]


@given(sizes, sizes)
def test_copy_of_a_window_is_independent(before, after):
    window, reference = StepWindow(20), StepWindow(20)
    for tokens in before:
        window.begin_step(tokens)
        reference.begin_step(tokens)
    copy = window.copy()
    for tokens in after:
        window.begin_step(tokens)
    for tokens in [*after, 7]:
        assert copy.begin_step(tokens) == reference.begin_step(tokens)


def test_step_larger_than_the_context():
    window = StepWindow(32)
    assert window.begin_step(32) == 0
    with pytest.raises(ValueError, match="33 tokens does not fit a context of 32"):
        window.begin_step(33)
    assert window.length == 32  # and the window is as before
    assert window.begin_step(1) == 32

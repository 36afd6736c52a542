"""Streams against a full recomputation, at every step of episodes longer than the context."""

import copy
import pickle

import numpy as np
import pytest
import torch

from gato_gym.config import model_config
from gato_gym.errors import NonFiniteError
from gato_gym.models import programs
from gato_gym.models.cache import StepWindow
from gato_gym.models.choice import deterministic
from gato_gym.models.decode import Decoder
from gato_gym.models.gato import Gato
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.image import acting_positions
from gato_gym.tokenizers.timestep import ACTION_ROW, StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import ActionSpec, ObservationSpec, TaskSpec

STEPS = 60


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Gato(model_config("tiny")).eval()


@pytest.fixture(params=["lean", "fixed shapes"])
def decoder(request, model, monkeypatch):
    """Both ways to run a pass; fixed shapes are not compiled here, see test_programs.py."""
    monkeypatch.setattr(programs, "_compile", lambda compute: compute)
    return Decoder(model, compile=request.param == "fixed shapes")


def tokenizer(image: bool, numbers: int, values: int = 0) -> StepTokenizer:
    """Of a toy task; `values` of each action number, 0 = continuous."""
    leaves = [ObservationSpec("a", "continuous", (3,))]
    if image:
        leaves.append(ObservationSpec("b", "image", (16, 32, 3)))
    action = ActionSpec("continuous", numbers)
    if values:
        action = ActionSpec("discrete", numbers, (values,) * numbers)
    return StepTokenizer(TaskSpec("toy", "test", "test", tuple(leaves), action), Vocabulary(1024))


def observation(rng: np.random.Generator, tokens: StepTokenizer):
    obs = {"a": rng.normal(size=3).astype(np.float32)}
    if tokens.patches_per_step:
        obs["b"] = rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)
    return tokens.observe(obs)


class Recomputation:
    """Everything from the start at each call: the rule of the sliding context as a plain mask."""

    def __init__(self, model: Gato, tokenizer: StepTokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.window = StepWindow(model.config.context)
        self.ids, self.local, self.first = [], [], []
        self.patches, self.positions = [], []

    def observe(self, sequence) -> None:
        visible = self.window.begin_step(len(sequence) + self.tokenizer.spec.action.size)
        self.visible = visible
        self.ids += list(sequence.ids)
        self.local += list(sequence.local)
        self.first += [visible] * len(sequence)
        self.patches += list(sequence.patches)
        self.positions += list(acting_positions(sequence.intervals))

    def act(self, token: int) -> None:
        self.ids.append(token)
        self.local.append(ACTION_ROW)
        self.first.append(self.visible)

    @torch.inference_mode()
    def logits(self) -> torch.Tensor:
        count = len(self.patches)
        patches = np.array(self.patches, np.uint8).reshape(count, 16, 16, 3)
        return self.model(
            torch.tensor([[int(i) for i in self.ids]]),
            torch.tensor([[int(i) for i in self.local]]),
            torch.from_numpy(patches),
            torch.arange(count),
            torch.from_numpy(np.array(self.positions, np.int64).reshape(count, 2)),
            torch.tensor([self.first]),
        )[0, -1]


class Checked:
    """Chooses random actions for a batch, and compares each prediction with a recomputation."""

    def __init__(self, model: Gato, tokenizers: list[StepTokenizer], rng: np.random.Generator):
        self.model, self.tokenizers, self.rng = model, tokenizers, rng
        self.naive = [Recomputation(model, one) for one in tokenizers]
        self.numbers = [0] * len(tokenizers)
        self.compared = 0

    def __call__(self, logits: torch.Tensor, rows: list[int], ordered: bool) -> np.ndarray:
        chosen = self.rng.integers(0, logits.shape[1], len(rows))
        for row, found, value in zip(rows, logits, chosen, strict=True):
            legal = self.tokenizers[row].legal_ids
            low, high = legal[self.numbers[row]].tolist()
            self.numbers[row] = (self.numbers[row] + 1) % len(legal)
            expected = self.naive[row].logits()[low:high]
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
            self.naive[row].act(low + int(value))
            self.compared += 1
        return chosen

    def restart(self, row: int) -> None:
        self.naive[row] = Recomputation(self.model, self.tokenizers[row])

    def step(self, streams: TokenStreams, rows: list[int]) -> None:
        sequences = [None] * len(self.tokenizers)
        for row in rows:
            sequences[row] = observation(self.rng, self.tokenizers[row])
            self.naive[row].observe(sequences[row])
        decided = streams.decide(sequences, self)
        assert [ids is not None for ids in decided] == [row in rows for row in range(len(decided))]


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("numbers", [1, 3])
def test_every_prediction_equals_a_full_recomputation(decoder, model, image, numbers):
    tokens = tokenizer(image, numbers)
    checked = Checked(model, [tokens], np.random.default_rng(0))
    streams = TokenStreams(decoder, [tokens])
    assert STEPS * tokens.tokens_per_step > 3 * model.config.context
    for _ in range(STEPS):
        checked.step(streams, [0])
    assert checked.compared == STEPS * numbers


def test_rows_of_different_tasks_that_restart_and_wait_equal_a_full_recomputation(decoder, model):
    tokens = [tokenizer(True, 2), tokenizer(False, 1, values=5), tokenizer(True, 3, values=4)]
    tokens += [tokenizer(False, 2)]
    rng = np.random.default_rng(1)
    checked, streams = Checked(model, tokens, rng), TokenStreams(decoder, tokens)
    for step in range(STEPS // 2):
        for row in range(len(tokens)):
            if step and step % (7 + 4 * row) == 0:
                streams.restart(row)
                checked.restart(row)
        waiting = int(rng.integers(0, 2 * len(tokens)))  # half of the time nobody
        checked.step(streams, [row for row in range(len(tokens)) if row != waiting])


def test_a_demonstration_at_once_equals_one_step_after_the_other(decoder, model):
    rng = np.random.default_rng(2)
    tokens = tokenizer(image=True, numbers=2)
    sequences = [observation(rng, tokens) for _ in range(5)]
    actions = rng.integers(1024, 2048, (5, 2))
    naive, taught = Recomputation(model, tokens), TokenStreams(decoder, [tokens])
    taught.teach(sequences, actions)
    for sequence, ids in zip(sequences, actions, strict=True):
        naive.observe(sequence)
        for token in ids:
            naive.act(int(token))
    checked = Checked(model, [tokens], rng)
    checked.naive = [naive]
    for _ in range(STEPS // 3):
        checked.step(taught, [0])


def test_a_shared_prompt_is_left_alone_by_the_rows_that_start_from_it(decoder):
    rng = np.random.default_rng(3)
    tokens = tokenizer(image=False, numbers=1)
    prompt = TokenStreams(decoder, [tokens])
    prompt.teach([observation(rng, tokens) for _ in range(5)], np.full((5, 1), 1500))
    obs = observation(rng, tokens)

    def first_logits(prompt: TokenStreams | None) -> torch.Tensor:
        streams, seen = TokenStreams(decoder, [tokens] * 2), []

        def choose(logits, rows, ordered):
            seen.append(logits)
            return np.array([100, 900])  # the rows part

        for row in range(2):
            streams.restart(row, prompt)
        for _ in range(3):
            streams.decide([obs, obs], choose)
        assert (seen[2][0] - seen[2][1]).abs().max() > 1e-3
        torch.testing.assert_close(seen[0][0], seen[0][1])
        return seen[0]

    first = first_logits(prompt)
    torch.testing.assert_close(first, first_logits(prompt), atol=0, rtol=0)
    assert not torch.allclose(first, first_logits(None), atol=1e-3)


def test_a_look_shows_the_prediction_and_its_attention_and_changes_nothing(decoder, model):
    tokens = [tokenizer(True, 2), tokenizer(False, 1, values=5)]
    rng = np.random.default_rng(4)
    streams = TokenStreams(decoder, tokens)
    for _ in range(STEPS // 2):
        sequences = [observation(rng, one) for one in tokens]
        looks = streams.look(sequences)
        seen = [[], []]

        def choose(logits, rows, ordered, seen=seen):
            for row, values in zip(rows, logits, strict=True):
                seen[row].append(values)
            return deterministic(logits, rows, ordered)

        decided = streams.decide(sequences, choose)
        for row, look in enumerate(looks):
            assert (look.ids == decided[row]).all()
            window = streams.rows[row].window
            assert look.starts == tuple(window.starts)
            for number, (found, attention) in enumerate(
                zip(look.logits, look.attention, strict=True)
            ):
                torch.testing.assert_close(
                    torch.from_numpy(found), seen[row][number], atol=1e-5, rtol=0
                )
                layers, heads = model.config.layers, model.config.heads
                end = window.length - len(decided[row]) + number
                assert look.positions[number].tolist() == list(range(window.starts[0], end))
                assert attention.shape == (layers, heads, end - window.starts[0])
                np.testing.assert_allclose(attention.sum(-1), 1, atol=1e-5)


def test_copies_of_streams_go_on_alike_without_the_network(decoder):
    tokens, rng = tokenizer(True, 2), np.random.default_rng(5)
    streams = TokenStreams(decoder, [tokens])
    for _ in range(10):
        streams.decide([observation(rng, tokens)])
    others = [copy.deepcopy(streams), pickle.loads(pickle.dumps(streams))]
    assert len(pickle.dumps(streams)) < 200_000  # no weights
    observations = [observation(rng, tokens) for _ in range(5)]
    expected = [streams.decide([obs])[0] for obs in observations]
    for other in others:
        other.decoder = decoder
        np.testing.assert_array_equal([other.decide([obs])[0] for obs in observations], expected)


def test_predictions_that_are_not_finite_are_no_action(model):
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.embedding.ids.weight[1500] = torch.nan
    streams = TokenStreams(Decoder(broken), [tokenizer(False, 2)])
    obs = observation(np.random.default_rng(6), streams.tokenizers[0])
    with pytest.raises(NonFiniteError, match="toy: the predictions of action number 0 at step 0"):
        streams.decide([obs])


def test_rows_go_on_once_the_weights_are_mended(decoder, model):
    """What was not finite in the cache does not come back."""
    tokens, rng = tokenizer(False, 2), np.random.default_rng(8)
    observations = [observation(rng, tokens) for _ in range(6)]
    streams = TokenStreams(decoder, [tokens])
    expected = [streams.decide([obs])[0] for obs in observations]
    weight = model.blocks[0].key_value.weight
    kept = weight.detach().clone()
    for fail in (streams.decide, streams.look):
        streams.restart(0)
        with torch.no_grad():
            weight.fill_(torch.nan)
        with pytest.raises(NonFiniteError):
            fail(observations[:1])
        with torch.no_grad():
            weight.copy_(kept)
        for go_on in (streams.decide, streams.look):
            with pytest.raises(RuntimeError, match="failed half-way in row 0"):
                go_on(observations[:1])
        streams.restart(0)
        np.testing.assert_array_equal([streams.decide([obs])[0] for obs in observations], expected)


def test_nobody_acts_where_all_rows_wait(decoder):
    assert TokenStreams(decoder, [tokenizer(True, 2)] * 2).decide([None, None]) == [None, None]


def test_streams_are_at_home_in_and_out_of_inference_mode(decoder):
    tokens = tokenizer(True, 2)
    obs = observation(np.random.default_rng(9), tokens)
    with torch.inference_mode():
        streams = TokenStreams(decoder, [tokens])
        expected = streams.decide([obs])[0]
    streams.restart(0)
    np.testing.assert_array_equal(streams.decide([obs])[0], expected)


def test_texts_of_changing_length_equal_a_full_recomputation(decoder, model):
    leaves = (ObservationSpec("a", "discrete", (2,)), ObservationSpec("b", "text", ()))
    spec = TaskSpec("toy", "test", "test", leaves, ActionSpec("discrete", 1, (5,)))
    tokens, rng = StepTokenizer(spec, Vocabulary(1024)), np.random.default_rng(10)
    checked = Checked(model, [tokens] * 2, rng)
    streams = TokenStreams(decoder, [tokens] * 2)
    for _ in range(STEPS // 2):
        sequences = []
        for row in range(2):
            words = " ".join(["go"] * int(rng.integers(1, 9)))
            sequences.append(tokens.observe({"a": rng.integers(0, 9, 2), "b": words}))
            checked.naive[row].observe(sequences[row])
        streams.decide(sequences, checked)
    assert checked.compared == STEPS


def test_a_step_that_failed_half_way_is_not_gone_on_from(model):
    tokens, rng = tokenizer(True, 2), np.random.default_rng(7)
    streams, whole = (TokenStreams(Decoder(model), [tokens] * 2) for _ in range(2))
    observations = [observation(rng, tokens) for _ in range(3)]
    for obs in observations[:2]:
        whole.decide([None, obs])

    def interrupt(logits, rows, ordered):
        raise KeyboardInterrupt

    streams.decide([observations[0]] * 2)
    with pytest.raises(KeyboardInterrupt):
        streams.decide([observations[1], None], interrupt)
    with pytest.raises(RuntimeError, match=r"failed half-way in row 0: start its episode again"):
        streams.decide([observations[1]] * 2)
    streams.decide([None, observations[1]])  # the other one goes on
    expected = whole.decide([None, observations[2]])[1]
    streams.restart(0)
    np.testing.assert_array_equal(streams.decide([observations[2]] * 2)[1], expected)

"""Texts as actions against a full recomputation, alone and beside rows that act in numbers."""

import numpy as np
import pytest
import torch

from gato_gym.config import model_config
from gato_gym.errors import UnsupportedSpaceError
from gato_gym.models import programs
from gato_gym.models.cache import StepWindow
from gato_gym.models.decode import Decoder
from gato_gym.models.gato import Gato
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.image import acting_positions
from gato_gym.tokenizers.timestep import ACTION_ROW, StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import ActionSpec, ObservationSpec, TaskSpec

CONTEXT, REPLY = 96, 24


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Gato(model_config("tiny")).eval()


@pytest.fixture(params=["lean", "fixed shapes"])
def decoder(request, model, monkeypatch):
    monkeypatch.setattr(programs, "_compile", lambda compute: compute)
    return Decoder(model, compile=request.param == "fixed shapes")


def tokenizer(*leaves: ObservationSpec, action: ActionSpec) -> StepTokenizer:
    return StepTokenizer(TaskSpec("toy", "test", "test", leaves, action), Vocabulary(1024))


PICTURE = ObservationSpec("a", "image", (16, 32, 3))
QUESTION = ObservationSpec("b", "text", ())
CAPTIONS = tokenizer(PICTURE, action=ActionSpec("text", REPLY))
TALK = tokenizer(QUESTION, action=ActionSpec("text", REPLY))
CONTROL = tokenizer(PICTURE, action=ActionSpec("discrete", 3, (5, 5, 5)))


def observation(rng: np.random.Generator, tokens: StepTokenizer):
    values = {
        "image": rng.integers(0, 256, (16, 32, 3), dtype=np.uint8),
        "text": " ".join(["red block"] * int(rng.integers(1, 5))),
    }
    return tokens.observe({item.key: values[item.kind] for item in tokens.spec.observations})


class Stream:
    """One row as whole steps of their real lengths, and the rule of what falls out, written down.

    A token that predicts one of a step's numbers sees the oldest steps with which the step up to
    this number fits the context; of a step of so many numbers, up to the last one.
    """

    def __init__(self, model: Gato, tokens: StepTokenizer) -> None:
        self.model, self.tokens = model, tokens
        self.starts, self.ids, self.local, self.first = [], [], [], []
        self.patches, self.places = [], []

    def see(self, ahead: int) -> int:
        end = len(self.ids) + ahead
        return next(start for start in self.starts if end - start <= CONTEXT)

    def observe(self, sequence, numbers: int | None = None) -> None:
        if numbers is None:
            numbers = 1 if self.tokens.end is not None else self.tokens.spec.action.size
        self.starts.append(len(self.ids))
        self.numbers, self.chosen = numbers, []
        seen = self.see(len(sequence) + numbers)
        self.first += [seen] * len(sequence)
        self.ids += list(sequence.ids)
        self.local += list(sequence.local)
        self.patches += list(sequence.patches)
        self.places += list(acting_positions(sequence.intervals))

    def act(self, token: int) -> None:
        self.first.append(self.first[-1])
        self.ids.append(token)
        self.local.append(ACTION_ROW)
        self.chosen.append(token)

    def predict(self) -> torch.Tensor:
        """Logits of the next number of the step."""
        if len(self.chosen) >= self.numbers:
            self.first[-1] = self.see(1)
        count = len(self.patches)
        with torch.inference_mode():
            return self.model(
                torch.tensor(np.array([self.ids], np.int64)),
                torch.tensor(np.array([self.local], np.int64)),
                torch.from_numpy(np.array(self.patches, np.uint8).reshape(count, 16, 16, 3)),
                torch.arange(count),
                torch.from_numpy(np.array(self.places, np.int64).reshape(count, 2)),
                torch.tensor([self.first]),
            )[0, -1]


class Batch:
    """Draws actions, texts of any length among them, and compares every prediction."""

    def __init__(self, model, tokenizers, seed) -> None:
        self.model, self.rng = model, np.random.default_rng(seed)
        self.streams = [Stream(model, one) for one in tokenizers]
        self.lengths: list[int] = []

    def __call__(self, logits: torch.Tensor, rows: list[int], ordered: bool) -> np.ndarray:
        chosen = self.rng.integers(1, logits.shape[1], len(rows))
        chosen[self.rng.random(len(rows)) < 0.12] = 0  # a text ends
        for row, found, value in zip(rows, logits, chosen.tolist(), strict=True):
            stream = self.streams[row]
            low, high = stream.tokens.legal_ids[len(stream.chosen)].tolist()
            torch.testing.assert_close(found, stream.predict()[low:high], atol=1e-4, rtol=0)
            stream.act(low + value)
        return chosen

    def step(self, streams: TokenStreams, rows) -> None:
        sequences = [None] * len(self.streams)
        for row in rows:
            sequences[row] = observation(self.rng, self.streams[row].tokens)
            self.streams[row].observe(sequences[row])
        decided = streams.decide(sequences, self)
        for row, (ids, stream) in enumerate(zip(decided, self.streams, strict=True)):
            if row not in rows:
                assert ids is None
                continue
            assert ids.tolist() == stream.chosen
            end, most = stream.tokens.end, stream.tokens.spec.action.size
            assert end not in ids[:-1].tolist()
            assert len(ids) == most or (ids[-1] == end and end is not None)
            self.lengths.append(len(ids))


@pytest.mark.parametrize("tokens", [CAPTIONS, TALK], ids=["captions", "talk"])
def test_texts_equal_a_full_recomputation_before_and_after_the_window_slides(
    decoder, model, tokens
):
    batch, streams = Batch(model, [tokens], 0), TokenStreams(decoder, [tokens])
    for _ in range(40):
        batch.step(streams, [0])
        assert streams.rows[0].window.length == len(batch.streams[0].ids)
    assert len(batch.streams[0].ids) > 3 * CONTEXT
    assert {1, REPLY} <= set(batch.lengths) and len(set(batch.lengths)) > 8


def test_rows_of_texts_and_of_numbers_end_each_on_its_own(decoder, model):
    tokens = [CAPTIONS, CONTROL, TALK, CAPTIONS, CONTROL]
    batch, streams = Batch(model, tokens, 1), TokenStreams(decoder, tokens)
    for step in range(14):
        waiting = int(batch.rng.integers(0, 2 * len(tokens)))  # half of the time nobody
        for row in range(len(tokens)):
            if step and step % (6 + 3 * row) == 0:
                streams.restart(row)
                batch.streams[row] = Stream(model, tokens[row])
        batch.step(streams, [row for row in range(len(tokens)) if row != waiting])


def test_a_conversation_at_once_equals_one_turn_after_the_other(decoder, model):
    rng, replies = np.random.default_rng(2), ["yes", "", "the red block is on the green one"]
    sequences = [observation(rng, TALK) for _ in replies]
    actions = TALK.action_ids(np.array(replies))
    batch, streams = Batch(model, [TALK], 3), TokenStreams(decoder, [TALK])
    streams.teach(sequences, actions)
    for sequence, reply in zip(sequences, replies, strict=True):
        ids = [*TALK.text.encode(reply).tolist(), TALK.end]
        batch.streams[0].observe(sequence, len(ids))
        for token in ids:
            batch.streams[0].act(token)
    for _ in range(8):
        batch.step(streams, [0])


def test_numbers_are_told_one_by_one(decoder):
    """What is decided at once, and all rows that are not done in each turn."""
    tokens, rng = [TALK, CONTROL, CAPTIONS], np.random.default_rng(4)
    sequences = [observation(rng, one) for one in tokens]
    lengths, asked = [5, 3, 1], []

    def choose(logits, rows, ordered):
        asked.extend(rows)
        last = [asked.count(row) == lengths[row] for row in rows]
        return np.where(last, 0, 1 + np.array(rows))

    told = list(TokenStreams(decoder, tokens).deciding(sequences, choose))
    assert [sorted(found) for found in told] == [[0, 1, 2], [0, 1], [0, 1], [0], [0]]
    asked.clear()
    decided = TokenStreams(decoder, tokens).decide(sequences, choose)
    for row, ids in enumerate(decided):
        assert ids.tolist() == [found[row] for found in told if row in found]
        assert len(ids) == lengths[row]


def test_a_text_that_nobody_waited_for_is_not_gone_on_from(decoder):
    obs = observation(np.random.default_rng(5), TALK)
    streams = TokenStreams(decoder, [TALK])
    expected = streams.decide([obs])[0]
    streams.restart(0)
    told = streams.deciding([obs], lambda logits, rows, ordered: np.array([7]))
    next(told)
    told.close()
    with pytest.raises(RuntimeError, match="failed half-way in row 0: start its episode again"):
        streams.decide([obs])
    streams.restart(0)
    np.testing.assert_array_equal(streams.decide([obs])[0], expected)


def test_a_look_at_a_text_changes_nothing(decoder):
    rng, streams = np.random.default_rng(6), TokenStreams(decoder, [CAPTIONS])
    for _ in range(6):
        obs = observation(rng, CAPTIONS)
        look = streams.look([obs])[0]
        assert len(look.logits) == len(look.attention) == len(look.ids)
        np.testing.assert_array_equal(streams.decide([obs])[0], look.ids)
        for weights, positions in zip(look.attention, look.positions, strict=True):
            np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
            assert positions[0] >= look.starts[0]


def test_parallel_actions_have_no_words(make_model):
    decoder = Decoder(make_model(parallel_actions=True))
    with pytest.raises(UnsupportedSpaceError, match="toy acts in text"):
        TokenStreams(decoder, [CONTROL, TALK])


def test_a_step_grows_as_if_its_length_had_been_known():
    known, grown, rng = StepWindow(30), StepWindow(30), np.random.default_rng(7)
    for _ in range(200):
        tokens = int(rng.integers(1, 31))
        before = grown.begin_step(1)
        for _ in range(tokens - 1):
            after = grown.extend_step(1)
            assert after >= before and after in grown.starts
            before = after
        assert before == known.begin_step(tokens)
        assert (grown.length, grown.starts) == (known.length, known.starts)
    grown.begin_step(30)
    with pytest.raises(ValueError, match="31 tokens does not fit a context of 30"):
        grown.extend_step(1)

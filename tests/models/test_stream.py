"""Streams against a full recomputation, at every step of episodes longer than the context."""

import numpy as np
import pytest
import torch

from gato_gym.config import model_config
from gato_gym.models.cache import StepWindow
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


def tokenizer(image: bool, numbers: int) -> StepTokenizer:
    leaves = [ObservationSpec("a", "continuous", (3,))]
    if image:
        leaves.append(ObservationSpec("b", "image", (16, 32, 3)))
    spec = TaskSpec("toy", "test", "test", tuple(leaves), ActionSpec("continuous", numbers))
    return StepTokenizer(spec, Vocabulary(1024))


def observation(rng: np.random.Generator, image: bool) -> dict[str, np.ndarray]:
    obs = {"a": rng.normal(size=3).astype(np.float32)}
    if image:
        obs["b"] = rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)
    return obs


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


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("numbers", [1, 3])
def test_every_prediction_equals_a_full_recomputation(model, image, numbers):
    rng = np.random.default_rng(0)
    tokens = tokenizer(image, numbers)
    streams, naive = TokenStreams(model, tokens, 1), Recomputation(model, tokens)
    assert STEPS * tokens.tokens_per_step > 3 * model.config.context
    for _ in range(STEPS):
        sequence = tokens.observe(observation(rng, image))
        naive.observe(sequence)
        logits = streams.observe([sequence])
        for number in range(numbers):
            if number:
                logits = streams.flush()
            torch.testing.assert_close(logits[0], naive.logits(), atol=1e-4, rtol=0)
            token = int(rng.integers(1024, 2048))
            naive.act(token)
            streams.act(np.array([token]))


def test_rows_that_restart_at_different_times_equal_single_streams(model):
    rng = np.random.default_rng(1)
    tokens = tokenizer(image=True, numbers=2)
    batch = TokenStreams(model, tokens, 3)
    single = [TokenStreams(model, tokens, 1) for _ in range(3)]
    for step in range(STEPS):
        for row in range(3):
            if step and step % (7 + 4 * row) == 0:
                batch.restart(row)
                single[row].restart(0)
        sequences = [tokens.observe(observation(rng, True)) for _ in range(3)]
        logits = batch.observe(sequences)
        for row in range(3):
            alone = single[row].observe([sequences[row]])
            torch.testing.assert_close(logits[row], alone[0], atol=1e-5, rtol=0)
        actions = rng.integers(1024, 2048, 3)
        batch.act(actions)
        for row in range(3):
            single[row].act(actions[row : row + 1])
        logits = batch.flush()
        for row in range(3):
            torch.testing.assert_close(logits[row], single[row].flush()[0], atol=1e-5, rtol=0)
        batch.act(actions)
        for row in range(3):
            single[row].act(actions[row : row + 1])


def test_a_shared_prompt_is_left_alone_by_the_rows_that_start_from_it(model):
    rng = np.random.default_rng(2)
    tokens = tokenizer(image=False, numbers=1)
    prompt = TokenStreams(model, tokens, 1)
    for _ in range(5):
        prompt.observe([tokens.observe(observation(rng, False))])
        prompt.act(np.array([1500]))
    obs = tokens.observe(observation(rng, False))

    def first_logits() -> torch.Tensor:
        streams = TokenStreams(model, tokens, 2)
        for row in range(2):
            streams.restart(row, prompt)
        logits = streams.observe([obs, obs])
        torch.testing.assert_close(logits[0], logits[1])
        streams.act(np.array([1100, 1900]))
        streams.observe([obs, obs])
        return logits[0]

    first = first_logits()
    torch.testing.assert_close(first, first_logits(), atol=0, rtol=0)
    empty = TokenStreams(model, tokens, 1).observe([obs])[0]
    assert not torch.allclose(first, empty, atol=1e-3)

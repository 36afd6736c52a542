"""Passes of fixed shapes: few of them, compiled and recorded where that works."""

import copy
import logging
import pickle
import shutil

import numpy as np
import pytest
import torch

from gato_gym.config import model_config
from gato_gym.models import programs
from gato_gym.models.decode import Decoder
from gato_gym.models.gato import Gato
from gato_gym.models.programs import rounded
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import ActionSpec, ObservationSpec, TaskSpec

ROWS = 3


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Gato(model_config("tiny")).eval()


def tokenizer(numbers=2, image=True) -> StepTokenizer:
    leaves = [ObservationSpec("a", "continuous", (3,))]
    if image:
        leaves.append(ObservationSpec("b", "image", (16, 32, 3)))
    action = ActionSpec("continuous", numbers)
    return StepTokenizer(TaskSpec("toy", "test", "test", tuple(leaves), action), Vocabulary(1024))


class Twins:
    """The same play by two decoders, one of which is the lean one."""

    def __init__(self, model: Gato, other: Decoder, tokens: StepTokenizer) -> None:
        self.tokens, self.rng = tokens, np.random.default_rng(0)
        self.both = [TokenStreams(one, [tokens] * ROWS) for one in (Decoder(model, False), other)]

    def play(self, steps: int) -> None:
        for _ in range(steps):
            observations = [None] * ROWS
            for row in range(ROWS):
                if self.rng.random() < 0.2:
                    for streams in self.both:
                        streams.restart(row)
                if row == 0 or self.rng.random() < 0.8:
                    observations[row] = self._observe()
            seen = [[], []]
            for streams, logits in zip(self.both, seen, strict=True):

                def choose(found, rows, ordered, logits=logits):
                    logits.append(found.cpu())
                    return np.zeros(len(rows), int) + 500

                streams.decide(observations, choose)
            for lean, fixed in zip(*seen, strict=True):
                torch.testing.assert_close(fixed, lean, atol=1e-4, rtol=0)

    def _observe(self):
        obs = {"a": self.rng.normal(size=3).astype(np.float32)}
        if self.tokens.patches_per_step:
            obs["b"] = self.rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)
        return self.tokens.observe(obs)


def test_sizes_grow_by_at_most_a_quarter():
    sizes = sorted({rounded(count) for count in range(2000)})
    assert sizes[:4] == [0, 1, 8, 16]
    assert len(sizes) < 40
    for count in range(2, 2000):
        assert count <= rounded(count) <= max(count + 7, 1.25 * count)


def test_shapes_are_prepared_once(model, monkeypatch):
    monkeypatch.setattr(programs, "_compile", lambda compute: compute)
    decoder = Decoder(model, compile=True)
    twins = Twins(model, decoder, tokenizer())
    twins.play(20)
    warm = decoder.captures
    assert 0 < warm <= 6
    twins.play(40)
    assert decoder.captures == warm
    assert decoder.programs.fallbacks == {}


def test_a_compiler_that_fails_is_left_out_with_a_warning(model, monkeypatch, caplog):
    def fail(*args):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(programs, "_compile", lambda compute: fail)
    decoder = Decoder(model, compile=True)
    with caplog.at_level(logging.WARNING):
        Twins(model, decoder, tokenizer()).play(5)
    assert decoder.programs.fallbacks == {"passes cannot be compiled here": "no compiler"}
    assert [r.message for r in caplog.records] == [
        "passes cannot be compiled here, acting is slower: no compiler"
    ]


def test_rows_that_end_one_by_one_need_no_new_shapes(model, monkeypatch):
    monkeypatch.setattr(programs, "_compile", lambda compute: compute)
    decoder, tokens, rows = Decoder(model, compile=True), tokenizer(), 24
    streams, rng = TokenStreams(decoder, [tokens] * rows), np.random.default_rng(0)
    for running in range(rows, 0, -1):
        obs = [
            tokens.observe({"a": np.zeros(3), "b": np.full((16, 32, 3), rng.integers(9), np.uint8)})
        ]
        streams.decide(obs * running + [None] * (rows - running))
    assert decoder.captures <= 3


def test_networks_do_not_share_what_was_prepared_over_a_cache(model, monkeypatch):
    monkeypatch.setattr(programs, "_compile", lambda compute: compute)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.norm.bias += torch.linspace(-1, 1, len(other.norm.bias))
    tokens = tokenizer(numbers=1, image=False)
    obs, seen = tokens.observe({"a": np.zeros(3)}), []
    streams = TokenStreams(Decoder(model, compile=True), [tokens])

    def choose(logits, rows, ordered):
        seen.append(logits)
        return np.zeros(1, int)

    for network in (model, other):
        streams.decoder = Decoder(network, compile=True)
        streams.restart(0)
        streams.decide([obs], choose)
        assert streams.decoder.captures == 1
    assert (seen[0] - seen[1]).abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch's own use
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles with g++ on a CPU")
def test_compiled_passes_predict_the_same(model):
    decoder = Decoder(model, compile=True)
    Twins(model, decoder, tokenizer(numbers=1, image=False)).play(20)
    assert decoder.programs.fallbacks == {} and decoder.captures == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_recorded_passes_predict_the_same(model):
    device = copy.deepcopy(model).cuda()
    decoder = Decoder(device)
    Twins(device, decoder, tokenizer()).play(40)
    assert decoder.programs.fallbacks == {}


def test_copies_compile_again(model, monkeypatch):
    monkeypatch.setattr(programs, "_compile", lambda compute: compute)
    decoder = Decoder(model, compile=True)
    Twins(model, decoder, tokenizer()).play(3)
    for other in (copy.deepcopy(decoder), pickle.loads(pickle.dumps(decoder))):
        Twins(other.model, other, tokenizer()).play(3)
        assert other.programs.fallbacks == {}

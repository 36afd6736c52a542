"""Rows of tasks whose actions are text: what is planned is what is laid out."""

from functools import partial

import numpy as np
import pytest

from gato_gym.data.corpus import Corpus
from gato_gym.data.lengths import least_tokens, step_lengths
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec

CONTEXT = 96
WORDS = ["the", "red", "block", "is", "on", "a", "blue", "one", "and", "green", "stands", "alone"]
SPEC = TaskSpec(
    id="text/pairs",
    domain="text",
    family="test",
    observations=(
        ObservationSpec("image", "image", (16, 32, 3)),
        ObservationSpec("question", "text", ()),
    ),
    action=ActionSpec("text", 24),
)


def episode(seed: int, longest: int = 8) -> Episode:
    rng = np.random.default_rng(seed)

    def sentence() -> str:
        return " ".join(rng.choice(WORDS, rng.integers(1, longest)))

    return Episode(
        task=SPEC.id,
        observations={
            "image": rng.integers(0, 256, (6, 16, 32, 3)).astype(np.uint8),
            "question": np.array([sentence() for _ in range(6)]),
        },
        actions=np.array([sentence() for _ in range(5)]),
        rewards=np.zeros(5, np.float32),
        terminated=True,
        seed=seed,
        expert="test",
    )


def source(path, episodes) -> WindowSource:
    corpus = Corpus.create(path)
    corpus.append_shard(episodes)
    return WindowSource(corpus, Mixture(corpus), {SPEC.id: SPEC}, CONTEXT, Vocabulary(1024))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> WindowSource:
    return source(tmp_path_factory.mktemp("pairs"), [episode(seed) for seed in range(8)])


def test_lengths_are_those_of_the_sequences(pairs):
    tokenizer = pairs.tokenizers[0]
    for entry in pairs.corpus.episodes():
        steps = pairs.corpus.read_steps(entry, 0, entry.steps)
        lengths = step_lengths(
            tokenizer,
            entry.steps,
            partial(pairs.corpus.read_observation, entry),
            lambda steps=steps: steps["actions"],
        )
        found = tokenizer.sequences(**steps, lengths=[1] * entry.steps)
        assert lengths.tolist() == [len(one) for one in found]
        assert (lengths >= least_tokens(tokenizer)).all()


def test_rows_are_whole_steps_and_their_targets_are_the_texts(pairs):
    tokenizer, text = pairs.tokenizers[0], default_text()
    said = {
        reply
        for entry in pairs.corpus.episodes()
        for reply in pairs.corpus.read(entry).actions.tolist()
    }
    for index in range(20):
        row = pairs.row(index)
        ids = row.ids[: CONTEXT - row.padding].tolist()
        separators = [at for at, token in enumerate(ids) if token == tokenizer.vocabulary.separator]
        assert separators
        for at in separators:
            reply = ids[at + 1 : ids.index(tokenizer.end, at) + 1]
            assert tokenizer.decode_action(reply) in said
            places = dict(zip(row.queries.tolist(), row.targets.tolist(), strict=True))
            assert [places[at + step] for step in range(len(reply))] == reply
    assert text.end == tokenizer.end


def test_an_episode_with_a_step_that_never_fits_is_not_drawn(tmp_path):
    long = episode(99)
    rows = source(tmp_path / "c", [episode(0), episode(1), _with_a_long_question(long)])
    names = {name for index in range(40) for name in rows.row(index).episodes}
    assert names
    assert not any("seed 99" in name for name in names), names


def _with_a_long_question(short: Episode) -> Episode:
    questions = short.observations["question"].tolist()
    questions[2] = "word " * 110
    observations = {"image": short.observations["image"], "question": np.array(questions)}
    return Episode(
        short.task,
        observations,
        short.actions,
        short.rewards,
        terminated=True,
        seed=99,
        expert="test",
    )

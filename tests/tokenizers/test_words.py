"""Texts that are actions: written down whole, cut, and read back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_gym.errors import InvalidObservationError
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.timestep import ACTION_ROW, SEPARATOR_ROW, StepTokenizer
from gato_gym.tokenizers.vocabulary import PAD, Vocabulary
from gato_gym.tokenizers.words import SPEAKER_SLOT, Words
from gato_gym.types import ActionSpec, ObservationSpec, TaskSpec

TEXT = default_text()
SPEC = TaskSpec(
    id="text/example",
    domain="text",
    family="test",
    observations=(
        ObservationSpec("picture", "image", (16, 32, 3)),
        ObservationSpec("question", "text", ()),
    ),
    action=ActionSpec("text", 8),
)
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 16, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def tokenizer() -> StepTokenizer:
    return StepTokenizer(SPEC, Vocabulary(1024))


def pieces(text: str) -> list[int]:
    return TEXT.encode(text).tolist()


def test_a_pair_of_steps_token_by_token(tokenizer):
    questions, answers = ["which block?", ""], ["red", "the blue one"]
    observations = {"picture": PICTURES, "question": np.array(questions)}
    actions = np.array(answers)
    sequence = tokenizer.sequence(observations, actions, actions)
    asked, said = [pieces(q) for q in questions], [[*pieces(a), TEXT.end] for a in answers]
    separator = tokenizer.vocabulary.separator
    assert sequence.ids.tolist() == [
        *(-1, -1, *asked[0], separator, *said[0]),
        *(-1, -1, *asked[1], separator, *said[1]),
    ]
    # Text is predicted wherever it stands (section 2.3), the separator and patches never.
    assert sequence.targets.tolist() == [
        *(-1, -1, *asked[0], -1, *said[0]),
        *(-1, -1, *asked[1], -1, *said[1]),
    ]
    assert sequence.local.tolist() == [
        *range(2 + len(asked[0])),
        *(SEPARATOR_ROW, *[ACTION_ROW] * len(said[0])),
        *range(2 + len(asked[1])),
        *(SEPARATOR_ROW, *[ACTION_ROW] * len(said[1])),
    ]
    assert PAD not in sequence.ids
    assert len(sequence.patches) == 4


def test_legal_ids_are_the_end_and_the_pieces(tokenizer):
    assert tokenizer.end == TEXT.end == 2
    assert tokenizer.legal_ids.tolist() == [[2, TEXT.size]] * 8


def test_a_text_that_is_too_long_is_cut_without_an_end(tokenizer):
    (ids,) = tokenizer.action_ids(np.array(["a text of very many words and pieces"]))
    assert len(ids) == 8 and PAD not in ids and TEXT.end not in ids
    assert "a text of very many words and pieces".startswith(tokenizer.decode_action(ids))


def test_an_observed_text_that_is_too_long_is_cut(tokenizer):
    observations = {"picture": PICTURES[:1], "question": np.array(["word " * 500])}
    ids, _ = tokenizer.observation_ids(observations)
    assert (ids != PAD).sum() == 2 + SPEAKER_SLOT + 1


@given(st.text(max_size=40))
def test_any_text_comes_back(text):
    words = Words(TEXT, 64, 512)
    (ids,) = words.replies([text])
    assert ids[words.reply_tokens(text) - 1] == TEXT.end
    assert words.decode(ids.tolist()) == text
    (seen,) = words.observed([text])
    assert (seen != PAD).sum() == words.observed_tokens(text)


@pytest.mark.parametrize(
    "actions", [np.array([1]), np.array([[0.5]], np.float32), np.array([["a", "b"]])]
)
def test_actions_that_are_no_text_are_refused(tokenizer, actions):
    with pytest.raises(InvalidObservationError, match="text/example: actions of"):
        tokenizer.action_ids(actions)


def test_text_is_no_number():
    numbers = TaskSpec(
        "numbers", "test", "test", SPEC.observations, ActionSpec("discrete", 1, (3,))
    )
    with pytest.raises(InvalidObservationError, match="actions of <U3"):
        StepTokenizer(numbers, Vocabulary(1024)).action_ids(np.array(["red"]))

"""Any string comes back; the model travels as bytes."""

import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gato_gym.errors import CorruptCheckpointError
from gato_gym.tokenizers.text import TextTokenizer

SENTENCES = ["go left", "go right", "put the red block on the blue one", "what is on the table?"]


@pytest.fixture(scope="module")
def text():
    return TextTokenizer.train(SENTENCES * 20, 512)


@given(st.text())
@example("")
@example(" ")
@example("  two  spaces ")
@example("\n\t\r\0")
@example("naïve ☃ 日本 \U0001f916")
@example("a\u2581b")
@example("<unk><s></s><0x41>")
def test_any_string_round_trips(text, string):
    ids = text.encode(string)
    assert ids.dtype == np.int32
    assert text.decode(ids) == string
    assert ((ids >= 0) & (ids < text.size)).all()


def test_known_words_are_shorter_than_bytes(text):
    assert len(text.encode("put the red block")) < len("put the red block")
    assert len(text.encode("日")) == 3  # three bytes of UTF-8


def test_size_is_bounded(text):
    assert 256 < text.size <= 512


def test_pickling(text):
    copy = pickle.loads(pickle.dumps(text))
    assert copy.model == text.model
    assert copy.encode("go left ☃").tolist() == text.encode("go left ☃").tolist()


def test_a_phrase_is_one_piece():
    text = TextTokenizer.train(SENTENCES * 20, 512, [" on the blue one"])
    sentence = "go on the blue one on the blue one, right"
    assert len(text.encode(sentence)) == len(text.encode("go, right")) + 2
    assert text.decode(text.encode(sentence)) == sentence


def test_load(text, tmp_path):
    path = tmp_path / "text.model"
    path.write_bytes(text.model)
    assert TextTokenizer.load(path).model == text.model


def test_training_is_deterministic(text):
    assert TextTokenizer.train(SENTENCES * 20, 512).model == text.model


def test_of_many_sentences_the_same_are_drawn(text):
    many = [f"{word} {number}" for number in range(300) for word in ("left", "right", "block")]
    models = [TextTokenizer.train(many, 512, most=most).model for most in (150, 150, 2000)]
    assert models[0] == models[1] != models[2]


def test_sentences_that_cannot_be_read_raise_what_they_raise():
    def broken(error):
        yield "go left"
        raise error

    for error in (KeyError("told"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught:
            TextTokenizer.train(broken(error), 512)
        assert caught.value is error


@pytest.mark.parametrize(
    "sentences, options, told",
    [
        ([], {}, "nothing to learn a text model from"),
        (["", ""], {}, "nothing to learn"),
        (["x" * 5000], {}, "longer than 4192 bytes"),
        (["go"], {"size": 511}, "511 pieces has no room for words: expected 512"),
        (["go"], {"most": 100}, "100 drawn sentences are too few"),
    ],
)
def test_what_no_model_can_be_learned_from(sentences, options, told):
    with pytest.raises(ValueError, match=told):
        TextTokenizer.train(sentences, **{"size": 512} | options)


def test_pieces_join_to_the_text(text):
    pieces = [text.piece(int(i)) for i in text.encode("go left")]
    assert "".join(pieces).replace("\u2581", " ") == "go left"
    assert text.piece(text.end) == "</s>"
    with pytest.raises(IndexError):
        text.piece(text.size)


@pytest.mark.parametrize(
    "damage", [lambda m: b"", lambda m: b"no model", lambda m: m[: len(m) // 2]]
)
def test_damaged_model(text, damage):
    with pytest.raises(CorruptCheckpointError, match="not a SentencePiece model"):
        TextTokenizer(damage(text.model))

"""The shipped text model: missions fit into their slot, any string comes back."""

from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gato_gym.errors import CorruptCheckpointError
from gato_gym.tokenizers import default_text as shipped
from gato_gym.tokenizers.default_text import MODEL_PATH, default_text
from gato_gym.tokenizers.timestep import TEXT_SLOT
from gato_gym.tokenizers.wrapper import DEFAULT_VOCABULARY

COLORS = ("red", "green", "blue", "purple", "yellow", "grey")
KINDS = ("key", "ball", "box", "door", "object")
PLACES = ("", " in front of you", " behind you", " on your left", " on your right")


@given(st.text())
@example("")
@example("  next to\n next  to ")
@example(" next today, on your leftovers")
@example("\u2581next\u2581to next to\u2581")
@example("naïve ☃ 日本 \U0001f916 <unk><0x41>")
def test_any_string_round_trips(string):
    text = default_text()
    ids = text.encode(string)
    assert text.decode(ids) == string
    assert ((ids >= 0) & (ids < text.size)).all()


def test_it_is_small_and_fits_the_default_vocabulary():
    assert default_text().size == DEFAULT_VOCABULARY.text_size
    assert MODEL_PATH.stat().st_size < 40_000


def test_it_is_read_once():
    assert default_text() is default_text()


def test_a_missing_file_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "MODEL_PATH", tmp_path / "none.model")
    with pytest.raises(CorruptCheckpointError, match="missing: reinstall gato-gym"):
        default_text()


def test_a_damaged_file_is_told(monkeypatch, tmp_path):
    path = tmp_path / "half.model"
    path.write_bytes(MODEL_PATH.read_bytes()[:5000])
    monkeypatch.setattr(shipped, "MODEL_PATH", path)
    with pytest.raises(CorruptCheckpointError, match="not a SentencePiece model"):
        default_text()


def test_no_mission_of_babyai_is_cut():
    text = default_text()
    things = [
        f"{article} {color}{kind}{place}"
        for article, color, kind, place in product(
            ("a", "the"), ("", *(f"{c} " for c in COLORS)), KINDS, PLACES
        )
    ]
    thing = max(things, key=lambda thing: len(text.encode(thing)))
    orders = [f"{verb} {thing}" for verb in ("go to", "pick up", "open")]
    orders.append(f"put {thing} next to {thing}")
    order = max(orders, key=lambda order: len(text.encode(order)))
    for joint in (" after you ", ", then "):
        mission = f"{order} and {order}{joint}{order} and {order}"
        assert len(text.encode(mission)) <= TEXT_SLOT


def test_words_of_missions_and_of_stacking_are_one_piece():
    text = default_text()
    for sentence in (
        "go to the red ball behind you",
        "stack the green block on the blue block",
        "lift the yellow cube",
    ):
        words = sentence.replace("behind you", "behind-you").split()
        assert len(text.encode(sentence)) == len(words)


@pytest.mark.parametrize(
    "sentence",
    [
        "What is the capital of France?",
        "The quick brown fox jumps over the lazy dog.",
        "A man is standing in the kitchen with a cup of coffee.",
    ],
)
def test_plain_english_is_shorter_than_its_letters(sentence):
    assert len(default_text().encode(sentence)) < len(sentence) / 2


def test_it_can_be_trained_again():
    pytest.importorskip("minigrid")
    from gato_gym.tokenizers.train_default_text import train

    again, text = train(), default_text()

    def pieces(model):
        return [model.decode([i]) for i in range(model.size)]

    assert pieces(again) == pieces(text)


def test_missions_of_all_levels_fit():
    pytest.importorskip("minigrid")
    from gato_gym.tokenizers.train_default_text import missions

    lengths = [len(default_text().encode(mission)) for mission in missions()]
    assert len(lengths) > 300
    assert max(lengths) <= TEXT_SLOT

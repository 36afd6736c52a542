"""Which column is what."""

import pytest

from gato_gym.data.sources.columns import choose, text_of, texts_of, value_of
from gato_gym.errors import DatasetError

CAPTIONS = [
    ({"id": 1, "Image": b"", "sentences": []}, "Image", "sentences"),
    ({"jpg": b"", "json": b'{"caption": "x"}'}, "jpg", "json.caption"),
    ({"image": b"", "text": "b", "caption": "a"}, "image", "caption"),
]
VQA = {"image": b"", "question": "q", "answers": [], "multiple_choice_answer": "a"}
ALPACA = {"instruction": "i", "input": "c", "output": "o"}
DOLLY = {"system": "s", "question": "q", "response": "r"}


@pytest.mark.parametrize(
    ("form", "row", "found"),
    [
        *(("captions", row, {"image": i, "caption": c}) for row, i, c in CAPTIONS),
        (
            "vqa",
            VQA,
            {"image": "image", "question": "question", "answer": "multiple_choice_answer"},
        ),
        ("text", {"title": "t", "text": "x"}, {"text": "text"}),
        ("text", {"whatever": "x"}, {"text": "whatever"}),
        ("chat", {"conversations": []}, {"messages": "conversations"}),
        ("chat", ALPACA, {"prompt": "instruction", "response": "output", "context": "input"}),
        ("chat", DOLLY, {"prompt": "question", "response": "response", "system": "system"}),
    ],
)
def test_usual_names_are_guessed(form, row, found):
    assert choose(form, row, {}, "set") == found


def test_what_is_named_wins():
    row = {"image": b"", "caption": "a", "alt": "b"}
    assert choose("captions", row, {"caption": "alt"}, "set")["caption"] == "alt"
    row = {"messages": [], "q": "a", "a": "b"}
    assert choose("chat", row, {"prompt": "q", "response": "a"}, "set")["prompt"] == "q"


@pytest.mark.parametrize(
    ("form", "named", "words"),
    [
        ("captions", {}, "no column that looks like caption; it has 'image', 'titel', 'meta'"),
        ("captions", {"caption": "title"}, "has no column 'title'; it has .* did you mean 'titel'"),
        ("captions", {"caption": "zzz"}, "name one: --columns caption=COLUMN"),
        ("captions", {"answer": "titel"}, "captions has no 'answer'; expected 'image', 'caption'"),
        ("chat", {}, "messages, or prompt and response"),
    ],
)
def test_what_does_not_fit_lists_the_columns(form, named, words):
    row = {"image": b"", "titel": "x", "meta": {"a": 1}, "__key__": "0"}
    with pytest.raises(DatasetError, match=words):
        choose(form, row, named, "set")


def test_a_cell_has_one_text_or_several():
    answers = [{"answer": "yes", "answer_id": 1}, {"answer": " "}, {"answer": "no"}]
    assert texts_of(answers, "strict", "row") == ["yes", "no"]
    assert texts_of({"answer": ["a", "b"]}, "strict", "row") == ["a", "b"]
    assert texts_of([{"raw": "A dog.", "tokens": ["a"]}], "strict", "row") == ["A dog."]
    assert texts_of("one\0", "strict", "row") == ["one"]
    assert texts_of(3, "strict", "row") == ["3"]
    assert texts_of(None, "strict", "row") == texts_of("", "strict", "row") == []


def test_what_is_no_text():
    with pytest.raises(DatasetError, match="row 7 holds a bool; expected text"):
        text_of(True, "strict", "row 7")
    with pytest.raises(DatasetError, match="row 7: byte 2 is no UTF-8"):
        text_of(b"a\xff", "strict", "row 7")
    assert text_of(b"a\xff", "replace", "row 7") == "a\ufffd"
    with pytest.raises(DatasetError, match="holds a mapping of 'x'; expected text"):
        texts_of({"x": 1}, "strict", "row 7")


def test_a_column_that_is_missing_in_a_later_row():
    assert value_of({"json": b"{}"}, "json.caption", "row 2") is None
    with pytest.raises(DatasetError, match="row 2 has no column 'caption'; it has 'text'"):
        value_of({"text": "x"}, "caption", "row 2")

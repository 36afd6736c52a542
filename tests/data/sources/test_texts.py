"""What is kept of texts, and how they are cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_gym.data.sources.texts import (
    MOST_LETTERS,
    broken_json,
    broken_utf8,
    clean,
    passages,
    read_blocks,
)
from gato_gym.envs.spaces import MOST_REPLY
from gato_gym.errors import DatasetError
from gato_gym.tokenizers.text import TextTokenizer


def test_letters_of_every_script_newlines_and_tabs_are_kept():
    text = "Grüße,\tशुभ प्रभात\r\n日本語 🎉 e\u0301 \u200d\n"
    assert clean(text) == text


def test_control_characters_are_left_out():
    assert clean("a\0b\x07c\x1b[31md\x7f\x85e\n\0") == "abc[31mde\n"


def test_half_a_surrogate_pair():
    broken = json.loads('"a\\ud83dz"')
    with pytest.raises(DatasetError, match=r"row 3: letter 1 is half .*U\+D83D.*--errors replace"):
        clean(broken, where="row 3")
    assert clean(broken, "replace") == "a\ufffdz"


@given(st.lists(st.text(alphabet="ab.! \n\u3002", max_size=40), max_size=8), st.integers(1, 30))
def test_passages_joined_are_the_text(blocks, most):
    parts = list(passages(blocks, most))
    assert "".join(parts) == "".join(blocks)
    assert all(0 < len(part) <= most for part in parts)


def test_a_passage_ends_with_a_sentence_else_with_a_word_else_anywhere():
    assert list(passages(["One two. Three four five."], 14)) == [
        "One two. ",
        "Three four ",
        "five.",
    ]
    assert list(passages(['He said "no." Then more'], 16)) == ['He said "no." ', "Then more"]
    assert list(passages(["first line\nsecond line"], 16)) == ["first line\n", "second line"]
    assert list(passages(["x" * 25], 10)) == ["x" * 10, "x" * 10, "x" * 5]


def test_it_does_not_matter_how_a_text_is_cut_into_blocks():
    text = "Some words. And more of them, again and again! " * 200
    whole = list(passages([text]))
    assert list(passages([text[i : i + 37] for i in range(0, len(text), 37)])) == whole
    assert max(map(len, whole)) <= MOST_LETTERS


def test_a_passage_of_english_fits_into_a_reply(request):
    # A model of few pieces that has read other pages of English than these.
    docs = request.config.rootpath / "docs"
    pages = [(docs / name).read_text() for name in ("training.md", "corpus.md", "hub.md")]
    model = TextTokenizer.train((part for page in pages for part in passages([page])), 1024)
    unseen = passages([(docs / "acting.md").read_text()])
    assert max(len(model.encode(part)) for part in unseen) < MOST_REPLY


def test_at_most_a_block_is_held():
    taken = 0

    def blocks():
        nonlocal taken
        while True:
            taken += 1
            yield "word " * 200

    endless = passages(blocks())
    for _ in range(20):
        next(endless)
    assert taken < 12


def test_files_are_read_in_blocks(tmp_path):
    path = tmp_path / "a.txt"
    text = "ä€🎉 \r\n" * 30_000  # letters of two, three and four bytes across the borders of blocks
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    blocks = list(read_blocks(path))
    assert "".join(blocks) == text and len(blocks) > 3


@pytest.mark.parametrize(
    ("content", "line", "byte"),
    [
        (b"good\nb\xffd\n", 2, 2),
        (b"a\xc3\n", 1, 2),
        (b"one\ntwo\nthree \xe2\x82", 3, 7),
        (b"x" * 200_000 + b"\n" + b"y" * 70_000 + b"\x80z\n", 2, 70_001),
    ],
)
def test_broken_utf8_is_told_by_its_line(tmp_path, content, line, byte):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"a.txt', line {line}: byte {byte} is no UTF-8"):
        list(read_blocks(path))
    assert "\ufffd" in "".join(read_blocks(path, "replace"))


def test_whole_utf8_is_not_broken(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("ä€🎉\n" * 30_000, encoding="utf-8")
    assert broken_utf8(path) is None


def test_broken_json_is_told_by_its_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": }\n')
    assert "line 3 is no JSON" in str(broken_json(path))
    path.write_text('{"a": "\\ud800"}\n')
    assert "line 1 has half of a surrogate pair" in str(broken_json(path))
    path.write_text('{"a": "\\ud83c\\udf89"}\n')
    assert broken_json(path) is None

"""Text models learned from files of any form, and what is said where that cannot be."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from gato_gym.cli import tokenizer
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.text import TextTokenizer

SIZE = 600


def sentences(count=800, seed=0):
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcdefghij"), 5)) for _ in range(400)]
    return [" ".join(rng.choice(words, 6)) for _ in range(count)]


@pytest.fixture(scope="module")
def expected():
    return TextTokenizer.train(sentences(), SIZE, most=1_000_000)


def write_text(path, lines):
    path.write_text("\ufeff" + "\n\n".join(lines), encoding="utf-8")


def write_jsonl(path, lines):
    path.write_text("".join(json.dumps({"id": 1, "body": line}) + "\n" for line in lines))


def write_parquet(path, lines):
    pyarrow.parquet.write_table(pyarrow.table({"id": [1] * len(lines), "body": lines}), path)


FORMS = {"txt": write_text, "jsonl": write_jsonl, "parquet": write_parquet}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_model_from_every_form(form, expected, tmp_path, run_json):
    source, out = tmp_path / f"texts.{form}", tmp_path / "made" / "text.model"
    FORMS[form](source, sentences())
    told = run_json("tokenizer", "train", source, "--size", SIZE, "--out", out)
    assert (told["size"], told["sentences"], told["drawn"]) == (SIZE, 800, 800)
    model = TextTokenizer.load(out)
    assert model.model == expected.model
    for text in ("abcde \u65e5\u672c\n", *sentences(3, seed=1)):
        assert model.decode(model.encode(text)) == text


def test_several_files_and_columns(tmp_path, expected, run):
    lines = sentences()
    for name, part in (("a", lines[:400]), ("b", lines[400:])):
        write_text(tmp_path / f"{name}.txt", part)
    out = tmp_path / "text.model"
    files = (tmp_path / "a.txt", tmp_path / "b.txt")
    code, told, _ = run("tokenizer", "train", *files, "--size", SIZE, "--out", out)
    assert (code, told) == (0, f"{out}: {SIZE} pieces of 800 sentences\n")
    assert TextTokenizer.load(out).model == expected.model
    table = pyarrow.table({"a": lines[::2], "b": lines[1::2], "c": ["zzzz"] * 400})
    pyarrow.parquet.write_table(table, tmp_path / "both.parquet")
    options = tokenizer.Train((str(tmp_path / "both.parquet"),), out, column=("a", "b"))
    assert list(tokenizer.read_sentences(options)) == lines


def test_of_many_sentences_some_are_drawn_and_long_ones_are_parted(tmp_path, run_json):
    source = tmp_path / "texts.txt"
    source.write_text(" ".join(sentences(300)) + "\n" + "\n".join(sentences(300, seed=2)))
    models = []
    for most in (400, 150, 150):
        out = tmp_path / f"{len(models)}.model"
        ask = ("tokenizer", "train", source, "--size", SIZE, "--out", out, "--sentences", most)
        told = run_json(*ask)
        assert told["drawn"] == min(most, told["sentences"]) and told["sentences"] > 300
        models.append(TextTokenizer.load(out).model)
    assert models[0] != models[1] == models[2]


def test_phrases_are_one_piece(tmp_path, run, run_json):
    source, out = tmp_path / "texts.txt", tmp_path / "text.model"
    write_text(source, sentences())
    ask = ("tokenizer", "train", source, "--size", SIZE, "--out", out, "--phrase", " on top of")
    assert run(*ask)[0] == 0
    shown = run_json("tokenizer", "show", out, "--text", "a on top of b")
    assert "\u2581on\u2581top\u2581of" in shown["pieces"] and shown["text"] == "a on top of b"
    assert shown["ids"] == TextTokenizer.load(out).encode("a on top of b").tolist()


def test_show_tells_the_pieces(run, run_json):
    code, out, _ = run("tokenizer", "show", "bundled", "--text", "the red block\n")
    words = default_text()
    ids = words.encode("the red block\n").tolist()
    assert code == 0
    assert out.splitlines()[0] == f"{len(ids)} tokens for 14 letters, of {words.size} pieces"
    assert out.splitlines()[-1].split() == [str(ids[-1]), "<0x0A>"]
    assert len(out.splitlines()) == len(ids) + 1
    told = run_json("tokenizer", "show", "bundled")
    assert (len(told["pieces"]), told["end"]) == (words.size, words.end)
    listed = run("tokenizer", "show", "bundled")[1].splitlines()
    assert len(listed) == words.size + 1 and listed[1 + words.end].split()[1] == "</s>"


def bad_bytes(path):
    path.write_bytes(b"fine\nnot \xff fine\n")


@pytest.mark.parametrize(
    "write, more, told",
    [
        (None, (), "does not exist"),
        (lambda path: path.write_text(""), (), "nothing to learn a text model from"),
        (lambda path: path.write_text("\n \n"), (), "nothing to learn a text model from"),
        (bad_bytes, (), "line 2: byte 5 is no UTF-8"),
        (
            lambda path: path.write_text("a b"),
            (),
            "1 sentences have only 263 pieces in them, --size asks for 32000: give more text\n",
        ),
        (lambda path: path.write_text("a b"), ("--size", 100), "100 pieces has no room for words"),
        (lambda path: path.write_text("a b"), ("--sentences", 100), "expected more than 100"),
    ],
)
def test_what_no_model_can_be_made_of_is_told(write, more, told, tmp_path, fails):
    source = tmp_path / "texts.txt"
    if write is not None:
        write(source)
    assert told in fails("tokenizer", "train", source, "--out", tmp_path / "m", *more)
    assert not (tmp_path / "m").exists()


def test_broken_letters_may_be_replaced(tmp_path):
    bad_bytes(tmp_path / "texts.txt")
    options = tokenizer.Train((str(tmp_path / "texts.txt"),), tmp_path, errors="replace")
    assert list(tokenizer.read_sentences(options)) == ["fine", "not \ufffd fine"]


def test_columns_that_are_not_there_and_models_that_are(tmp_path, fails):
    source, out = tmp_path / "texts.jsonl", tmp_path / "text.model"
    write_jsonl(source, sentences(3))
    assert "has no column 'words'; it has" in fails(
        "tokenizer", "train", source, "--out", out, "--column", "words"
    )
    out.write_bytes(b"no model")
    assert "exists: choose another --out" in fails("tokenizer", "train", source, "--out", out)
    assert "not a SentencePiece model" in fails("tokenizer", "show", out)
    assert "absent.model" in fails("tokenizer", "show", tmp_path / "absent.model")

"""Data sets in real formats become episodes."""

import gzip
import json
import zipfile

import numpy as np
import pytest

from gato_gym.data.sources.texts import passages


def test_a_folder_of_pictures_with_captions(read, photos, greys):
    done, episodes = read(photos, "captions", task="text/photos")
    assert (done.rows, done.episodes, done.steps) == (12, 3, 12)
    assert done.columns == {"image": "image", "caption": "captions"}
    assert [len(episode) for episode in episodes] == [5, 5, 2]  # five pairs, as in the paper
    for number, episode in enumerate(episodes):
        assert (episode.task, episode.expert) == ("text/photos", "data/photos")
        assert (episode.seed, episode.terminated) == (number, True)
        assert set(episode.observations) == {"image"} and not episode.rewards.any()
        assert episode.observations["image"].shape == (len(episode) + 1, 64, 80, 3)
        first = 5 * number
        shown = list(range(first, first + len(episode)))
        assert greys(episode) == [*shown, shown[-1]]  # the last one once more
        for step, words in zip(shown, episode.actions.tolist(), strict=True):
            assert words.startswith(f"picture {step}, caption ")
    drawn = {words[-1] for episode in episodes for words in episode.actions.tolist()}
    assert len(drawn) > 2


def test_the_seed_draws_the_captions(read, photos):
    def words(out, seed):
        return [e.actions.tolist() for e in read(photos, "captions", out=out, seed=seed)[1]]

    assert words("a", 1) == words("b", 1) != words("c", 2)


def test_questions_in_parquet(read, questions, greys):
    done, (first, second) = read(questions, "vqa")
    assert done.columns == {"image": "image", "question": "question", "answer": "answers"}
    assert first.actions.tolist() == [f"answer {i}" for i in range(5)]
    asked = [f"what is number {i}?" for i in (0, 1, 2, 3, 4, 4)]
    assert first.observations["question"].tolist() == asked
    assert greys(second) == [5, 6, 6] and second.seed == 1


def test_a_webdataset_tar(read, write_tar, picture, greys):
    members = []
    for number in range(6):
        words = {"caption": f"picture {number}", f"key{number}": number}
        members += [
            (f"{number}.jpg", picture(number)),
            (f"{number}.json", json.dumps(words).encode()),
        ]
    done, (first, second) = read(write_tar("w.tar", members), "captions")
    assert done.columns == {"image": "jpg", "caption": "json.caption"}
    assert first.actions.tolist() == [f"picture {i}" for i in range(5)]
    assert greys(first) == [0, 1, 2, 3, 4, 4] and second.actions.tolist() == ["picture 5"]


def test_several_tars_and_text_members(read, write, write_tar, picture):
    tars = [
        write_tar(f"{shard}.tar", [(f"{shard}.png", picture(1, "PNG")), (f"{shard}.txt", b"a dog")])
        for shard in range(3)
    ]
    done, (episode,) = read(tars, "captions", name="dogs")
    assert episode.actions.tolist() == ["a dog"] * 3 and done.expert == "data/dogs"
    with pytest.raises(ValueError, match="different kinds"):
        read([*tars, write("photos.jsonl", [])], "captions")


def test_json_lines_that_name_files(read, write, picture, greys):
    write("set/images/a.jpg", picture(3))
    path = write("set/list.jsonl", [{"image": "images/a.jpg", "text": "x"}])
    _, (episode,) = read(path, "captions")
    assert greys(episode) == [3, 3]


def test_the_size_of_pictures_is_chosen(read, photos):
    _, episodes = read(photos, "captions", image_size=(32, 48), limit=1)
    assert episodes[0].observations["image"].shape == (2, 32, 48, 3)


TALK = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "hello"},
    {"role": "user", "content": "tell me a story"},
    {"role": "assistant", "content": "Once upon a time. " * 40},
    {"role": "user", "content": "thanks"},
]
SHARED = [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]


def test_conversations(read, write):
    path = write("chat.jsonl", [{"messages": TALK}, {"messages": []}])
    done, (episode,) = read(path, "chat")
    story = list(passages([TALK[4]["content"]]))
    assert len(story) == 2 and "".join(story) == TALK[4]["content"]
    assert episode.actions.tolist() == ["hello", *story]
    said = ["system: be brief\nhi", "tell me a story", "", ""]
    assert episode.observations["text"].tolist() == said
    assert (done.rows, done.empty) == (2, 1)


def test_conversations_as_sharegpt_writes_them(read, write):
    _, (episode,) = read(write("s.json", json.dumps([{"conversations": SHARED}])), "chat")
    assert episode.observations["text"].tolist() == ["2 + 2?"] * 2
    assert episode.actions.tolist() == ["4"]


def test_prompts_and_responses_in_csv(read, write):
    rows = [["instruction", "input", "output"], ["add", "1, 2", "3"], ["say NA", "", "NA"]]
    _, (first, second) = read(write("a.csv", rows), "chat")
    assert first.observations["text"][0] == "add\n1, 2" and first.actions.tolist() == ["3"]
    # Neither a missing value nor a number: what is in the file.
    assert second.observations["text"][0] == "say NA" and second.actions.tolist() == ["NA"]
    _, (first, *_) = read(write("a.tsv", [["prompt", "response"], ["1.0", "00"]]), "chat", out="b")
    assert (first.observations["text"][0], first.actions[0]) == ("1.0", "00")


def test_text_files_are_documents(read, write):
    text = "Grüße aus Köln. 日本語。 Tabs\tand\nlines.\n" * 700
    write("books/a.txt", text)
    write("books/sub/b.txt", "short")
    write("books/README.md", "about them")
    folder = write("books/c.txt", " \n").parent
    done, episodes = read(folder, "text")
    assert (done.rows, done.empty, done.expert) == (3, 1, "data/books")
    *long, short = episodes
    assert "".join(part for episode in long for part in episode.actions.tolist()) == text
    assert [len(episode) for episode in long[:-1]] == [64] * (len(long) - 1) and len(long) > 1
    assert short.actions.tolist() == ["short"] and short.observations["text"].tolist() == ["", ""]
    assert [episode.seed for episode in episodes] == list(range(len(episodes)))


def test_texts_in_rows(read, write):
    rows = [{"text": "one\0 two"}, {"text": ""}, {"text": None}, {"text": "日本 🎉"}]
    done, episodes = read(write("t.jsonl", rows), "text")
    assert [e.actions.tolist() for e in episodes] == [["one two"], ["日本 🎉"]]
    assert (done.rows, done.empty) == (4, 2)
    done, _ = read(write("t.jsonl", rows), "text", out="b", limit=1)
    assert (done.rows, done.episodes) == (1, 1)


def test_compressed_lines(read, write):
    path = write("t.jsonl.gz", gzip.compress(b'{"text": "packed"}\n'))
    done, (episode,) = read(path, "text")
    assert episode.actions.tolist() == ["packed"] and done.expert == "data/t"


def test_a_message_of_megabytes(read, write):
    long = "word " * 400_000
    messages = [{"role": "user", "content": long}, {"role": "assistant", "content": "ok"}]
    _, (episode,) = read(write("m.jsonl", [{"messages": messages}]), "chat")
    assert episode.observations["text"].tolist() == [long, long]


def test_splits_have_names_of_their_own(read, write):
    write("set/train.jsonl", [{"text": "a"}])
    folder = write("set/validation.jsonl", [{"text": "b"}, {"text": "c"}]).parent
    for split, words in (("train", ["a"]), ("validation", ["b", "c"])):
        done, _ = read(folder, "text", split=split)
        assert done.episodes == len(words)
    _, episodes = read(folder, "text")
    assert {e.expert for e in episodes} == {"data/set", "data/set:validation"}
    with pytest.raises(ValueError, match=r"no split 'test'; it has .*'train', 'validation'"):
        read(folder, "text", split="test")


def test_pictures_that_cannot_be_read_leave_the_others_where_they_were(read, photos, greys):
    (photos / "01.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match=r"row 1, column 'image': .*01.jpg' is no picture"):
        read(photos, "captions", out="a")
    done, (first, second, _) = read(photos, "captions", out="b", skip_invalid=True)
    assert done.invalid == 1 and greys(first) == [0, 2, 3, 4, 4]
    assert greys(second) == [5, 6, 7, 8, 9, 9]
    assert np.issubdtype(first.actions.dtype, np.str_)


def test_pictures_inside_of_an_archive(read, write, picture, greys, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.jpg", picture(7))
    path = write("set.jsonl", [{"image": f"zip://a.jpg::{tmp_path}/all.zip", "caption": "x"}])
    _, (episode,) = read(path, "captions")
    assert greys(episode) == [7, 7]

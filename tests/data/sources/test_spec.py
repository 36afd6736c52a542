"""The spec of a task that only a corpus knows."""

import dataclasses

import pytest

from gato_gym.data.corpus import Corpus
from gato_gym.data.sources.spec import corpus_spec
from gato_gym.errors import DatasetError
from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import ActionSpec, ObservationSpec


def entries(tmp_path):
    return Corpus.open(tmp_path / "corpus").episodes()


def test_of_pictures_and_questions(read, questions, tmp_path):
    _, (episode, *_) = read(questions, "vqa", task="text/vq", image_size=(32, 48))
    spec = corpus_spec(entries(tmp_path))
    assert (spec.id, spec.domain, spec.family) == ("text/vq", "text", "data")
    assert spec.observations == (
        ObservationSpec("image", "image", (32, 48, 3)),
        ObservationSpec("question", "text", ()),
    )
    assert spec.action == ActionSpec("text", 256) and spec.speaks
    tokenizer = StepTokenizer(spec, Vocabulary(1024))
    actions = episode.actions
    observed = {key: values[:-1] for key, values in episode.observations.items()}
    steps = tokenizer.sequence(observed, actions, actions)
    assert len(steps.patches) == len(episode) * 6
    assert tokenizer.decode_action(tokenizer.action_ids(actions)[0]) == actions[0]


def test_texts_of_any_length_are_one_task(read, write, tmp_path):
    read(write("a.jsonl", [{"text": "a"}, {"text": "b " * 9_000}]), "text")
    assert corpus_spec(entries(tmp_path)).observations == (ObservationSpec("text", "text", ()),)


def test_what_is_no_such_task(read, write, photos, tmp_path):
    with pytest.raises(DatasetError, match="at least one"):
        corpus_spec([])
    read(write("a.jsonl", [{"text": "a"}]), "text")
    (entry,) = entries(tmp_path)
    with pytest.raises(DatasetError, match="no task of a data set"):
        corpus_spec([dataclasses.replace(entry, task="CartPole-v1")])
    with pytest.raises(DatasetError, match="two tasks: text/it and text/other"):
        corpus_spec([entry, dataclasses.replace(entry, task="text/other")])
    read(photos, "captions", task="text/photos")
    picture = entries(tmp_path)[-1]
    with pytest.raises(DatasetError, match="episodes of text/it differ"):
        corpus_spec([entry, dataclasses.replace(picture, task="text/it")])

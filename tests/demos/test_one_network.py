"""The page of one checkpoint, on a tiny agent of random weights."""

import base64
import importlib.util
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.envs.pictures import read_picture
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.default_text import default_text

DEMO = Path(__file__).parents[2] / "demos" / "one_network.py"
TOLD = "gato_gym/BlockStacking-Instructed-v0"
SPEAKING = ("text/captioning", "text/vqa", "text/dialogue")
EVIL = '<script src="http://evil.example/x.js"></script>" onerror="x'


@pytest.fixture(scope="module")
def demo():
    location = importlib.util.spec_from_file_location("one_network_demo", DEMO)
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.fixture
def quick(demo, monkeypatch):
    """Pictures of one fast source, and games of a few steps."""
    make = envs.make

    def quicker(task, **kwargs):
        if task in SPEAKING[:2]:
            kwargs["sources"] = ("grid",)
        elif task not in SPEAKING:
            kwargs["max_episode_steps"] = 3
        return make(task, **kwargs)

    monkeypatch.setattr(envs, "make", quicker)


def saved(folder, *tasks):
    torch.manual_seed(0)
    model = Gato(replace(model_config("tiny"), context=512))
    with torch.no_grad():  # random weights hardly ever end a text: these do after a few tokens
        model.norm.bias += 25 * model.embedding.ids.weight[default_text().end]
    specs = {task: envs.task_spec(task) for task in tasks}
    GatoAgent(model, specs).save_pretrained(folder)
    return folder


class Page(HTMLParser):
    """Tags with their attributes, the visible text, and what was left open."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(" ".join(data.split()))

    def of(self, *names):
        return [attrs for tag, attrs in self.tags if tag in names]


def decoded(uri, kind):
    head, data = uri.split(",", 1)
    assert head == f"data:{kind};base64"
    return base64.b64decode(data)


def test_one_page_shows_everything(demo, quick, tmp_path, capsys):
    checkpoint = saved(tmp_path / "agent", *SPEAKING, TOLD, "CartPole-v1")
    picture = tmp_path / "<b>me & you.png"
    Image.fromarray(np.full((40, 900, 3), 90, np.uint8)).save(picture)
    out = tmp_path / "out"
    command = ["--checkpoint", str(checkpoint), "--out", str(out), "--images", str(picture)]
    assert demo.main([*command, "--pictures", "2"]) == 0
    assert [path.name for path in out.iterdir()] == ["one_network.html"]
    text = (out / "one_network.html").read_text()
    page = Page(text)
    assert page.open == []
    # Two pictures with captions, two with answers, one of the user's own.
    images = [decoded(one["src"], "image/png") for one in page.of("img")]
    sizes = [Image.open(io.BytesIO(image)).size for image in images]
    assert sizes == [(80, 64)] * 2 + [(896, 32)] + [(80, 64)] * 2
    films = page.of("video")
    assert len(films) == 2
    for film in films:
        with av.open(io.BytesIO(decoded(film["src"], "video/mp4"))) as video:
            assert sum(1 for _ in video.decode(video=0)) == 4
        Image.open(io.BytesIO(decoded(film["poster"], "image/png"))).verify()
    words = " ".join(page.text)
    env = envs.make(TOLD)
    instruction = env.reset(seed=7000)[0]["instruction"]
    env.close()
    env = envs.make("text/dialogue")
    question = env.reset(seed=7000)[0]["text"]
    env.close()
    for part in (
        "0 of 2 captions are right in every fact",
        "0 of 2 answers are right",
        "<b>me & you.png",
        instruction,
        question,
        "CartPole-v1",
        "Truth:",
        "Right would be:",
        f"{sum(p.numel() for p in Gato(model_config('tiny')).parameters()):,} weights",
    ):
        assert part in words, part
    assert "Not shown" not in words
    printed = capsys.readouterr().out
    assert "0 of 2 answers are right" in printed and "one_network.html" in printed


def test_no_request_leaves_the_page(demo, quick, tmp_path):
    checkpoint = saved(tmp_path / "agent", "CartPole-v1")
    assert demo.main(["--checkpoint", str(checkpoint), "--out", str(tmp_path)]) == 0
    text = (tmp_path / "one_network.html").read_text()
    page = Page(text)
    assert "not trained on it: text/captioning, text/vqa, text/dialogue" in " ".join(page.text)
    assert not page.of("script", "link", "iframe", "a", "object", "base")
    for _, attrs in page.tags:
        for name in ("src", "href", "poster", "srcset", "data"):
            assert attrs.get(name, "data:").startswith("data:")
    rest = re.sub(r"data:[a-z]+/[a-z0-9]+;base64,[A-Za-z0-9+/=]+", "", text)
    assert "http:" not in rest and "https:" not in rest and "url(" not in rest
    assert "@import" not in rest
    (policy,) = [one["content"] for one in page.of("meta") if "http-equiv" in one]
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:;")


def test_whatever_is_said_is_text_and_no_markup(demo, tmp_path):
    pair = {"image": "data:image/png;base64,", "source": EVIL, "words": EVIL, "truth": EVIL + "x"}
    pair |= {"question": EVIL, "mark": demo.mark(0.0)}
    turn = {"said": EVIL, "words": EVIL, "truth": EVIL, "mark": demo.mark(0.5)}
    film = dict.fromkeys(("task", "instruction", "result", "steps", "seed", "video"), EVIL)
    film |= {"poster": EVIL, "expert": EVIL, "random": None, "mark": None}
    page = {
        **{"checkpoint": EVIL, "parameters": "1", "tasks": 2, "seed": EVIL, "missing": [EVIL]},
        "question_seed": EVIL,
        **{"captions": [pair], "answers": [pair], "own": [pair | {"name": EVIL}], "turns": [turn]},
        **{"followed": [film], "played": [film]},
    }
    text = demo.write(page, tmp_path).read_text()
    found = Page(text)
    assert found.open == [] and not found.of("script") and "<script" not in text
    assert not any("onerror" in attrs for _, attrs in found.tags)
    assert sum(EVIL in part for part in found.text) > 10
    words = " ".join(found.text)
    assert words.count(f"Its expert: {EVIL}.") == 2 and "Random play" not in words


class Listener:
    """Captions what can be read, as an agent does."""

    def caption(self, file):
        return f"{read_picture(file, (64, 80)).shape}"


def test_own_pictures_are_shown_as_the_network_sees_them(demo, tmp_path):
    turned, clear, deep = (tmp_path / name for name in ("turned.jpg", "clear.png", "deep.png"))
    notes = Image.Exif()
    notes[0x0112] = 6
    Image.new("RGB", (64, 32), (200, 0, 0)).save(turned, exif=notes, quality=100)
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(clear)
    Image.fromarray(np.full((32, 32), 40_000, np.uint16)).save(deep)
    shown = []
    for item in demo.own_pictures(Listener(), [turned, clear, deep]):
        shown.append(Image.open(io.BytesIO(decoded(item["image"], "image/png"))))
    assert shown[0].size == (32, 64)
    assert shown[1].getpixel((5, 5)) == (255,) * 3
    assert shown[2].getpixel((5, 5)) == (40_000 >> 8,) * 3


def test_a_picture_too_large_is_told_in_a_line(demo, quick, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    bomb = tmp_path / "bomb.png"
    Image.new("L", (20, 20)).save(bomb)
    checkpoint = saved(tmp_path / "agent", "text/captioning")
    command = ["--checkpoint", str(checkpoint), "--images", str(bomb), "--pictures", "1"]
    assert demo.main([*command, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "bomb.png' is too large" in told and told.count("\n") == 1


def test_marks_are_honest(demo):
    assert demo.mark(1.0)["look"] == "right"
    assert demo.mark(0.99)["look"] == demo.mark(0.01)["look"] == "partly"
    assert demo.mark(0.999)["word"] != "100% right"
    assert demo.mark(0.0) == {"sign": "✗", "word": "wrong", "look": "wrong"}
    assert [demo.mark(value, *demo.DONE)["word"] for value in (1.0, 0.0)] == ["done", "not done"]


def test_each_family_of_instructions_is_shown_before_a_second_of_one(demo):
    tasks = [TOLD, "text/vqa", "CartPole-v1"]
    babyai = [spec.id for spec in envs.tasks() if spec.family == "babyai"][:3]
    specs = [envs.task_spec(task) for task in (*babyai, *tasks)]
    assert demo.instructed(specs) == [babyai[0], TOLD, babyai[1]]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--images", "nowhere.png"], "no picture at nowhere.png"),
        (["--checkpoint", "nowhere"], "does not exist"),
    ],
)
def test_wrong_use(demo, arguments, told, tmp_path, capsys):
    assert demo.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    for name in ("--pictures", "--episodes"):
        with pytest.raises(SystemExit):
            demo.main([name, "0"])

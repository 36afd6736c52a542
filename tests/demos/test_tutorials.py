"""Every tutorial runs as it stands, and so does every piece of code on the page about them."""

import importlib.util
import os
import re
import sys
import types
from pathlib import Path

import av
import pytest
import torch

from gato_gym.data.corpus import Corpus
from gato_gym.evaluation.video import VideoWriter

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "demos" / "tutorials").glob("*.py"))
PAGE = (ROOT / "docs" / "rl_tools.md").read_text()
BLOCKS = re.findall(r"## ([^\n]+)\n(?:(?!\n## ).)*?```python\n(.*?)```", PAGE, re.DOTALL)

pytest.importorskip("stable_baselines3")
pytest.importorskip("minari")

# Minari asks for authors and the like, and leaves folders to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:minari"),
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
]


class ImageSequenceClip:
    """All that Gymnasium's `RecordVideo` uses of moviepy."""

    def __init__(self, frames, fps):
        self.frames, self.fps = frames, fps

    def write_videofile(self, path, logger=None):
        with VideoWriter(path, fps=self.fps) as video:
            for frame in self.frames:
                video.add(frame)


# All that the tutorials' libraries use of what is not installed here.
STAND_INS = {
    "jax": {"jax.tree_util": {"tree_map": torch.utils._pytree.tree_map}},
    "moviepy": {
        **{"moviepy.video": {}, "moviepy.video.io": {}},
        "moviepy.video.io.ImageSequenceClip": {"ImageSequenceClip": ImageSequenceClip},
    },
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder to run in, with data sets of its own."""
    for package, parts in STAND_INS.items():
        if importlib.util.find_spec(package) is not None:
            continue
        for name, content in {package: {}, **parts}.items():
            module = types.ModuleType(name)
            vars(module).update(content)
            monkeypatch.setitem(sys.modules, name, module)
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, module)
    (tmp_path / "minari").mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(name):
    place = ROOT / "demos" / "tutorials" / f"{name}.py"
    location = importlib.util.spec_from_file_location(f"tutorial_{name}", place)
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [path.stem for path in TUTORIALS])
def test_a_tutorial_runs_and_tells_how_it_went(name, capsys):
    assert load(name).main([]) == 0
    assert re.search(r"\d", capsys.readouterr().out)
    assert f"`{name}.py`" in PAGE


@pytest.mark.parametrize("code", [code for _, code in BLOCKS], ids=[title for title, _ in BLOCKS])
def test_the_code_on_the_page_runs(code):
    exec(compile(code, "docs/rl_tools.md", "exec"), {})


def test_the_page_has_code_for_every_tutorial():
    assert len(BLOCKS) == len(TUTORIALS) == PAGE.count("```python")


@pytest.mark.parametrize("mode", ["SAME_STEP", "DISABLED"])
def test_vector_environments_play_the_same_episodes_in_every_mode(mode, capsys):
    ends = []
    for arguments in (["--mode", mode], ["--mode", "NEXT_STEP", "--steps", "62"]):
        load("vector_envs").main(arguments)
        ends.append(capsys.readouterr().out)
    assert ends[0] == ends[1] != ""


def test_the_video_shows_every_step(place):
    load("gymnasium_wrappers").main(["--steps", "7"])
    (path,) = (place / "videos").glob("*.mp4")
    with av.open(str(path)) as video:
        assert sum(1 for _ in video.decode(video=0)) == 7 + 1


def test_the_collected_data_set_becomes_a_corpus(place):
    load("minari_collect").main(["--episodes", "3", "--steps", "5"])
    corpus = Corpus.open(place / "corpus")
    played = [corpus.read(entry) for entry in corpus.episodes("CartPole-v1")]
    assert [(len(one), one.seed) for one in played] == [(5, 0), (5, 1), (5, 2)]
    assert os.environ["MINARI_DATASETS_PATH"] == str(place / "minari")

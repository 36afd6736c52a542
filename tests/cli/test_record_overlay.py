"""`gato-gym record --overlay`: the same episode, with what the model looks at drawn into it."""

import av
import numpy as np
import pytest
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.models.gato import Gato

TASK, STEPS = "ALE/Boxing-v5", 6


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The folder of a tiny agent of random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("overlay") / "agent"
    specs = {TASK: envs.task_spec(TASK)}
    GatoAgent(Gato(model_config("tiny")), specs).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """An episode of Boxing takes minutes: here it ends after a few steps."""
    make = envs.make

    def shorter(*args, **kwargs):
        return make(*args, **{"max_episode_steps": STEPS} | kwargs)

    monkeypatch.setattr(envs, "make", shorter)


def frames(path) -> list[np.ndarray]:
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def test_an_overlay_changes_the_frames_and_not_the_episode(run_json, tiny, tmp_path):
    command = ("record", "--task", TASK, "--checkpoint", tiny, "--out")
    plain = run_json(*command, tmp_path / "plain.mp4")
    drawn = run_json(*command, tmp_path / "drawn.mp4", "--overlay")
    for found in (plain, drawn):
        for changing in ("steps_per_second", "files"):
            del found[changing]
    assert plain == drawn
    bare, overlaid = frames(tmp_path / "plain.mp4"), frames(tmp_path / "drawn.mp4")
    assert len(bare) == len(overlaid) == STEPS + 1
    assert {one.shape for one in overlaid} == {(540, 960, 3)} != {one.shape for one in bare}
    # Each frame shows what is thought at its step: the bar of the step before is new in the second.
    bars = [frame[495, 836].max() > 80 for frame in overlaid]
    assert bars == [False] + [True] * STEPS


def test_without_a_prompt_and_for_several_episodes(run_json, tiny, tmp_path):
    found = run_json(
        *("record", "--task", TASK, "--checkpoint", tiny, "--out", tmp_path / "a.mp4"),
        *("--overlay", "--no-prompt", "--episodes", 2, "--seed", 3),
    )
    assert [len(frames(path)) for path in found["files"]] == [STEPS + 1] * 2
    assert found["checkpoint"].endswith("(no prompt)")


@pytest.mark.parametrize("kind", ["expert", "random"])
def test_only_the_model_can_be_looked_into(fails, kind, tmp_path):
    out = tmp_path / "x.mp4"
    told = fails("record", "--task", TASK, "--agent", kind, "--out", out, "--overlay")
    assert "it is for --agent gato, not for --agent " + kind in told
    assert not out.exists()

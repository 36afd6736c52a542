"""Agents on the Hub: pushed, loaded, pinned, damaged and refused, against a stand-in of it."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, constants

import gato_gym
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli import main
from gato_gym.config import model_config
from gato_gym.envs import task_spec
from gato_gym.errors import CorruptCheckpointError, HubError
from gato_gym.models.gato import Gato
from gato_gym.training.bundled import BUNDLED
from gato_gym.types import Episode

# What huggingface_hub 2.4 makes httpx2 say when it uploads a large file without Xet.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

spec = importlib.util.spec_from_file_location(
    "hub_server", Path(__file__).with_name("hub_server.py")
)
hub_server = sys.modules["hub_server"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hub_server)

TASK = "CartPole-v1"
FILES = ["README.md", "config.json", "manifest.json", "model.safetensors", "tasks.json"]
PROMPT = "prompts/CartPole-v1.episode"


def tiny(seed: int, prompt: bool = True) -> GatoAgent:
    torch.manual_seed(seed)
    episode = Episode(
        task=TASK,
        observations={"observation": np.zeros((4, 4), np.float32)},
        actions=np.array([0, 1, 1]),
        rewards=np.ones(3),
        terminated=True,
        seed=1,
        expert="test",
    )
    prompts = {TASK: episode} if prompt else {}
    return GatoAgent(Gato(model_config("tiny")), {TASK: task_spec(TASK)}, prompts)


def same(one: GatoAgent, other: GatoAgent) -> bool:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The stand-in, with this process as its client: logged in as "me", an empty cache."""
    with hub_server.HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_me")
        yield server
        huggingface_hub.close_session()


@pytest.fixture
def pushed(hub):
    """One agent that is there, and the commit that put it there."""
    agent = tiny(1)
    return agent, agent.push_to_hub("me/gato")


def test_push_and_load(hub, pushed):
    agent, commit = pushed
    repo = hub.repos["me/gato"]
    assert repo.branches["main"] == commit.oid and not repo.private
    assert sorted(repo.commits[commit.oid]) == sorted([".gitattributes", *FILES, PROMPT])
    loaded = GatoAgent.from_pretrained("me/gato", device="cpu")
    assert same(loaded, agent) and loaded.checkpoint == "me/gato"
    assert loaded.specs == agent.specs
    np.testing.assert_array_equal(loaded.prompts[TASK].actions, agent.prompts[TASK].actions)
    env = gato_gym.make(TASK)
    actions = []
    for one in (loaded, agent):
        one.reset(env)
        actions.append(one.act(env.reset(seed=3)[0]))
    assert actions[0] == actions[1]


def test_a_revision_stays_what_it_was(hub, pushed):
    first, commit = pushed
    repo, second, third = hub.repos["me/gato"], tiny(2), tiny(3)
    repo.tags["v1"] = commit.oid
    assert second.push_to_hub("me/gato", commit_message="Longer training").oid != commit.oid
    assert repo.messages[-1] == "Longer training"
    third.push_to_hub("me/gato", branch="next")
    for revision, agent in {None: second, "main": second, "next": third, "v1": first}.items():
        assert same(GatoAgent.from_pretrained("me/gato", revision=revision), agent), revision
    assert same(GatoAgent.from_pretrained("me/gato", revision=commit.oid), first)
    pinned = GatoAgent.from_pretrained("me/gato@v1")
    assert same(pinned, first) and pinned.checkpoint == "me/gato@v1"
    with pytest.raises(ValueError, match=r"two revisions, 'v1' and 'next'"):
        GatoAgent.from_pretrained("me/gato@v1", revision="next")


def test_a_pull_request_changes_nothing_until_it_is_merged(hub, pushed):
    agent, commit = pushed
    proposal = tiny(2).push_to_hub("me/gato", create_pr=True, token="hf_other")
    assert hub.repos["me/gato"].branches["main"] == commit.oid
    assert proposal.pr_revision == "refs/pr/1"
    assert same(GatoAgent.from_pretrained("me/gato"), agent)
    assert same(GatoAgent.from_pretrained("me/gato", revision="refs/pr/1"), tiny(2))


def test_an_older_agent_leaves_nothing_behind_but_foreign_files_stay(hub, pushed):
    repo = hub.repos["me/gato"]
    repo.commit("main", repo.commits[repo.branches["main"]] | {"LICENSE": b"x"}, "by hand")
    tiny(2, prompt=False).push_to_hub("me/gato")
    assert sorted(repo.commits[repo.branches["main"]]) == sorted(
        [".gitattributes", "LICENSE", *FILES]
    )
    assert not GatoAgent.from_pretrained("me/gato").prompts


def test_two_pushes_at_once_do_not_mix(hub, pushed):
    repo = hub.repos["me/gato"]
    hub.before_commit = lambda: repo.commit("main", {"README.md": b"theirs"}, "theirs")
    with pytest.raises(HubError, match="somebody else changed it at the same time: push again"):
        tiny(2).push_to_hub("me/gato")
    assert repo.messages[-1] == "theirs"


def test_the_same_again_is_the_same_commit(hub, pushed):
    agent, commit = pushed
    assert agent.push_to_hub("me/gato").oid == commit.oid
    assert len(hub.repos["me/gato"].messages) == 2  # the Hub's own, and ours


def test_the_command_line_takes_a_pinned_id(hub, pushed, capsys):
    hub.repos["me/gato"].tags["v1"] = pushed[1].oid
    command = ["eval", "--task", TASK, "--episodes", "1", "--json", "--checkpoint"]
    assert main([*command, "me/gato@v1"]) == 0
    assert json.loads(capsys.readouterr().out)["checkpoint"] == "me/gato@v1"
    assert main([*command, "me/gato@v9"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and "no revision 'v9', but main, v1: pass one that exists" in told[0]


def test_save_can_push_and_a_bare_name_is_ones_own(hub, tmp_path):
    agent = tiny(1)
    commit = agent.save_pretrained(tmp_path / "mine", push_to_hub=True, private=True)
    assert hub.repos["me/mine"].private and hub.repos["me/mine"].branches["main"] == commit.oid
    assert same(GatoAgent.from_pretrained("me/mine"), agent)
    assert b'from_pretrained("me/mine")' in hub.repos["me/mine"].commits[commit.oid]["README.md"]


def test_card_and_video(hub, tmp_path):
    video = tmp_path / "play.mp4"
    video.write_bytes(b"not really a video")
    agent = GatoAgent.from_pretrained(device="cpu")
    written = "---\nlicense: mit\n---\n\n# Mine\n\nHow I trained it.\n"
    commit = agent.push_to_hub("me/gato", video=video)
    files = hub.repos["me/gato"].commits[commit.oid]
    assert files["replay.mp4"] == video.read_bytes()
    card = ModelCard(files["README.md"].decode())
    results = {(r.dataset_name, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert results["classic", "expert_normalized_iqm"] > 0.9 and "(replay.mp4)" in card.text
    # It takes along what it was given, and nobody who loads it fetches the video.
    loaded = GatoAgent.from_pretrained("me/gato")
    assert loaded.documents.keys() == {"card.json", "README.md", "scorecard.json"}
    assert "replay.mp4" not in hub.served() and "model.safetensors" in hub.served()
    # A card that somebody wrote keeps its text; the results are added.
    agent.documents["README.md"] = written
    commit = agent.push_to_hub("me/gato")
    kept = ModelCard(hub.repos["me/gato"].commits[commit.oid]["README.md"].decode())
    assert kept.text == ModelCard(written).text
    assert kept.data.eval_results == card.data.eval_results
    with pytest.raises(ValueError, match=r"must be one of \.mp4"):
        agent.push_to_hub("me/gato", video=tmp_path / "play.avi")
    with pytest.raises(FileNotFoundError, match="gato-gym record makes one"):
        agent.push_to_hub("me/gato", video=tmp_path / "none.mp4")


def test_a_card_edited_on_the_hub_does_not_break_the_agent(hub, pushed):
    repo = hub.repos["me/gato"]
    repo.commit("main", repo.commits[repo.branches["main"]] | {"README.md": b"new"}, "by hand")
    assert GatoAgent.from_pretrained("me/gato").documents["README.md"] == "new"


def test_a_broken_connection_is_taken_up_again(hub, pushed, monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    hub.breaks = [("model.safetensors", 1000), ("model.safetensors", 70_000)]
    assert same(GatoAgent.from_pretrained("me/gato"), pushed[0])
    assert not hub.breaks


def test_an_interrupted_download_leaves_nothing_broken(hub, pushed, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    hub.breaks = [("model.safetensors", 0)] * 20
    with pytest.raises(HubError, match=r"it broke off with .*; try again"):
        GatoAgent.from_pretrained("me/gato")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="no whole copy: check the network"):
        GatoAgent.from_pretrained("me/gato")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.breaks.clear()
    hub.requests.clear()
    assert same(GatoAgent.from_pretrained("me/gato"), pushed[0])
    assert not list((tmp_path / "cache").rglob("*.incomplete"))


@pytest.mark.parametrize("name", ["model.safetensors", "tasks.json", PROMPT])
def test_a_wrong_byte_is_noticed_and_fetched_again(hub, pushed, name):
    hub.damaged = {name}
    with pytest.raises(CorruptCheckpointError, match="force_download=True fetches it again") as e:
        GatoAgent.from_pretrained("me/gato")
    assert name in str(e.value) and not isinstance(e.value, HubError)
    hub.damaged = set()
    with pytest.raises(CorruptCheckpointError):
        GatoAgent.from_pretrained("me/gato")  # the cache still has it
    assert same(GatoAgent.from_pretrained("me/gato", force_download=True), pushed[0])


def test_without_a_network_the_cache_stands_in(hub, pushed, monkeypatch):
    agent, commit = pushed
    GatoAgent.from_pretrained("me/gato")
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for options in ({}, {"revision": "main"}, {"revision": commit.oid}, {"local_files_only": True}):
        assert same(GatoAgent.from_pretrained("me/gato", **options), agent)
    with pytest.raises(HubError, match="was not asked or did not answer"):
        GatoAgent.from_pretrained("me/other")
    assert not hub.requests
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert same(GatoAgent.from_pretrained("me/gato"), agent)
        with pytest.raises(HubError, match=r"did not answer \(ConnectError.*check the network"):
            GatoAgent.from_pretrained("me/other")
        with pytest.raises(HubError, match=r"nothing was uploaded to 'me/gato': it broke off with"):
            agent.push_to_hub("me/gato")


def test_what_one_may_not_read_says_what_to_do(hub, monkeypatch):
    tiny(1).push_to_hub("me/secret", private=True)
    tiny(1).push_to_hub("me/gated")
    hub.repos["me/gated"].gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    for name, message in {
        "me/secret": "does not exist, or it is private: check the name",
        "me/missing": "does not exist, or it is private: check the name",
        "me/gated": rf"it is gated: ask for access on {hub.url}/me/gated, then log in",
        "me/not a name": "not a name the Hub can have, expected owner/name",
    }.items():
        with pytest.raises(HubError, match=message) as told:
            GatoAgent.from_pretrained(name)
        assert repr(name) in str(told.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="log in with `hf auth login`, or pass token="):
        GatoAgent.from_pretrained("me/secret")
    with pytest.raises(HubError, match="does not accept the token"):
        GatoAgent.from_pretrained("me/secret", token="hf_old")
    assert same(GatoAgent.from_pretrained("me/secret", token="hf_me"), tiny(1))
    with pytest.raises(HubError, match="has no revision 'v9', but main: pass one that exists"):
        GatoAgent.from_pretrained("me/secret", revision="v9", token="hf_me")


def test_what_one_may_not_write_says_what_to_do(hub, pushed, monkeypatch):
    agent, commit = pushed
    with pytest.raises(
        HubError, match="nothing was uploaded to 'other/gato': your account may not"
    ):
        agent.push_to_hub("other/gato")
    with pytest.raises(HubError, match="your account may not write there: log in"):
        agent.push_to_hub("me/gato", token="hf_other")
    with pytest.raises(ValueError, match="me/gato exists and is public, so nothing was uploaded"):
        agent.push_to_hub("me/gato", private=True)
    agent.documents["README.md"] = "---\ntags: [gato\n---\n"
    with pytest.raises(ValueError, match=r"front matter of README\.md is not YAML"):
        agent.push_to_hub("me/gato")
    agent.documents["README.md"] = "---\ntags: gato\n---\n"
    agent.push_to_hub("me/gato", branch="other")  # the client makes a list of it
    monkeypatch.delenv("HF_TOKEN")
    for name in ("me/gato", "me/new", "mine"):
        with pytest.raises(HubError, match="log in with `hf auth login`"):
            agent.push_to_hub(name)
    assert hub.repos.keys() == {"me/gato"}
    assert hub.repos["me/gato"].branches["main"] == commit.oid


def test_only_an_agents_files_are_fetched(hub, pushed, tmp_path):
    repo = hub.repos["me/gato"]
    foreign = {
        "run.py": b"1",
        "pytorch_model.bin": b"\x80",
        "prompts/x.py": b"1",
        "a/config.json": b"1",
    }
    repo.commit("main", repo.commits[repo.branches["main"]] | foreign, "by hand")
    assert same(GatoAgent.from_pretrained("me/gato"), pushed[0])
    assert hub.served() == sorted([*FILES, PROMPT])
    with pytest.raises(TypeError, match="no option 'trust_remote_code'"):
        GatoAgent.from_pretrained("me/gato", trust_remote_code=True)
    with pytest.raises(ValueError, match=r"revision 'v1' is for a Hub id"):
        GatoAgent.from_pretrained(BUNDLED, revision="v1")
    assert not list((tmp_path / "cache").rglob("*.py"))


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "prompts/../../x.episode", "run.py"]
)
def test_a_manifest_that_leads_elsewhere_is_refused(hub, pushed, name):
    repo = hub.repos["me/gato"]
    files = dict(repo.commits[repo.branches["main"]])
    told = json.loads(files["manifest.json"]) | {name: {"size": 1, "crc32c": 0}}
    repo.commit("main", files | {"manifest.json": json.dumps(told).encode()}, "by hand")
    with pytest.raises(CorruptCheckpointError, match="outside of an agent's folder or no part"):
        GatoAgent.from_pretrained("me/gato")


def test_a_file_name_that_leads_elsewhere_is_refused(hub, pushed, tmp_path):
    repo = hub.repos["me/gato"]
    files = repo.commits[repo.branches["main"]] | {"prompts/../../../../x.episode": b"x"}
    repo.commit("main", files, "by hand")
    with pytest.raises(HubError, match=r"cannot contain a '\.\.' path segment"):
        GatoAgent.from_pretrained("me/gato")
    assert not list(tmp_path.rglob("x.episode"))


def test_nothing_from_the_hub_is_unpickled(hub, pushed, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    for name in ("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load"):
        monkeypatch.setattr(name, refuse)
    assert same(GatoAgent.from_pretrained("me/gato"), pushed[0])


def test_the_hubs_cache_is_a_folder_one_can_load(hub, pushed):
    folder = huggingface_hub.snapshot_download("me/gato")
    assert (Path(folder) / "config.json").is_symlink()
    assert same(GatoAgent.from_pretrained(folder), pushed[0])


def test_a_process_of_its_own_says_nothing_and_may_be_killed(hub, pushed, tmp_path):
    """As it is used: settings from the environment, no terminal, a kill in the middle."""
    code = "from gato_gym import GatoAgent; print(len(GatoAgent.from_pretrained('me/gato').specs))"
    env = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }
    hub.breaks = [("model.safetensors", 0)] * 1000
    process = subprocess.Popen([sys.executable, "-c", code], env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(hub.breaks) == 1000 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert len(hub.breaks) < 1000
    hub.breaks.clear()
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)

"""chat and caption: the same words as the agent's own methods, however they are asked for."""

import io
import json
import os
import pty
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gato_gym.agents.gato import GatoAgent
from gato_gym.cli import caption, chat
from gato_gym.config import model_config
from gato_gym.models.gato import Gato
from gato_gym.types import ActionSpec, ObservationSpec, TaskSpec


def spec(name, *leaves):
    return TaskSpec(name, "text", "language", leaves, ActionSpec("text", 12))


IMAGE, TEXT = ObservationSpec("image", "image", (32, 48, 3)), ObservationSpec("text", "text", ())


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(1)
    model = Gato(replace(model_config("tiny"), context=320))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 3
    specs = [spec("text/captioning", IMAGE), spec("text/vqa", IMAGE, TEXT)]
    specs.append(spec("text/dialogue", TEXT))
    return GatoAgent(model, {one.id: one for one in specs})


@pytest.fixture(scope="module")
def folder(agent, tmp_path_factory):
    path = tmp_path_factory.mktemp("agent") / "agent"
    agent.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    paths = [tmp_path_factory.mktemp("pictures") / f"{name}.png" for name in ("one", "two")]
    for seed, path in enumerate(paths):
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def shown(text):
    return chat.clean(text, "replace")


def test_a_caption_is_the_agents(agent, folder, images, run, run_json):
    said = agent.caption(images)
    code, out, _ = run("caption", images[0], "--checkpoint", folder)
    assert (code, out) == (0, shown(said[0]) + "\n")
    code, out, _ = run("caption", *images, "--checkpoint", folder)
    assert out == "".join(f"{i}: {shown(t)}\n" for i, t in zip(images, said, strict=True))
    found = run_json("caption", *images, "--checkpoint", folder)
    assert [row["caption"] for row in found["images"]] == said
    assert found["checkpoint"] == str(folder)


def test_an_answer_is_the_agents(agent, folder, images, run_json):
    ask = ("caption", *images, "--question", "what is red?", "--checkpoint", folder)
    found = run_json(*ask, "--temperature", "1.5", "--seed", "4", "--max-tokens", "5")
    said = agent.answer(images, "what is red?", temperature=1.5, seed=4, max_tokens=5)
    assert [row["answer"] for row in found["images"]] == said
    assert found["question"] == "what is red?"


def conversation(agent, *messages):
    said = []
    for seed, message in enumerate(messages):
        said.append({"role": "user", "content": message})
        reply = agent.chat(said, temperature=1.0, seed=seed)
        assert reply.strip()
        said.append({"role": "assistant", "content": reply})
    return said


DRAWN = ("--temperature", "1.0")


def test_messages_are_answered_one_after_the_other(agent, folder, run, run_json):
    expected = conversation(agent, "hello", "and then?")
    ask = ("chat", "--checkpoint", folder, *DRAWN, "--message", "hello", "and then?")
    assert run_json(*ask)["messages"] == expected
    code, out, _ = run(*ask)
    assert (code, out) == (0, "".join(f"{shown(m['content'])}\n" for m in expected[1::2]))


def test_lines_of_a_pipe_are_messages(agent, folder, run, run_json, monkeypatch):
    expected = conversation(agent, "hello", "and then?")
    for how in (run, run_json):
        monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n\nand then?"))
        found = how("chat", "--checkpoint", folder, *DRAWN)
        if how is run_json:
            assert found["messages"] == expected
        else:
            assert found[1] == "".join(f"{shown(m['content'])}\n" for m in expected[1::2])


def test_the_system_speaks_first(agent, folder, run_json):
    ask = ("chat", "--checkpoint", folder, "--message", "hello", "--system", "say little")
    said = run_json(*ask)["messages"]
    assert said[0] == {"role": "system", "content": "say little"}
    assert "".join(m["content"] for m in said[2:]).strip() == agent.chat(said[:2]).strip()


class Listener:
    """An agent whose replies can be interrupted."""

    checkpoint = "listener"

    def __init__(self, replies, specs=()):
        self.specs = specs
        self.replies, self.heard = iter(replies), []

    def chat(self, said, **how):
        self.heard.append([message["content"] for message in said])
        reply = next(self.replies)
        if isinstance(reply, Exception):
            raise reply
        return self._pieces(reply)

    def _pieces(self, reply):
        for piece in reply:
            if piece is KeyboardInterrupt:
                raise KeyboardInterrupt
            yield piece


def test_what_is_typed_is_lower_case_for_tasks_of_the_suite(monkeypatch, capsys):
    usual = ("text/dialogue", "text/mine")
    for specs, options, heard in (
        (usual, {}, ["say little", "hello"]),
        (usual, {"task": "text/dialogue"}, ["say little", "hello"]),
        (usual, {"lower": False}, ["Say Little", "HeLLo"]),
        (usual, {"task": "text/mine"}, ["Say Little", "HeLLo"]),
        (("text/mine",), {}, ["Say Little", "HeLLo"]),
    ):
        listener = Listener([["Hi"]], specs)
        monkeypatch.setattr(chat, "load_gato", lambda *a, found=listener, **k: found)
        said = {"system": "Say Little", "message": ("HeLLo",), **options}
        assert chat.run(chat.Options(**said)) == 0
        assert listener.heard == [heard] and capsys.readouterr().out == "Hi\n"


def test_a_question_is_lower_case_unless_told_otherwise(agent, folder, images, run_json):
    ask = ("caption", images[0], "--question", "What is RED?", "--checkpoint", folder)
    asked = {}
    for how, question in (((), "what is red?"), (("--no-lower",), "What is RED?")):
        found = run_json(*ask, *how)
        assert found["question"] == question
        assert found["images"][0]["answer"] == agent.answer(images[0], question)
        asked[question] = found["images"][0]["answer"]
    assert len(set(asked.values())) == 2


def test_no_control_character_of_a_caption_reaches_the_terminal(monkeypatch, capsys):
    said = ["a \x1b[2Jred\x07 ball", "a\x9b31m key"]
    teller = SimpleNamespace(
        checkpoint="teller", specs=(), caption=lambda images, **how: said[: len(images)]
    )
    monkeypatch.setattr(caption, "load_gato", lambda *a, **k: teller)
    one, two = Path("a.png"), Path("b.png")
    assert caption.run(caption.Options((one,))) == caption.run(caption.Options((one, two))) == 0
    clean = ["a [2Jred ball", "a31m key"]
    out = f"{clean[0]}\na.png: {clean[0]}\nb.png: {clean[1]}\n"
    assert capsys.readouterr().out == out
    assert caption.run(caption.Options((one,), json=True)) == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["caption"] == said[0]


def test_a_person_talks_interrupts_and_leaves(monkeypatch, capsys):
    listener = Listener([["hi ", "you\x1b[2J"], ["long ", KeyboardInterrupt], ValueError("no"), []])
    lines = iter(["hello", " ", "tell me all", "what?", "bye", EOFError])

    def ask(prompt):
        line = next(lines)
        if line is EOFError:
            raise line
        return line

    monkeypatch.setattr("builtins.input", ask)
    monkeypatch.setattr(chat, "load_gato", lambda *a, **k: listener)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert chat.run(chat.Options()) == 0
    out, err = capsys.readouterr()
    assert out == "hi you[2J\nlong \n\n\n" and "\x1b" not in out
    assert err == "listener listens; Ctrl-D ends\nno\n"
    assert listener.heard == [
        ["hello"],
        ["hello", "hi you\x1b[2J", "tell me all"],
        ["hello", "hi you\x1b[2J", "tell me all", "long ", "what?"],
        ["hello", "hi you\x1b[2J", "tell me all", "long ", "bye"],
    ]


def test_a_terminal_is_left_by_its_end(agent, folder, run, monkeypatch):
    ours, theirs = pty.openpty()
    os.write(ours, b"hello\n\x04")
    with open(theirs, encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        code, out, err = run("chat", "--checkpoint", folder)
    os.close(ours)
    assert (code, err) == (0, f"{folder} listens; Ctrl-D ends\n")
    assert out == f"{chat.PROMPT}{shown(agent.chat('hello'))}\n{chat.PROMPT}\n"


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("caption",), "name at least one picture"),
        (("caption", "absent.png"), "absent.png"),
        (("chat", "--message", "hi", "--temperature", "-1"), "temperature must be"),
        (("chat", "--message", "hi", "--top-p", "0"), "top_p must be"),
        (("chat", "--message", " "), "message 0 of user is empty"),
        (("chat", "--message", "hi", "--task", "text/vqa"), "chat needs a task"),
    ],
)
def test_wrong_use_is_told_in_a_line(arguments, told, folder, fails):
    assert told in fails(*arguments, "--checkpoint", folder)


def test_an_agent_that_does_not_speak_says_so(tmp_path, images, fails):
    from gato_gym import envs

    silent = GatoAgent(Gato(model_config("tiny")), {"CartPole-v1": envs.task_spec("CartPole-v1")})
    silent.save_pretrained(tmp_path / "silent")
    for verb in (("caption", images[0]), ("chat", "--message", "hi")):
        assert "no task that speaks" in fails(*verb, "--checkpoint", tmp_path / "silent")


def test_json_of_a_picture_is_one_line(folder, images, run):
    code, out, _ = run("caption", images[0], "--checkpoint", folder, "--json")
    assert code == 0 and json.loads(out)["images"][0]["image"] == str(images[0])

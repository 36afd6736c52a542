"""caption, answer, chat and generate: the same texts as acting gives, and nothing disturbed."""

import io
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from gato_gym import envs
from gato_gym.agents import speaker
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.errors import UnknownTaskError, UnsupportedSpaceError
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.default_text import default_text
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec

IMAGE = ObservationSpec("image", "image", (32, 48, 3))
CONTROL = "CartPole-v1"


def spoken_task(name, *leaves, size=24):
    return TaskSpec(name, "text", "language", leaves, ActionSpec("text", size))


SPECS = {
    spec.id: spec
    for spec in (
        spoken_task("text/captioning", IMAGE),
        spoken_task("text/vqa", IMAGE, ObservationSpec("question", "text", ())),
        spoken_task("text/dialogue", ObservationSpec("text", "text", ())),
    )
}


def build_agent(specs=SPECS, prompts=None, **config):
    torch.manual_seed(1)
    model = Gato(replace(model_config("tiny"), context=320, **config))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 3
    return GatoAgent(model, {**specs, CONTROL: envs.task_spec(CONTROL)}, prompts)


@pytest.fixture(scope="module")
def agent():
    return build_agent()


@pytest.fixture(scope="module")
def pictures():
    return list(np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3), dtype=np.uint8))


QUESTIONS = ["what is red?", "where is the ball?", "how many?", "is it a key?", "which game?"]


def acted(agent, task, observation, prompt=None):
    agent.reset(task, prompt=prompt)
    return agent.act(observation)


def test_a_caption_is_what_the_agent_acts(agent, pictures):
    said = [agent.caption(picture) for picture in pictures]
    assert said == [acted(agent, "text/captioning", {"image": one}) for one in pictures]
    assert len(set(said)) > 1
    assert agent.caption(pictures) == said
    assert agent.caption([]) == []
    assert agent.caption(tuple(pictures[:1])) == said[:1]


def test_pictures_come_in_any_form(agent, pictures):
    file = io.BytesIO()
    Image.fromarray(pictures[0]).save(file, "PNG")
    forms = [Image.fromarray(pictures[0]), file.getvalue()]
    assert agent.caption(forms) == [agent.caption(pictures[0])] * 2


def test_more_pictures_than_are_decided_together(agent, pictures, monkeypatch):
    expected = agent.caption(pictures)
    monkeypatch.setattr(speaker, "TOGETHER", 2)
    assert agent.caption(pictures) == expected


def test_an_answer_is_what_the_agent_acts(agent, pictures):
    said = [agent.answer(*pair) for pair in zip(pictures, QUESTIONS, strict=True)]
    for picture, question, answer in zip(pictures, QUESTIONS, said, strict=True):
        observation = {"image": picture, "question": question}
        assert acted(agent, "text/vqa", observation) == answer
    assert agent.answer(pictures, QUESTIONS) == said
    by_question = [agent.answer(pictures[0], question) for question in QUESTIONS]
    assert agent.answer(pictures[0], QUESTIONS) == by_question
    by_picture = [agent.answer(picture, QUESTIONS[0]) for picture in pictures]
    assert agent.answer(pictures, QUESTIONS[0]) == by_picture
    assert len({*said, *by_question, *by_picture}) > 3
    with pytest.raises(ValueError, match="5 pictures and 2 questions"):
        agent.answer(pictures, QUESTIONS[:2])


def conversation(*texts):
    roles = ["user", "assistant"] * len(texts)
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def shown(*texts):
    """The same as an episode."""
    said, replies = texts[::2], texts[1::2]
    zeros = np.zeros(len(replies))
    observations = {"text": np.array(said)}
    return Episode("text/dialogue", observations, np.array(replies), zeros, True, 0, "test")


def test_a_reply_is_what_the_agent_acts_after_the_turns_before(agent):
    assert agent.chat("hello") == acted(agent, "text/dialogue", {"text": "hello"})
    texts = ("hello", "hi, what next?", "where is the key", "no idea", "and the red ball?")
    for turns in (3, 5):
        before = shown(*texts[:turns])
        reply = agent.chat(conversation(*texts[:turns]))
        assert reply == acted(agent, "text/dialogue", {"text": texts[turns - 1]}, before)
    begun = agent.chat(conversation(*texts[:3])[1:])
    assert begun == acted(agent, "text/dialogue", {"text": texts[2]}, shown("", *texts[1:3]))
    replies = {agent.chat(conversation("hello", past, "and?")) for past in ("yes", "no", "a key")}
    assert len(replies) > 1


def test_the_oldest_turns_of_a_long_conversation_fall_out(agent):
    """What does not fit has no part in the reply; what fits has."""
    long = [f"{word} " * 12 for word in ("red", "blue", "a key", "a ball") * 9]
    reply = agent.chat(conversation(*long, "and?"))
    words = default_text()
    tokens = sum(len(words.encode(text)) + 1 for text in long)
    assert tokens > 2 * agent.config.context
    for other, alike in ((["no way", *long[1:]], True), ([*long[:-1], "never"], False)):
        assert (agent.chat(conversation(*other, "and?")) == reply) == alike


def test_text_goes_on_as_an_action_that_began_with_it(agent):
    role = speaker.Role(SPECS["text/dialogue"], None, agent.vocabulary, None, 320)
    begun, added = "the red block", 6
    ids = [*role.read({"text": ""}, 0).ids, *default_text().encode(begun)]
    local = [513, *[512] * (len(ids) - 1)]
    said = []
    for _ in range(added):
        with torch.inference_mode():
            logits = agent.model(
                torch.tensor(np.array([ids], np.int64)),
                torch.tensor([local]),
                torch.zeros(0, 16, 16, 3, dtype=torch.uint8),
                torch.zeros(0, dtype=torch.int64),
                torch.zeros(0, 2, dtype=torch.int64),
                torch.zeros(1, len(ids), dtype=torch.int64),
            )[0, -1]
        said.append(2 + int(logits[2 : default_text().size].argmax()))
        ids.append(said[-1])
        local.append(512)
    expected = default_text().decode([token for token in said if token != 2])
    assert agent.generate(begun, max_tokens=added) == expected
    assert agent.generate(max_tokens=5) != agent.generate(begun, max_tokens=5)


@pytest.fixture(scope="module")
def endless():
    """An agent that never ends a text by itself."""
    one = build_agent()
    with torch.no_grad():
        one.model.norm.bias -= 50 * one.model.embedding.ids.weight[default_text().end]
    return one


@pytest.mark.parametrize("full", [False, True])
def test_as_much_is_added_as_the_task_allows_and_the_context_holds(endless, full):
    words, size = default_text(), SPECS["text/dialogue"].action.size
    begun = "the red block"
    if full:  # one more word, and it would be refused
        role = speaker.Role(SPECS["text/dialogue"], None, endless.vocabulary, None, 320)
        room = 320 - role.tokenizer.observation_slots - 1
        begun = words.decode(words.encode("red " * room)[: room - size])
        assert len(words.encode(begun)) == room - size
        with pytest.raises(ValueError, match=f"room for {room} of both"):
            endless.generate(begun + " red block")
    whole = endless.generate(begun)
    assert whole == endless.generate(begun, max_tokens=size)
    assert whole != endless.generate(begun, max_tokens=size - 1)
    assert "".join(endless.generate(begun, stream=True)) == whole


@pytest.mark.parametrize("how", [{}, {"temperature": 1.0}, {"temperature": 1.5, "top_p": 0.9}])
def test_what_is_streamed_joins_to_the_whole(agent, pictures, how):
    calls = [
        (agent.caption, pictures[0]),
        (agent.answer, pictures[0], QUESTIONS[0]),
        (agent.chat, "hello"),
        (agent.generate, "the red"),
    ]
    for method, *given in calls:
        whole = method(*given, seed=3, **how)
        pieces = list(method(*given, seed=3, stream=True, **how))
        assert "".join(pieces) == whole and all(pieces)
        assert method(*given, seed=3, **how) == whole
    told = list(agent.generate("the red", temperature=1.0, seed=5, stream=True, max_tokens=30))
    assert len(told) > 3


def test_texts_are_drawn_as_likely_as_asked(agent):
    greedy = agent.chat("hello")
    assert agent.chat("hello", temperature=1.0, top_p=1e-6) == greedy
    drawn = [agent.chat("hello", temperature=2.0) for _ in range(6)]
    assert len(set(drawn)) > 3
    seeded = [agent.chat("hello", temperature=2.0, seed=seed) for seed in (0, 1, 0)]
    assert seeded[0] == seeded[2] != seeded[1]


def test_stop_strings_and_limits(agent):
    whole = agent.generate("the", max_tokens=30)
    assert len(whole) > 4
    stop = whole[2:4]
    expected = whole[: whole.index(stop)]
    assert agent.generate("the", max_tokens=30, stop=stop) == expected
    assert agent.generate("the", max_tokens=30, stop=["\0", stop]) == expected
    for most in (1, 3):
        assert whole.startswith(agent.generate("the", max_tokens=most))


def test_an_episode_goes_on_as_if_nobody_had_asked(agent, pictures):
    obs = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)

    def play(between):
        one = build_agent()
        one.reset(CONTROL)
        found = []
        for step in obs:
            found.append(one.act(step, deterministic=False))
            between(one)
        return found

    def ask(one):
        one.caption(pictures[:2], temperature=1.0)
        one.chat("hello", temperature=1.0)
        next(one.generate("a", stream=True, temperature=1.0), None)

    assert play(ask) == play(lambda one: None)


def test_a_demonstration_may_come_first(agent, pictures):
    shown_before = Episode(
        "text/captioning",
        {"image": np.stack(pictures[:3])},
        np.array(["a red ball", "a key"]),
        *(np.zeros(2), True, 0, "test"),
    )
    said = agent.caption(pictures, prompt=shown_before)
    assert said == [
        acted(agent, "text/captioning", {"image": one}, shown_before) for one in pictures
    ]
    assert said != agent.caption(pictures)
    own = build_agent(prompts={"text/captioning": shown_before})
    assert own.caption(pictures, prompt="expert") == said
    assert own.caption(pictures) == agent.caption(pictures)


def test_weights_that_have_changed_are_spoken_with_and_episodes_have_to_start_again(pictures):
    one, other = build_agent(), build_agent()
    one.reset(CONTROL)
    one.act(np.zeros(4, np.float32))
    for model in (one.model, other.model):
        with torch.no_grad():
            model.blocks[0].up.weight.data *= -1
    assert one.caption(pictures) == other.caption(pictures)
    with pytest.raises(RuntimeError, match=r"call agent.reset\(env\)"):
        one.act(np.zeros(4, np.float32))


def test_an_agent_says_what_it_was_not_trained_on(agent, pictures):
    control = build_agent({})
    for call, usual in (
        (lambda: control.caption(pictures[0]), "text/captioning"),
        (lambda: control.answer(pictures[0], "what?"), "text/vqa"),
        (lambda: control.chat("hi"), "text/dialogue"),
        (lambda: control.generate("hi"), "text/dialogue"),
    ):
        with pytest.raises(UnknownTaskError, match=f"trained on no task that speaks.*{usual}"):
            call()
    with pytest.raises(
        UnknownTaskError, match=r"caption needs .*, not 'text/vqa'; .*task=, one of \['text/c"
    ):
        agent.caption(pictures[0], task="text/vqa")


def test_of_several_tasks_of_a_form_one_is_named(pictures):
    named = {name: spoken_task(name, IMAGE) for name in ("one", "two")}
    both = build_agent(named)
    with pytest.raises(ValueError, match=r"several tasks .*pass task=, one of \['one', 'two'\]"):
        both.caption(pictures[0])
    assert both.caption(pictures[0], task="two") == both.caption(pictures[0], task="one")
    usual = build_agent(named | SPECS)
    assert usual.caption(pictures[0]) == usual.caption(pictures[0], task="text/captioning")


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda a, p: a.answer(p, ""), "the text is empty"),
        (lambda a, p: a.answer(p, " \n"), "the text is empty"),
        (lambda a, p: a.answer(p, "\0\x1b"), "the text is empty"),
        (lambda a, p: a.answer(p, 7), r"expected a text \(str\), got int: '7'"),
        (lambda a, p: a.answer(p, b"what"), "expected a text .* got bytes"),
        (lambda a, p: a.answer(p, "a\ud800b"), "half a character, .* at 1"),
        (lambda a, p: a.generate(None), "expected a text .* got NoneType"),
        (lambda a, p: a.generate("a " * 400), "takes .* tokens and max_tokens is 24: .* room for"),
        (lambda a, p: a.generate("a", max_tokens=1000), "max_tokens is 1000"),
        (lambda a, p: a.generate("a" * 10**7), "has 10000000 letters, at most 65536"),
        (lambda a, p: a.caption(p, temperature=-1), "temperature must be"),
        (lambda a, p: a.chat("hi", top_p=2), "top_p must be"),
        (lambda a, p: a.caption([p, p], stream=True), "stream=True tells one text"),
        (lambda a, p: a.caption(None), "NoneType"),
        (lambda a, p: a.chat(conversation("hi", "hello")), "ends with a reply"),
        (lambda a, p: a.chat([]), "there are no messages"),
        (lambda a, p: a.chat(""), "message 0 of user is empty"),
        (lambda a, p: a.chat(7), "messages are a int"),
    ],
)
def test_bad_input_is_named(agent, pictures, call, told):
    with pytest.raises(ValueError, match=told):
        call(agent, pictures[0])


def test_control_characters_are_left_out_and_long_texts_are_cut(agent, pictures, caplog):
    assert agent.answer(pictures[0], "a\0 b\x1b c") == agent.answer(pictures[0], "a b c")
    slot = speaker.Role(SPECS["text/vqa"], None, agent.vocabulary, None, 320).tokenizer.text_slot
    long = "what is " * 10**6
    with caplog.at_level(logging.WARNING, logger="gato_gym.agents.speaker"):
        said = agent.answer(pictures[0], long)
    assert [record.getMessage() for record in caplog.records] == [
        f"text/vqa: the text of 8000000 letters is cut after the first {slot} tokens"
    ]
    words = default_text()
    kept = words.decode(words.encode("what is " * 200)[:slot])
    assert agent.answer(pictures[0], kept) == said


def test_parallel_actions_do_not_speak(pictures):
    with pytest.raises(UnsupportedSpaceError, match="text/captioning acts in text"):
        build_agent(parallel_actions=True).caption(pictures[0])

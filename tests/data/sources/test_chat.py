"""Conversations as turns."""

import pytest

from gato_gym.data.sources.chat import turns
from gato_gym.errors import InvalidObservationError


def said(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


def test_a_turn_is_what_was_said_and_the_reply():
    talk = said(("user", "hi"), ("assistant", "hello"), ("user", "bye"), ("assistant", "see you"))
    assert turns(talk) == [("hi", "hello"), ("bye", "see you")]


def test_the_system_stands_before_the_first_turn():
    talk = said(("system", "be brief"), ("user", "hi"), ("assistant", "hello"))
    assert turns(talk) == [("system: be brief\nhi", "hello")]


def test_the_last_turn_may_wait_for_a_reply():
    assert turns(said(("user", "hi"), ("user", "there?"))) == [("hi\nthere?", None)]
    talk = said(("user", "hi"), ("assistant", "hello"), ("user", "and?"))
    assert turns(talk)[-1] == ("and?", None)


def test_a_reply_to_nothing():
    assert turns(said(("assistant", "welcome"), ("assistant", "sit"))) == [
        ("", "welcome"),
        ("", "sit"),
    ]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "no messages"),
        ("hello", "a str"),
        ({"role": "user", "content": "hi"}, "a dict"),
        (None, "NoneType"),
        (["hello"], "message 0 is 'hello'"),
        ([{"role": "user"}], '"content"'),
        (
            said(("user", "hi"), ("robot", "beep")),
            "message 1 has the role 'robot'; expected one of",
        ),
        (said(("user", None)), "message 0 of user has a NoneType"),
        (said(("user", [{"type": "text", "text": "hi"}])), "list as content; expected text"),
        (said(("user", " \n")), "message 0 of user is empty"),
    ],
)
def test_what_is_no_conversation(messages, words):
    with pytest.raises(InvalidObservationError) as error:
        turns(messages)
    assert words in str(error.value)

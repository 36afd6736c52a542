"""The phrases: enough of them, all of them well formed, and a fifth never used in training."""

import itertools

import pytest

from gato_gym.envs.language.dialogue_answers import answer
from gato_gym.envs.language.dialogue_grammar import (
    Subject,
    expand,
    fill,
    fillings,
    grammar,
    held_out,
    slots_of,
)
from gato_gym.envs.language.dialogue_plan import dialogue

KINDS = list(grammar().values())
LEADS = ("so, ", "well, ", "hm, ", "oh, ")


def test_choices_and_slots():
    assert expand("(a|b) {x} (c|d)") == ["a {x} c", "a {x} d", "b {x} c", "b {x} d"]
    assert expand("{x}?") == ["{x}?"]
    assert slots_of("{x} and {y_z}, [not] {this one}") == {"x", "y_z"}
    subject = Subject("", {"x": ("one {y}", "two"), "y": ("1", "2")})
    assert fill("{x}!", subject) == "one 1!"
    assert fillings("{x}!", subject) == ["one 1!", "one 2!", "two!"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_question_has_many_phrases_and_every_reply_is_right(kind):
    for form, phrases in kind.forms.items():
        # A user may leave out the last mark.
        assert len(phrases) == len({phrase.rstrip("?!.") for phrase in phrases}) >= 8, form
    for subject in kind.subjects:
        right = answer(kind, subject)
        replies = list(itertools.chain(*(fillings(reply, subject) for reply in kind.replies)))
        assert len(set(replies)) >= 2
        for reply in replies:
            assert right.accepts(reply), (reply, right)
            for word in reply.split():
                # Capitals belong to ids and to names in Python.
                assert word == word.lower() or set(word) & set("-."), reply
        texts = [
            t for phrases in kind.forms.values() for p in phrases for t in fillings(p, subject)
        ]
        for text in (*replies, *texts):
            assert text.isascii() and text == " ".join(text.split()), text
            assert not set(text) & set("{}()|") or "from_pretrained()" in text, text


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_answer_about_something_else_is_wrong(kind):
    answers = {subject.name: answer(kind, subject) for subject in kind.subjects}
    for subject, other in itertools.pairwise([*kind.subjects, kind.subjects[0]]):
        mine, theirs = answers[subject.name], answers[other.name]
        if mine.required != theirs.required:
            assert not mine.accepts(fill(kind.replies[0], other))
            both = f"{fill(kind.replies[0], subject)} {fill(kind.replies[0], other)}"
            if not theirs.accepts(fill(kind.replies[0], subject)):
                assert not mine.accepts(both), both


def test_every_subject_keeps_most_phrases_and_gives_some_away():
    for kind in KINDS:
        for subject in kind.subjects:
            for form, phrases in kind.forms.items():
                held = held_out(kind, form, subject)
                assert 1 <= len(held) <= 0.25 * len(phrases)
                assert held < set(phrases)


def test_which_phrases_are_held_out_depends_on_the_subject():
    kind = grammar()["domain"]
    assert len({held_out(kind, "ask", subject) for subject in kind.subjects}) > 20


def test_held_out_questions_are_never_heard_in_training():
    def heard(turn):
        text = turn.text.rstrip("?!.")
        lead = next((lead for lead in LEADS if text.startswith(lead)), "")
        return turn.kind, turn.subject, text.removeprefix(lead)

    trained = {heard(turn) for seed in range(10_000, 12_000) for turn in dialogue(seed)}
    asked = [turn for seed in range(7000, 7300) for turn in dialogue(seed)]
    new = [heard(turn) for turn in asked if turn.held_out]
    old = [heard(turn) for turn in asked if not turn.held_out]
    assert not trained & set(new)
    assert sum(one in trained for one in old) > 0.2 * len(old), "the test would see it"


def test_training_hears_nearly_all_that_there_is_to_know():
    known = {(t.kind, t.subject) for seed in range(10_000, 12_000) for t in dialogue(seed)}
    listed = [kind for kind in KINDS if kind.topic != "numbers"]
    everything = {(kind.name, subject.name) for kind in listed for subject in kind.subjects}
    assert len(known & everything) > 0.97 * len(everything)

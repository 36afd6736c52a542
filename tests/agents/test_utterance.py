"""Texts in the making: what is told of them, where they end, how tokens are drawn."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from gato_gym.agents.sampling import Sampler
from gato_gym.agents.utterance import Manner, Utterance
from gato_gym.tokenizers.default_text import default_text

TEXT = default_text()
END = TEXT.end


def tell(ids, **manner):
    """Pieces of a text; its end is given."""
    utterance = Utterance(TEXT, END, Manner.of(**manner))
    pieces = [utterance.add(int(token)) for token in [*ids, END]]
    assert utterance.is_done and utterance.finish() == ""
    return pieces


def byte_ids(data: bytes):
    return [TEXT._processor.piece_to_id(f"<0x{byte:02X}>") for byte in data]


def test_no_piece_is_half_a_letter():
    pieces = tell(TEXT.encode("on 日本 \U0001f916!"))
    assert "".join(pieces) == "on 日本 \U0001f916!"
    assert not any("\ufffd" in piece for piece in pieces)
    assert pieces.count("") >= 2 + 2 + 3  # bytes before the last one of each letter


def test_bytes_that_are_no_letter_are_told_in_the_end():
    half = byte_ids("日".encode()[:2])
    assert tell([*TEXT.encode("a"), *half])[:-1] == ["a", "", ""]
    assert "".join(tell([*half, *TEXT.encode("b")])) == TEXT.decode([*half, *TEXT.encode("b")])


@given(st.lists(st.integers(3, TEXT.size - 1), max_size=30))
def test_pieces_of_any_tokens_join_to_the_whole(ids):
    assert "".join(tell(ids)) == TEXT.decode(ids)


def reference(text: str, stops) -> str:
    """Letter by letter: the text ends before the stop string that is whole first."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)]
    return text


@given(st.text("ab \u65e5", max_size=20), st.lists(st.text("ab \u65e5", min_size=1, max_size=4)))
@example("aab", ["ab"])
@example("abb", ["abc", "bb"])
def test_stop_strings_end_a_text_before_them_wherever_its_tokens_part(text, stops):
    ids = [token for letter in text for token in TEXT.encode(letter)]
    assert "".join(tell(ids, stop=stops)) == reference(text, stops)


def test_a_stop_string_may_end_within_a_token_and_nothing_follows():
    ids = TEXT.encode("the red block is on the table")
    assert len(ids) < len("the red block is on the table")
    assert "".join(tell(ids, stop="ck i")) == "the red blo"
    assert "".join(tell(ids, stop=["the"])) == ""


def test_a_text_ends_after_so_many_tokens():
    ids = TEXT.encode("the red block is on the table")
    for most in range(1, len(ids) + 2):
        assert "".join(tell(ids, max_tokens=most)) == TEXT.decode(ids[:most])


@pytest.mark.parametrize(
    "option, value, told",
    [
        ("temperature", -0.1, "temperature must be a number from 0"),
        ("temperature", float("nan"), "temperature must be"),
        ("temperature", float("inf"), "temperature must be"),
        ("temperature", "hot", "temperature must be .* got 'hot'"),
        ("temperature", True, "temperature must be"),
        ("top_p", 0, r"top_p must be a number in \(0, 1\], got 0"),
        ("top_p", 1.01, "top_p must be"),
        ("top_p", None, "top_p must be"),
        ("max_tokens", 0, "max_tokens must be a whole number from 1"),
        ("max_tokens", 2.5, "max_tokens must be"),
        ("stop", 7, "stop must be a string or several, got 7"),
        ("stop", "", "stop must be strings that are not empty"),
        ("stop", ["a", None], "stop must be strings that are not empty, got None"),
    ],
)
def test_options_out_of_range_are_named(option, value, told):
    if (option, value) == ("stop", ""):
        value = [""]
    with pytest.raises(ValueError, match=told):
        Manner.of(**{option: value})


def naive_nucleus(probabilities, top_p):
    """The smallest set of the likeliest values that holds as much."""
    order, held, kept = np.argsort(-probabilities, kind="stable"), 0.0, []
    for value in order.tolist():
        if kept and held >= top_p:
            break
        kept.append(value)
        held += probabilities[value]
    return set(kept)


@pytest.mark.parametrize("top_p", [1e-9, 0.3, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("temperature", [1e-45, 0.5, 1.0, 2.0])
def test_draws_are_of_the_nucleus_and_as_likely_as_there(top_p, temperature):
    torch.manual_seed(0)
    logits = 2 * torch.randn(2, 12)
    sampler = Sampler(torch.Generator().manual_seed(1), temperature, top_p)
    drawn = np.array([sampler(logits, [0, 1]) for _ in range(4000)])
    for row, values in enumerate(drawn.T):
        scores = (logits[row] - logits[row].max()).double()
        probabilities = (scores / temperature).softmax(-1).numpy()
        nucleus = naive_nucleus(probabilities, top_p)
        inside = np.array([p if v in nucleus else 0 for v, p in enumerate(probabilities)])
        found = np.bincount(values, minlength=12) / len(values)
        assert set(values.tolist()) <= nucleus
        np.testing.assert_allclose(found, inside / inside.sum(), atol=0.04)

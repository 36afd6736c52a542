"""The n-gram baseline: its probabilities by hand, and what it can and cannot say."""

import math
import sys

import pytest

from gato_gym.envs.language.dialogue import dialogue_turns, is_right
from gato_gym.envs.language.dialogue_plan import dialogue
from gato_gym.errors import MissingExtraError
from gato_gym.evaluation.ngram import ngram_baseline
from gato_gym.tokenizers.default_text import default_text

TEXT = default_text()


def test_perplexity_of_two_tokens_by_hand():
    """One dialogue, order 2: "go" -> "on", whose tokens are `a` each."""
    asked, reply = "a", "c"
    assert len(TEXT.encode(asked)) == len(TEXT.encode(reply)) == 1
    result = ngram_baseline([[(asked, reply)]], [[(asked, reply)]], TEXT, order=2, discount=0.75)
    # The tokens are: user a reply c end. Each was seen once, and every id once more.
    total = TEXT.size + 3 + 5
    unigram = 2 / total
    bigram = (1 - 0.75) + 0.75 * unigram  # the only one after its context
    assert result.tokens == 2
    assert result.perplexity == pytest.approx(math.exp(-math.log(bigram)))
    assert result.replies == (("c",),)


def test_words_that_were_never_counted_are_unlikely_and_not_impossible():
    train = [[("a", "c")]]
    seen = ngram_baseline(train, [[("a", "c")]], TEXT, order=3)
    unseen = ngram_baseline(train, [[("a", "\N{SNOWMAN}")]], TEXT, order=3)
    assert seen.perplexity < 3 < 100 < unseen.perplexity < math.inf


def test_it_says_again_what_its_words_led_to():
    train = [[("red", "one"), ("blue", "two")], [("blue", "two"), ("red", "one")]]
    result = ngram_baseline(train, [[("blue", "one"), ("red", "two")]], TEXT, order=3)
    assert result.replies == (("two", "one"),)
    assert result.accuracy_of(lambda i, j, reply: (i, j, reply) == (0, 0, "two")) == 0.5


def test_a_reply_without_an_end_is_cut():
    result = ngram_baseline([[("x", "a" * 400)]], [[("x", "a")]], TEXT, order=2)
    assert 0 < len(TEXT.encode(result.replies[0][0])) <= 120


def test_more_dialogues_and_longer_ngrams_help_and_still_it_knows_little():
    seeds = range(7000, 7030)
    truth = [dialogue(seed) for seed in seeds]

    def perplexity(count, order):
        train = dialogue_turns(range(10_000, 10_000 + count))
        return ngram_baseline(train, dialogue_turns(seeds), TEXT, order)

    few, many, longer = perplexity(20, 3), perplexity(200, 3), perplexity(200, 4)
    assert few.perplexity > many.perplexity > longer.perplexity > 1.06
    right = longer.accuracy_of(lambda i, j, reply: is_right(reply, truth[i][j]))
    assert 0 < right < 0.3


@pytest.mark.parametrize(
    ("train", "test", "settings", "told"),
    [
        ([], [[("a", "c")]], {}, "no dialogue to count"),
        ([[("a", "c")]], [], {}, "no dialogue with a turn"),
        ([[("a", "c")]], [[("a", "c")]], {"order": 1}, "order 1"),
        ([[("a", "c")]], [[("a", "c")]], {"discount": 1.0}, "discount 1.0"),
    ],
)
def test_wrong_use_is_told(train, test, settings, told):
    with pytest.raises(ValueError, match=told):
        ngram_baseline(train, test, TEXT, **settings)


def test_a_missing_library_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk.lm", None)
    with pytest.raises(MissingExtraError, match=r'pip install "gato-gym\[language\]"'):
        ngram_baseline([[("a", "c")]], [[("a", "c")]], TEXT)

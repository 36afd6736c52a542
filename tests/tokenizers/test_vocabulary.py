"""The id ranges of DESIGN section 4: what may share ids and what may not."""

import pytest

from gato_gym.config import MODELS
from gato_gym.tokenizers.vocabulary import BINS, DISCRETE_VALUES, PAD, PATCH, Vocabulary


@pytest.mark.parametrize("size", [1024, 1025, 4096, 32_000])
def test_ranges_cover_the_table_once(size):
    vocabulary = Vocabulary(size)
    text = set(range(size))
    discrete = set(range(DISCRETE_VALUES))
    bins = set(range(vocabulary.continuous_start, vocabulary.continuous_start + BINS))
    separator = {vocabulary.separator}
    assert discrete <= text  # shared, as the paper says
    assert text.isdisjoint(bins)
    assert separator.isdisjoint(text | bins)
    assert text | bins | separator == set(range(vocabulary.size))


def test_paper_values():
    vocabulary = Vocabulary()
    assert vocabulary.continuous_start == 32_000
    assert vocabulary.separator == 33_024
    assert vocabulary.size == 33_025


def test_markers_are_not_ids():
    assert PATCH < 0 and PAD < 0 and PATCH != PAD


@pytest.mark.parametrize("size", [0, 256, 1023])
def test_too_few_text_ids_are_refused(size):
    with pytest.raises(ValueError, match=rf"{size} is below 1024"):
        Vocabulary(size)


@pytest.mark.parametrize("name", MODELS)
def test_every_preset_has_a_vocabulary(name):
    assert Vocabulary(MODELS[name].text_size).size > BINS + DISCRETE_VALUES

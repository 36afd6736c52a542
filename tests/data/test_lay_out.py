"""Rows of chosen cuts: the tokens say which episode and step they are of."""

import numpy as np
import pytest

from gato_gym.data.corpus import Corpus
from gato_gym.data.documents import Cut
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec

SPEC = TaskSpec(
    *("traced", "test", "test"),
    (ObservationSpec("where", "discrete", (2,)),),
    ActionSpec("discrete", 1, (9,)),
)
STEPS, TOKENS = (12, 3, 7), 4  # episode, step, separator, action


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    corpus = Corpus.create(tmp_path_factory.mktemp("laid") / "corpus")
    corpus.append_shard(
        Episode(
            task="traced",
            observations={"where": np.array([(number, step) for step in range(steps + 1)])},
            actions=np.zeros(steps, np.int64),
            rewards=np.zeros(steps),
            terminated=True,
            seed=number,
            expert="one",
        )
        for number, steps in enumerate(STEPS)
    )
    return WindowSource(corpus, Mixture(corpus), {"traced": SPEC}, 64, Vocabulary(1024))


def test_chosen_cuts_are_laid_out_as_they_are(source):
    for index, steps in enumerate(STEPS):
        assert source.token_ends(0, index).tolist() == [TOKENS * n for n in range(steps + 1)]
    planned = [[[Cut(0, 0, 5, 7)]], [[Cut(0, 1, 1, 2)], [Cut(0, 0, 1, 1), Cut(0, 2, 3, 2)]]]
    window = source.lay_out(planned, [10, 11], None, length=28)
    assert window.ids.shape == (2, 28) and window.rows.tolist() == [10, 11]
    found = window.ids.reshape(2, 7, TOKENS)[:, :, :2].tolist()
    assert found[0] == [[0, 5 + step] for step in range(7)]
    assert found[1][:5] == [[1, 1], [1, 2], [0, 1], [2, 3], [2, 4]]
    # A prompt is seen by what follows it, another document is not; what is left is padding.
    assert window.first_visible[0].tolist() == [0] * 28
    assert window.first_visible[1].tolist() == [0] * 8 + [8] * 12 + list(range(20, 28))
    assert window.padding == 8
    assert window.episodes[1] == (
        *("traced by one, seed 1", "traced by one, seed 0 (prompt)"),
        "traced by one, seed 2",
    )

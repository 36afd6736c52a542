"""Questions about a scene and their answers, balanced so that the question alone tells little.

Each form of question chooses what its answer shall be before it chooses what it asks about: as many
questions have "yes" for an answer as "no", as many "none" as each colour. Where the scene fixes the
answer, the more frequent ones are asked about less often.
"""

from __future__ import annotations

import numpy as np

from gato_gym.envs.language.question_forms import atari, blocks, grid
from gato_gym.envs.language.question_forms.build import Question
from gato_gym.envs.language.scene import Scene

_FORMS = {"blocks": blocks.FORMS, "atari": atari.FORMS, "grid": grid.FORMS}


def ask(scene: Scene, rng: np.random.Generator) -> Question:
    """A question about a scene, a function of the scene and the generator."""
    forms = list(_FORMS[scene.source])
    weights = np.array(list(_FORMS[scene.source].values()))
    shares = weights / weights.sum()
    while True:
        asked = forms[rng.choice(len(forms), p=shares)](scene, rng)
        if asked is not None:
            return asked

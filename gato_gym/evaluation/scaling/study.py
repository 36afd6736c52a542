"""The folder of a scaling study, see `studies.folder`.

STUDY/corpus                       the experts' episodes, unless a corpus was given
STUDY/train/SIZE/SEED/points/STEP  an agent: the network after so many steps
STUDY/train/SIZE/SEED/train.jsonl  its losses
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gato_gym.evaluation.scaling.budgets import ScalingBudget, changed_numbers, together
from gato_gym.evaluation.studies.folder import Stage, StudyFolder


class ScalingStudy(StudyFolder[ScalingBudget]):
    """A scaling study's folder; sizes and seeds may be added."""

    kind = "scaling"
    command = "gato-gym transfer scaling"

    @property
    def corpus(self) -> Path:
        """The folder of the episodes that all networks learn from."""
        return Path(self.budget.corpus) if self.budget.corpus else self.folder / "corpus"

    @property
    def stages(self) -> Mapping[str, Stage]:
        """Collect, train, play."""
        from gato_gym.evaluation.scaling.stages import STAGES

        return STAGES

    @staticmethod
    def read_numbers(told: Mapping[str, Any]) -> ScalingBudget:
        """Inverse of the budget's `to_json`."""
        return ScalingBudget.from_json(told)

    @staticmethod
    def changed(before: ScalingBudget, now: ScalingBudget) -> list[str]:
        """What makes another study of it, in words."""
        return changed_numbers(before, now)

    @staticmethod
    def together(before: ScalingBudget, now: ScalingBudget) -> ScalingBudget:
        """A budget with the sizes and seeds of both."""
        return together(before, now)

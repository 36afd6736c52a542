"""The folder of a transfer study, see `studies.folder`.

Episodes are in the corpora STUDY/pretraining and STUDY/held-out, agents in the folders
STUDY/pretrain/RUN/agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gato_gym.evaluation.studies.folder import Stage, StudyFolder
from gato_gym.evaluation.transfer.budgets import Budget, changed_numbers, together


class Study(StudyFolder[Budget]):
    """A transfer study's folder; targets, episodes and draws may be added."""

    kind = "transfer"
    command = "gato-gym transfer run"

    @property
    def stages(self) -> Mapping[str, Stage]:
        """Collect, pretrain, finetune."""
        from gato_gym.evaluation.transfer.stages import STAGES

        return STAGES

    @staticmethod
    def read_numbers(told: Mapping[str, Any]) -> Budget:
        """Inverse of the budget's `to_json`."""
        return Budget.from_json(told)

    @staticmethod
    def changed(before: Budget, now: Budget) -> list[str]:
        """What makes another study of it, in words."""
        return changed_numbers(before, now)

    @staticmethod
    def together(before: Budget, now: Budget) -> Budget:
        """A budget with the targets, episodes and draws of both."""
        return together(before, now)

"""The domains of Gato's control data (paper, Table 1), and the one of ours that stands for each.

DM Lab stands for first-person mazes; Sokoban, Procgen and Playroom have no maintained package.
"""

from __future__ import annotations

from typing import NamedTuple


class GatoDomain(NamedTuple):
    """`tasks` and `weight` as printed; the weight is the percentage of the training batches."""

    tasks: int
    weight: float
    ours: str | None


GATO_DOMAINS = {
    "DM Lab": GatoDomain(254, 9.35, "navigation"),
    "ALE Atari": GatoDomain(51, 9.5, "atari"),
    "ALE Atari Extended": GatoDomain(28, 10.0, "atari_extended"),
    "Sokoban": GatoDomain(1, 1.33, None),
    "BabyAI": GatoDomain(46, 9.06, "babyai"),
    "DM Control Suite": GatoDomain(30, 4.62, "dm_control"),
    "DM Control Suite Pixels": GatoDomain(28, 7.07, "dm_control_pixels"),
    "DM Control Suite Random Small": GatoDomain(26, 3.04, "dm_control_random_small"),
    "DM Control Suite Random Large": GatoDomain(26, 3.04, "dm_control_random_large"),
    "Meta-World": GatoDomain(45, 8.96, "meta_world"),
    "Procgen": GatoDomain(16, 5.34, None),
    # Two rows of the paper, 1.33 each.
    "RGB Stacking (simulator, real)": GatoDomain(2, 2.66, "manipulation"),
    "Modular RL": GatoDomain(38, 8.23, "mujoco"),
    "DM Manipulation Playground": GatoDomain(4, 1.68, "dm_control_manipulation"),
    "Playroom": GatoDomain(1, 1.33, None),
}

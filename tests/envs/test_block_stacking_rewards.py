"""Golden cases of the sparse and the five-stage reward (facts sheet 9.5)."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.envs.block_stacking.rewards import (
    Situation,
    closeness,
    shaped_reward,
    sparse_reward,
    stages,
)

BLUE = np.array([0.55, 0.0, 0.025])
FAR = Situation(
    pinch=np.array([0.45, 0.10, 0.20]),
    red=np.array([0.60, -0.05, 0.025]),
    blue=BLUE,
    closing=0.0,
    grasping=False,
    in_workspace=True,
    red_touches_blue=False,
    red_touches_table=True,
    red_touches_robot=False,
)
STACKED = replace(
    FAR,
    pinch=np.array([0.55, 0.0, 0.175]),
    red=np.array([0.55, 0.0, 0.075]),
    red_touches_blue=True,
    red_touches_table=False,
)


def held_at(height, xy=(0.60, -0.05)):
    position = np.array([*xy, height])
    return replace(
        FAR, pinch=position, red=position, closing=0.4, grasping=True,
        red_touches_table=False, red_touches_robot=True,
    )  # fmt: skip


def test_closeness_loses_95_percent_at_the_margin():
    assert closeness(0.02, 0.02, 0.15) == 1.0
    assert closeness(0.15, 0.02, 0.15) == pytest.approx(0.05)
    assert closeness(0.05, 0.02, 0.15) > closeness(0.10, 0.02, 0.15) > 0.05


def test_far_from_red_only_reaching_pays_and_little():
    values = stages(FAR)
    assert values[1:] == (0, 0, 0, 0)
    assert shaped_reward(FAR) < 0.01


def test_reach_without_grasp_is_half_of_stage_one():
    reached = replace(FAR, pinch=FAR.red + np.array([0.0, 0.0, 0.01]))
    assert stages(reached)[0] == pytest.approx(0.5)
    assert shaped_reward(replace(reached, closing=0.6)) == pytest.approx((0.5 + 0.15) / 5)
    assert shaped_reward(held_at(0.025)) == pytest.approx(1.0 / 5)


def test_lift_ramps_from_5_5_to_10_cm():
    assert stages(held_at(0.055))[1] == pytest.approx(0.0)
    assert shaped_reward(held_at(0.0775)) == pytest.approx((1 + 0.5) / 5)
    assert stages(held_at(0.10))[1] == pytest.approx(1.0)
    assert stages(replace(held_at(0.10), in_workspace=False))[1] == 0.0
    assert stages(replace(held_at(0.10), grasping=False))[1] == 0.0


def test_hover_counts_from_ten_centimetres_up():
    assert stages(held_at(0.099, xy=BLUE[:2]))[2] == 0.0
    over_blue = shaped_reward(held_at(0.11, xy=BLUE[:2]))
    aside = shaped_reward(held_at(0.11, xy=BLUE[:2] + 0.05))
    assert 2 / 5 < aside < over_blue < 3 / 5


def test_stack_needs_open_fingers_and_leaving_completes_it():
    at_red = replace(STACKED, pinch=STACKED.red)
    assert shaped_reward(at_red) == pytest.approx(4 / 5)
    assert shaped_reward(replace(at_red, grasping=True)) < 2 / 5
    assert shaped_reward(STACKED) == pytest.approx(1.0)
    assert stages(replace(STACKED, pinch=STACKED.red + np.array([0, 0, 0.15])))[4] == pytest.approx(
        0.05
    )


@pytest.mark.parametrize(
    ("shift", "stacked"),
    [((0.029, 0, 0), 1.0), ((0.031, 0, 0), 0.0), ((0, 0, 0.009), 1.0), ((0, 0, 0.011), 0.0)],
)
def test_stack_tolerances(shift, stacked):
    assert stages(replace(STACKED, red=STACKED.red + shift))[3] == stacked


def test_sparse_reward_wants_red_on_blue_and_on_nothing_else():
    assert sparse_reward(STACKED) == 1.0
    assert sparse_reward(replace(STACKED, red_touches_blue=False)) == 0.0
    assert sparse_reward(replace(STACKED, red_touches_robot=True)) == 0.0
    assert sparse_reward(replace(STACKED, red_touches_table=True)) == 0.0
    assert sparse_reward(replace(STACKED, red=BLUE + np.array([0.049, 0, 0.021]))) == 1.0
    assert sparse_reward(replace(STACKED, red=BLUE + np.array([0.051, 0, 0.05]))) == 0.0
    assert sparse_reward(replace(STACKED, red=BLUE + np.array([0.0, 0, 0.019]))) == 0.0

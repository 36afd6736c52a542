"""Golden cases of success and of the rewards in stages (facts sheet 9.5)."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.envs.block_stacking.rewards import (
    SHAPED,
    SUCCESS,
    closeness,
    on_top,
    out_of_question,
    stages,
)
from gato_gym.envs.block_stacking.situation import Situation


def cubes(pinch=(0.45, 0.10, 0.20), closing=0.0, grasped="", touching=(), **centres):
    """A situation of cubes of 5 cm at those centres."""
    positions = {colour: np.array(centre) for colour, centre in centres.items()}
    return Situation(
        pinch=np.array(pinch),
        positions=positions,
        bottoms={colour: p[2] - 0.025 for colour, p in positions.items()},
        tops={colour: p[2] + 0.025 for colour, p in positions.items()},
        closing=closing,
        grasped=grasped,
        touching=frozenset(tuple(sorted(pair)) for pair in touching),
    )


BLUE = np.array([0.55, 0.0, 0.025])
FAR = cubes(red=(0.60, -0.05, 0.025), blue=BLUE, touching=[("red", "table"), ("blue", "table")])
STACKED = cubes(
    pinch=(0.55, 0.0, 0.175),
    red=(0.55, 0.0, 0.075),
    blue=BLUE,
    touching=[("red", "blue"), ("blue", "table")],
)


def moved(situation, shift):
    """With red (and what is known of its height) shifted."""
    centres = {**situation.positions, "red": situation.positions["red"] + shift}
    return cubes(
        situation.pinch, situation.closing, situation.grasped, situation.touching, **centres
    )


def stack_stages(situation):
    return stages(situation, "red", on_top(situation, "red", "blue"))


def held_at(height, xy=(0.60, -0.05), **changes):
    position = (*xy, height)
    state = {"closing": 0.4, "grasped": "red", "touching": [("red", "robot")], **changes}
    return cubes(position, red=position, blue=BLUE, **state)


def test_closeness_loses_95_percent_at_the_margin():
    assert closeness(0.02, 0.02, 0.15) == 1.0
    assert closeness(0.15, 0.02, 0.15) == pytest.approx(0.05)
    assert closeness(0.05, 0.02, 0.15) > closeness(0.10, 0.02, 0.15) > 0.05


def test_far_from_red_only_reaching_pays_and_little():
    assert stack_stages(FAR)[1:] == (0, 0, 0, 0)
    assert SHAPED["stack"](FAR) < 0.01


def test_reach_without_grasp_is_half_of_stage_one():
    reached = replace(FAR, pinch=FAR.positions["red"] + np.array([0.0, 0.0, 0.01]))
    assert stack_stages(reached)[0] == pytest.approx(0.5)
    assert SHAPED["stack"](replace(reached, closing=0.6)) == pytest.approx((0.5 + 0.15) / 5)
    assert SHAPED["stack"](held_at(0.025)) == pytest.approx(1.0 / 5)
    assert SHAPED["lift"](held_at(0.025)) == pytest.approx(1.0 / 2)


def test_lift_ramps_from_5_5_to_10_cm():
    assert stack_stages(held_at(0.055))[1] == pytest.approx(0.0)
    assert SHAPED["stack"](held_at(0.0775)) == pytest.approx((1 + 0.5) / 5)
    assert stack_stages(held_at(0.10))[1] == pytest.approx(1.0)
    assert stack_stages(held_at(0.10, xy=(0.75, 0.0)))[1] == 0.0  # outside the workspace
    assert stack_stages(held_at(0.10, grasped=""))[1] == 0.0


def test_hover_counts_from_ten_centimetres_up():
    assert stack_stages(held_at(0.099, xy=BLUE[:2]))[2] == 0.0
    over_blue = SHAPED["stack"](held_at(0.11, xy=BLUE[:2]))
    aside = SHAPED["stack"](held_at(0.11, xy=BLUE[:2] + 0.05))
    assert 2 / 5 < aside < over_blue < 3 / 5


def test_stack_needs_open_fingers_and_leaving_completes_it():
    at_red = replace(STACKED, pinch=STACKED.positions["red"])
    assert SHAPED["stack"](at_red) == pytest.approx(4 / 5)
    assert SHAPED["stack"](replace(at_red, grasped="red")) < 2 / 5
    assert SHAPED["stack"](STACKED) == pytest.approx(1.0)
    high = replace(STACKED, pinch=STACKED.positions["red"] + np.array([0, 0, 0.15]))
    assert stack_stages(high)[4] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("shift", "is_stacked"),
    [((0.029, 0, 0), 1.0), ((0.031, 0, 0), 0.0), ((0, 0, 0.009), 1.0), ((0, 0, 0.011), 0.0)],
)
def test_stack_tolerances(shift, is_stacked):
    assert stack_stages(moved(STACKED, shift))[3] == is_stacked


def test_sparse_reward_wants_red_on_blue_and_on_nothing_else():
    success = SUCCESS["stack"]
    rest = [("red", "blue")]
    assert success(STACKED)
    assert not success(replace(STACKED, touching=frozenset()))
    assert not success(replace(STACKED, touching=frozenset([("blue", "red"), ("red", "robot")])))
    assert not success(replace(STACKED, touching=frozenset([("blue", "red"), ("red", "table")])))
    assert success(cubes(red=BLUE + np.array([0.049, 0, 0.021]), blue=BLUE, touching=rest))
    assert not success(cubes(red=BLUE + np.array([0.051, 0, 0.05]), blue=BLUE, touching=rest))
    assert not success(cubes(red=BLUE + np.array([0.0, 0, 0.019]), blue=BLUE, touching=rest))


def test_success_of_the_other_goals():
    assert not SUCCESS["reach"](FAR)
    assert SUCCESS["reach"](replace(FAR, pinch=FAR.positions["red"] + np.array([0, 0, 0.019])))
    assert not SUCCESS["reach"](replace(FAR, pinch=FAR.positions["red"] + np.array([0, 0, 0.021])))
    assert SUCCESS["lift"](held_at(0.076))
    assert not SUCCESS["lift"](held_at(0.074))
    assert not SUCCESS["lift"](held_at(0.076, touching=[]))
    assert not SUCCESS["lift"](held_at(0.076, touching=[("red", "robot"), ("red", "blue")]))


TOWER = {
    "green": (0.5, 0.0, 0.025),
    "blue": (0.5, 0.0, 0.075),
    "red": (0.5, 0.0, 0.125),
}
TOWER_TOUCH = (("red", "blue"), ("blue", "green"), ("green", "table"))
ARCH = {"green": (0.5, 0.03, 0.025), "blue": (0.5, -0.03, 0.025), "red": (0.5, 0.0, 0.075)}
ARCH_TOUCH = (("red", "blue"), ("red", "green"), ("green", "table"), ("blue", "table"))


@pytest.mark.parametrize(
    ("goal", "centres", "touching"),
    [("stack_three", TOWER, TOWER_TOUCH), ("pyramid", ARCH, ARCH_TOUCH)],
)
def test_every_relation_of_three_cubes_counts(goal, centres, touching):
    done = cubes(pinch=(0.5, 0, 0.225), touching=touching, **centres)
    assert SUCCESS[goal](done)
    for missing in touching[:3] if goal == "pyramid" else touching[:2]:
        rest = [pair for pair in touching if pair != missing]
        assert not SUCCESS[goal](cubes(touching=rest, **centres))
    for held in ("red", "blue", "green"):
        assert not SUCCESS[goal](cubes(touching=[*touching, (held, "robot")], **centres))


def test_shaped_rewards_of_three_cubes_pay_the_first_half_first():
    apart = {"green": (0.5, 0.1, 0.025), "blue": (0.5, -0.1, 0.025), "red": (0.6, 0.0, 0.025)}
    ground = tuple((colour, "table") for colour in apart)
    at_blue = cubes(pinch=apart["blue"], touching=ground, **apart)
    far = cubes(pinch=(0.4, 0.1, 0.2), touching=ground, **apart)
    for goal, centres, touching in (
        ("stack_three", TOWER, TOWER_TOUCH),
        ("pyramid", ARCH, ARCH_TOUCH),
    ):
        half = {**centres, "red": apart["red"]}
        rest = [pair for pair in touching if "red" not in pair]
        values = [
            SHAPED[goal](far),
            SHAPED[goal](at_blue),
            SHAPED[goal](cubes(pinch=(0.4, 0.1, 0.2), touching=rest, **half)),
            SHAPED[goal](cubes(pinch=apart["red"], touching=rest, **half)),
            SHAPED[goal](
                cubes(
                    pinch=np.add(centres["red"], (0, 0, 0.1)),
                    touching=touching,
                    **centres,
                )
            ),
        ]
        assert values == sorted(values)
        assert len(set(values)) == 5
        assert values[0] >= 0.0
        assert values[-1] == pytest.approx(1.0)


def test_what_heights_rule_out_is_never_a_success():
    for goal, situation in (("stack", STACKED), ("lift", held_at(0.2))):
        red, blue = (situation.positions[colour][2] for colour in ("red", "blue"))
        assert not out_of_question(goal, situation.pinch[2], red, blue)
    assert out_of_question("stack", 0.2, upper=0.044, lower=0.025)
    assert out_of_question("reach", 0.05, upper=0.025, lower=0.025)
    assert out_of_question("lift", 0.05, upper=0.045, lower=0.025)

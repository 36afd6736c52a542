"""The parts of the scripted stacker: geometry, grasps, places and the order of the jobs."""

import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.agents.experts.stacking.geometry import Body, Solid, about_z, inside
from gato_gym.agents.experts.stacking.grasp import WIDEST, Reach, in_the_way, plan_grasps
from gato_gym.agents.experts.stacking.place import best_spot, free_spot, plan_placement, turns_for
from gato_gym.agents.experts.stacking.script import Job, next_job
from gato_gym.agents.experts.stacking.view import View
from gato_gym.envs.block_stacking.shapes import SHAPES, TEST_SHAPES

REACH = Reach(np.array([0.40, -0.15, 0.025]), np.array([0.70, 0.15, 0.235]))
TABLE = ("red", "table"), ("blue", "table"), ("green", "table")


def solid(name):
    return Solid.of(SHAPES[name].vertices, SHAPES[name].faces())


def resting(name, face, spot=(0.55, 0.0), yaw=0.0):
    """A shape that lies on one of its faces."""
    shape = solid(name)
    down = shape.normals[face]
    axis = np.cross(down, [0.0, 0.0, -1.0])
    if np.linalg.norm(axis) < 1e-9:
        rotation = np.diag([1.0, -down[2], -down[2]])
    else:
        k = np.array(
            [[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]], float
        )
        rotation = np.eye(3) + k + k @ k / (1.0 - down[2])
    rotation = about_z(yaw) @ rotation
    low = (shape.vertices @ rotation[2]).min()
    return Body(shape, rotation, np.array([*spot, -low]))


def raised(body, height):
    return Body(body.solid, body.rotation, np.add(body.position, (0.0, 0.0, height)))


def lies_still(body):
    corners, _ = body.lower_face()
    return inside(corners[:, :2], body.centre[:2]) > 0.001


def cube(spot=(0.55, 0.0), yaw=0.0, level=0):
    return raised(resting("s0", 0, spot, yaw), 0.05 * level)


def view(bodies, touching, held=""):
    pairs = frozenset((min(pair), max(pair)) for pair in touching)
    return View(np.array([0.55, 0.0, 0.2]), 0.0, 1.0, held, bodies, pairs)


def test_a_cube_is_as_high_and_wide_as_it_is():
    body = cube(yaw=0.3)
    assert (body.low, body.high) == pytest.approx((0.0, 0.05))
    assert body.radius == pytest.approx(0.05 / np.sqrt(2))
    tops = body.tops(np.array([[0.55, 0.0], [0.57, 0.0], [0.60, 0.0]]))
    np.testing.assert_allclose(tops, [0.05, 0.05, -np.inf])
    corners, slope = body.upper_face()
    assert slope == pytest.approx(0.0, abs=1e-6)
    assert inside(corners[:, :2], body.centre[:2]) == pytest.approx(0.025)
    assert inside(corners[:, :2], np.add(body.centre[:2], (0.1, 0.0))) < 0.0


def test_the_top_of_a_trapezoid_on_its_side_slopes():
    body = resting("b3", 2)
    assert np.degrees(body.upper_face()[1]) == pytest.approx(25.4, abs=0.5)
    heights = body.tops(body.centre[:2] + 0.004 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]))
    assert np.ptp(heights) > 0.002


def test_lines_across_a_turned_cube_meet_its_sides_squarely():
    yaw = 0.4
    closing = np.array([[-np.sin(yaw), np.cos(yaw), 0.0]])
    along = np.array([[np.cos(yaw), np.sin(yaw), 0.0]])
    grid = np.array([[0.0, 0.0], [0.02, 0.01], [0.03, 0.0]])
    exits, leans = cube(yaw=yaw).across(np.array([[0.55, 0.0, 0.025]]), closing, along, grid)
    np.testing.assert_allclose(exits[0, 0, :2], 0.025)
    np.testing.assert_allclose(exits[1, 0, :2], -0.025)
    assert np.isinf(exits[:, 0, 2]).all()  # past its end
    np.testing.assert_allclose(leans[:, 0, :2], 0.0, atol=1e-6)


@pytest.mark.parametrize("name", TEST_SHAPES)
def test_every_test_shape_can_be_gripped_however_it_lies(name):
    for face in range(len(SHAPES[name].faces())):
        body = resting(name, face, yaw=0.7)
        if not lies_still(body):
            continue
        grasp, *_ = plan_grasps(body, [], 0.0, REACH)
        assert grasp.cost < 0.9, face
        point, yaw = grasp.in_world(body, 0.0)
        assert abs(yaw) <= np.pi / 2
        assert (point >= REACH.low - 0.002).all()
        assert (point <= REACH.high).all()
        closing = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
        across = (body.vertices - point) @ closing
        pinched = np.abs((body.vertices - point) @ np.cross(closing, [0, 0, 1.0])) < 0.011
        assert not pinched.any() or np.ptp(across[pinched]) < WIDEST


@pytest.mark.parametrize("angle", [0.0, np.pi / 2])
def test_fingers_keep_clear_of_a_neighbour(angle):
    """Of a cube's two pairs of sides, the one that the neighbour does not stand against."""
    side = np.array([np.cos(angle), np.sin(angle)])
    red, blue = cube(), cube((0.55, 0.0) + 0.06 * side)
    grasp = plan_grasps(red, [blue], 0.0, REACH)[0]
    point, yaw = grasp.in_world(red, 0.0)
    closing = np.array([-np.sin(yaw), np.cos(yaw)])
    assert abs(closing @ side) < 0.1
    along = np.array([[np.cos(yaw), np.sin(yaw), 0.0]])
    assert in_the_way(point[None], along, np.array([[*closing, 0.0]]), [blue])[0] == 0.0


def test_a_sheared_support_is_loaded_where_neither_body_tips():
    """Above the middle of its top the pair would stand on the edge of the base."""
    support, held = resting("b5", 0), cube((0.45, 0.0), level=2)
    spot = best_spot(support, held)
    top, base = support.upper_face()[0][:, :2], support.lower_face()[0][:, :2]
    assert inside(top, spot) > 0.006
    assert inside(base, (spot + support.centre[:2]) / 2) > 0.003
    assert np.linalg.norm(spot - support.centre[:2]) < 0.045
    np.testing.assert_allclose(best_spot(cube(), held), [0.55, 0.0], atol=1e-9)


def test_a_slope_is_loaded_uphill_and_edge_to_edge():
    support, held = resting("b3", 2, yaw=0.5), cube((0.45, 0.0), level=2)
    normal = support.normals[np.argmax(support.normals[:, 2])]
    downhill = normal[:2] / np.linalg.norm(normal[:2])
    assert (best_spot(support, held) - support.centre[:2]) @ downhill < -0.004
    turns, costs = turns_for(support, held)
    assert len(turns) == len(costs) > 0
    for turn in turns:
        edge = abs(about_z(turn)[:2, 0] @ downhill)
        assert min(edge, 1.0 - edge) < 1e-6


def test_a_long_body_is_turned_away_from_what_stands_beside_the_support():
    held = raised(resting("r6", 2, (0.45, 0.0)), 0.10)
    arms = (held.vertices - held.centre)[:, :2]
    way = arms[np.argmax(np.linalg.norm(arms, axis=1))]
    tall = resting("b6", 0, np.array([0.55, 0.0]) + 0.065 * way / np.linalg.norm(way))
    pinch = np.add(held.centre, (0.0, 0.0, 0.01))
    place = plan_placement(held, np.array([0.55, 0.0]), 0.05, pinch, 0.0, [tall], REACH)
    assert abs(place.yaw) > 0.4
    alone = plan_placement(held, np.array([0.55, 0.0]), 0.05, pinch, 0.0, [], REACH)
    assert alone.yaw == 0.0


def test_a_free_spot_is_within_reach_and_away_from_everything():
    others = [cube((0.50, 0.0)), cube((0.58, 0.05))]
    spot = free_spot(cube((0.58, 0.05), level=1), others, REACH, np.array([0.5, 0.0]))
    assert (spot > REACH.low[:2]).all()
    assert (spot < REACH.high[:2]).all()
    assert min(np.linalg.norm(spot - body.centre[:2]) for body in others) > 0.08


APART = {"red": cube((0.5, 0.0)), "blue": cube((0.6, 0.0)), "green": cube((0.5, 0.1))}
ON_BLUE = {**APART, "red": cube((0.6, 0.0), level=1)}
LOADED = {**APART, "green": cube((0.6, 0.0), level=1)}
BLUE_UP = {**APART, "blue": cube((0.5, 0.1), level=1)}
SIDE_BY_SIDE = {**APART, "blue": cube((0.562, 0.1))}
RED_ON_BLUE = (("blue", "red"), *TABLE[1:])
GREEN_ON_BLUE = (("blue", "green"), *TABLE[:2])
BLUE_ON_GREEN = (("blue", "green"), TABLE[0], TABLE[2])


@pytest.mark.parametrize(
    ("goal", "bodies", "touching", "held", "job"),
    [
        ("reach", APART, TABLE, "", Job("red", "touch")),
        ("lift", APART, TABLE, "", Job("red", "up")),
        ("stack", APART, TABLE, "", Job("red", "on", ("blue",))),
        ("stack", ON_BLUE, RED_ON_BLUE, "", None),
        ("stack", LOADED, GREEN_ON_BLUE, "", Job("green", "aside")),
        ("stack", LOADED, GREEN_ON_BLUE, "red", Job("red", "aside")),
        ("lift", BLUE_UP, BLUE_ON_GREEN, "", Job("red", "up")),
        ("stack_three", APART, TABLE, "", Job("blue", "on", ("green",))),
        ("stack_three", ON_BLUE, RED_ON_BLUE, "", Job("red", "aside")),
        ("stack_three", BLUE_UP, BLUE_ON_GREEN, "", Job("red", "on", ("blue",))),
        ("stack_three", BLUE_UP, BLUE_ON_GREEN, "blue", Job("blue", "on", ("green",))),
        ("pyramid", APART, TABLE, "", Job("blue", "beside", ("green",))),
        ("pyramid", APART, TABLE, "red", Job("red", "aside")),
        ("pyramid", SIDE_BY_SIDE, TABLE, "", Job("red", "between", ("blue", "green"))),
    ],
)
def test_the_first_undone_job(goal, bodies, touching, held, job):
    # A body that is still held is lowered again until it has been let go.
    if goal == "stack_three" and held == "blue":
        bodies = {**bodies, "blue": cube((0.5, 0.1), level=1.1)}
        touching = TABLE[0], TABLE[2]
    assert next_job(goal, view(bodies, touching, held)) == job


def test_an_instructed_pair_takes_the_place_of_red_on_blue():
    pair = ("green", "red")
    assert next_job("stack", view(APART, TABLE), *pair) == Job("green", "on", ("red",))
    # Blue stands on the block to be moved, then on the one that is to carry it.
    for carrier in pair:
        spot = APART[carrier].centre[:2]
        bodies = {**APART, "blue": cube(spot, level=1)}
        touching = (("blue", carrier), *(t for t in TABLE if t[0] != "blue"))
        assert next_job("stack", view(bodies, touching), *pair) == Job("blue", "aside")
    done = {**APART, "green": cube(APART["red"].centre[:2], level=1)}
    touching = (("green", "red"), *TABLE[:2])
    assert next_job("stack", view(done, touching), *pair) is None
    assert next_job("stack", view(done, touching), "red", "green") == Job("green", "aside")

"""The parametric objects: analytic solids, the published test table, the training set."""

import numpy as np
import pytest

pytest.importorskip("mujoco")

from gato_gym.envs.block_stacking.arm import APERTURE
from gato_gym.envs.block_stacking.scene import build_model
from gato_gym.envs.block_stacking.shapes import (
    MASS,
    SHAPES,
    TEST_SHAPES,
    TRAINING_SHAPES,
    Parameters,
    Shape,
)

TABLE = """
s0 4 0 0 50 50 50
r2 10 0 0 45 45 50
r3 4 75 0 41 49 71
r5 4 0 42 50 50 50
r6 4 0 0 29 29 150
g2 6 0 0 46 46 50
g3 4 25 0 51 51 60
g5 4 0 20 50 50 50
g6 4 0 0 40 56 80
b2 8 0 0 45 45 50
b3 4 48 0 46 49 63
b5 4 0 31 50 50 50
b6 4 0 0 32 48 96
"""


def polyhedron(vertices, faces):
    """Volume and centre of mass by the divergence theorem, without using how it was made."""
    volume, moment = 0.0, np.zeros(3)
    for face in faces:
        for i in range(1, len(face) - 1):
            corners = vertices[[face[0], face[i], face[i + 1]]]
            part = np.linalg.det(corners) / 6
            volume += part
            moment += part * corners.sum(axis=0) / 4
    return volume, moment / volume


def test_the_13_test_objects_are_those_of_the_table():
    rows = {row.split()[0]: row.split()[1:] for row in TABLE.split("\n") if row}
    assert set(TEST_SHAPES) == set(rows)
    for name, (sds, shr, shear, *sizes) in rows.items():
        expected = Parameters(int(sds), float(shr), float(shear), *map(float, sizes))
        assert TEST_SHAPES[name].parameters == expected


@pytest.mark.parametrize("name", SHAPES)
def test_solids_are_closed_convex_and_centred(name):
    shape = SHAPES[name]
    volume, centre = polyhedron(shape.vertices, shape.faces())
    assert volume == pytest.approx(shape.volume)
    np.testing.assert_allclose(centre, 0.0, atol=1e-12)
    for face in shape.faces():
        a, b, c = shape.vertices[face[:3]]
        normal = np.cross(b - a, c - b)
        normal /= np.linalg.norm(normal)
        assert (shape.vertices - a) @ normal == pytest.approx(
            np.minimum((shape.vertices - a) @ normal, 0.0), abs=1e-9
        )
        assert np.abs((shape.vertices[face] - a) @ normal).max() < 1e-9  # flat


def test_volumes_and_corners_against_formulas():
    cube = TEST_SHAPES["s0"]
    assert cube.is_box
    assert sorted(map(tuple, np.round(np.abs(cube.vertices), 9))) == [(0.025,) * 3] * 8
    # A prism over a regular polygon whose opposite flats are 46 mm apart.
    hexagon = TEST_SHAPES["g2"]
    assert hexagon.volume == pytest.approx(0.05 * 6 * 0.023**2 * np.tan(np.pi / 6))
    assert np.ptp(hexagon.vertices[:, 0]) == pytest.approx(0.046)
    # A trapezoid with sides 41 mm and 41 * 0.25 mm.
    trapezoid = TEST_SHAPES["r3"]
    assert trapezoid.volume == pytest.approx(0.041 * (1 + 0.25) / 2 * 0.049 * 0.071)
    low = trapezoid.vertices[trapezoid.vertices[:, 1] < 0]
    high = trapezoid.vertices[trapezoid.vertices[:, 1] > 0]
    assert np.ptp(low[:, 0]) == pytest.approx(0.041)
    assert np.ptp(high[:, 0]) == pytest.approx(0.25 * 0.041)
    # Shear keeps the volume and moves the top by height * tan.
    sheared = TEST_SHAPES["r5"]
    assert sheared.volume == pytest.approx(0.05**3)
    bottom, top = sheared.vertices[:4], sheared.vertices[4:]
    np.testing.assert_allclose(
        top - bottom, np.tile([0, 0.05 * np.tan(np.radians(42)), 0.05], (4, 1))
    )
    assert sum(TEST_SHAPES[n].is_box for n in TEST_SHAPES) == 4


def test_103_distinct_training_objects_fit_between_the_fingers():
    assert len(TRAINING_SHAPES) == 103
    assert not set(TRAINING_SHAPES) & set(TEST_SHAPES)
    # Distinct as solids, not only in how they are written: by the distances of their corners.
    solids = set()
    for shape in SHAPES.values():
        gaps = np.linalg.norm(shape.vertices[:, None] - shape.vertices, axis=-1)
        solids.add(tuple(np.round(np.sort(gaps.ravel()), 5)))
        widths = shape.grasp_widths()
        assert len(widths) >= 4
        assert min(widths) > 0.02
        assert max(widths) < APERTURE - 0.005
        assert np.abs(shape.scaled).max() <= 2.5
    assert len(solids) == 103 + 13


def test_every_pair_of_axes_is_mixed():
    pairs = {name.split("_")[1] for name in TRAINING_SHAPES}
    assert pairs == set(["23", "25", "26", "35", "36", "37", "38", "56", "57", "58", "67"])


def test_a_plate_too_wide_to_grasp_is_seen_as_such():
    plate = Shape("plate", Parameters(scx=20.0, scy=90.0, scz=95.0))
    assert max(plate.grasp_widths()) == pytest.approx(0.09)


@pytest.mark.parametrize("name", ["s0", "r3", "r5", "b2", "train_23_4"])
def test_compiled_bodies_have_the_shapes_mass_and_centre(name):
    shape = SHAPES[name]
    model = build_model({"red": shape, "blue": SHAPES["s0"]}, basket=True)
    body = model.body("red")
    assert body.mass[0] == pytest.approx(MASS)
    np.testing.assert_allclose(body.ipos, 0.0, atol=1e-6)
    # The trace of the inertia is twice the polar moment, an integral over tetrahedra.
    moment = 0.0
    for face in shape.faces():
        for i in range(1, len(face) - 1):
            corners = shape.vertices[[face[0], face[i], face[i + 1]]]
            part = np.linalg.det(corners) / 6
            moment += part * ((corners**2).sum() + (corners.sum(axis=0) ** 2).sum()) / 20
    assert body.inertia.sum() == pytest.approx(2 * MASS / shape.volume * moment, rel=1e-4)

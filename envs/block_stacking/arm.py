"""The robot: a seven-joint arm on a short pedestal with a parallel two-finger gripper.

Link lengths, joint limits and torque limits are those published for the Franka Panda; the gripper
has the 85 mm aperture and the closing speed of the Robotiq 2F-85. At zero joint angles the arm
points straight up and every link frame is parallel to the world, which keeps the axes readable.
"""

from __future__ import annotations

from typing import Any

from gato_gym.envs.block_stacking.primitives import (
    DARK,
    GRIPPER,
    ORANGE,
    STEEL,
    WHITE,
    add_box,
    add_round,
)
from gato_gym.envs.rendering.physics import mujoco

APERTURE = 0.085  # m between the open pads
PAD_HALF = (0.011, 0.005, 0.012)  # m; the pads are level with the pinch point, their faces along y
FINGER_DEPTH = 0.019  # m from a pad's face to the finger's back
PALM_CLEARANCE = 0.057  # m from the pinch point up to the palm
ARM_JOINTS = tuple(f"joint{i}" for i in range(1, 8))
HOME = (0.0, 0.1, 0.0, -2.0, 0.0, 2.1, 0.0)
POSITION_GAIN = 2000.0
VELOCITY_GAIN = 160.0

# name, position in the parent, axis, range [rad], torque limit [Nm], mass [kg], centre of mass.
_LINKS = (
    ("1", (0, 0, 0.333), (0, 0, 1), (-2.90, 2.90), 87, 4.0, (0, 0, -0.07)),
    ("2", (0, 0, 0), (0, 1, 0), (-1.76, 1.76), 87, 3.5, (0, 0, 0.08)),
    ("3", (0, 0, 0.316), (0, 0, 1), (-2.90, 2.90), 87, 3.2, (0.03, 0, -0.05)),
    ("4", (0.0825, 0, 0), (0, -1, 0), (-3.07, -0.07), 87, 3.0, (-0.04, 0, 0.06)),
    ("5", (-0.0825, 0, 0.384), (0, 0, 1), (-2.90, 2.90), 12, 2.5, (0, 0, -0.12)),
    ("6", (0, 0, 0), (0, -1, 0), (-0.02, 3.75), 12, 1.5, (0.05, 0, 0)),
    ("7", (0.088, 0, 0), (0, 0, -1), (-2.90, 2.90), 12, 0.7, (0, 0, -0.06)),
)

# Per link: (type, from, to, radius, colour). Drawn only: inside the workspace box none of these can
# reach the table or a cube. What can (wrist, hand, fingers) is given collision geoms below.
_SHELLS: dict[str, tuple[tuple[Any, ...], ...]] = {
    "1": (
        ("cylinder", (0, 0, -0.20), (0, 0, -0.07), 0.062, WHITE),
        ("cylinder", (0, 0, -0.215), (0, 0, -0.198), 0.066, ORANGE),
        ("capsule", (0, -0.055, 0), (0, 0.055, 0), 0.062, WHITE),
        ("cylinder", (0, -0.122, 0), (0, 0.122, 0), 0.048, DARK),
        ("capsule", (0, 0, -0.09), (0, 0, 0), 0.060, WHITE),
    ),
    "2": (
        ("capsule", (0, 0, 0.02), (0, 0, 0.19), 0.058, WHITE),
        ("cylinder", (0, 0, 0.190), (0, 0, 0.206), 0.062, ORANGE),
    ),
    "3": (
        ("capsule", (0, 0, -0.10), (0.02, 0, -0.02), 0.057, WHITE),
        ("capsule", (0.02, 0, -0.02), (0.0825, 0, 0), 0.055, WHITE),
        ("cylinder", (0.0825, -0.078, 0), (0.0825, 0.078, 0), 0.050, DARK),
        ("cylinder", (0.0825, -0.062, 0), (0.0825, 0.062, 0), 0.060, WHITE),
    ),
    "4": (
        ("capsule", (0, 0, 0), (-0.0825, 0, 0.085), 0.050, WHITE),
        ("capsule", (-0.0825, 0, 0.085), (-0.0825, 0, 0.15), 0.054, WHITE),
        ("cylinder", (-0.0825, 0, 0.170), (-0.0825, 0, 0.186), 0.059, ORANGE),
    ),
    "5": (
        ("capsule", (0, 0, -0.18), (0, 0, -0.05), 0.050, WHITE),
        ("capsule", (0, -0.03, 0), (0, 0.03, 0), 0.052, WHITE),
        ("cylinder", (0, -0.074, 0), (0, 0.074, 0), 0.043, DARK),
    ),
    "6": (
        ("capsule", (0.01, 0, 0), (0.088, 0, 0), 0.045, WHITE),
        ("cylinder", (0.088, 0, -0.038), (0.088, 0, 0.052), 0.050, WHITE),
        ("cylinder", (0.088, 0, 0.052), (0.088, 0, 0.060), 0.040, DARK),
    ),
    "7": (
        ("cylinder", (0, 0, -0.090), (0, 0, -0.040), 0.044, DARK),
        ("cylinder", (0, 0, -0.107), (0, 0, -0.090), 0.047, ORANGE),
    ),
}


def add_arm(spec: Any) -> None:
    """Adds the arm at the origin, its actuators and its gripper."""
    base = spec.worldbody.add_body(name="base")
    add_box(base, (0, 0, 0.012), (0.115, 0.105, 0.012), DARK)
    pedestal: tuple[tuple[Any, ...], ...] = (
        ((0, 0, 0.02), (0, 0, 0.120), 0.074, WHITE),
        ((0, 0, 0.118), (0, 0, 0.134), 0.069, DARK),
        ((-0.04, 0, 0.05), (-0.085, 0, 0.05), 0.040, DARK),
    )
    for start, end, radius, colour in pedestal:
        add_round(base, "cylinder", start, end, radius, colour)
    parent = base
    for name, pos, axis, limits, torque, mass, com in _LINKS:
        link = parent.add_body(name=f"link{name}", pos=pos, gravcomp=1.0)
        link.mass, link.ipos, link.explicitinertial = mass, com, True
        link.inertia = [0.008 * mass, 0.008 * mass, 0.004 * mass]
        link.add_joint(
            name=f"joint{name}",
            axis=axis,
            range=limits,
            limited=True,
            armature=0.1,
            damping=[1.0, 0, 0],
        )
        for kind, start, end, radius, colour in _SHELLS[name]:
            add_round(link, kind, start, end, radius, colour)
        actuator = spec.add_actuator(
            name=f"joint{name}", target=f"joint{name}", trntype=mujoco.mjtTrn.mjTRN_JOINT
        )
        # A servo whose target moves at the commanded velocity: as the original's joints do.
        actuator.set_to_intvelocity(kp=POSITION_GAIN, kv=VELOCITY_GAIN)
        actuator.actlimited, actuator.actrange = True, limits
        actuator.forcelimited, actuator.forcerange = True, (-torque, torque)
        parent = link
    _add_gripper(spec, parent)


def _add_gripper(spec: Any, wrist: Any) -> None:
    hand = wrist.add_body(name="hand", pos=(0, 0, -0.107), gravcomp=1.0)
    hand.mass, hand.ipos, hand.explicitinertial = 0.7, (0, 0, -0.03), True
    hand.inertia = [0.001, 0.0006, 0.001]
    add_box(hand, (0, 0, -0.033), (0.026, 0.068, 0.033), DARK, name="hand", meets=GRIPPER)
    add_box(hand, (0, 0, -0.069), (0.018, 0.072, 0.004), STEEL)
    add_box(hand, (0.027, 0, -0.030), (0.0012, 0.030, 0.008), ORANGE)
    # The pinch point: 0.13 m below the flange, between the pads.
    hand.add_site(name="pinch", pos=(0, 0, -0.130), size=[0.004] * 3, rgba=(0, 0, 0, 0))
    tendon = spec.add_tendon(name="opening")
    for side, sign in (("left", 1.0), ("right", -1.0)):
        finger = hand.add_body(name=f"finger_{side}", pos=(0, 0, -0.073), gravcomp=1.0)
        finger.mass, finger.ipos, finger.explicitinertial = 0.12, (0, sign * 0.015, -0.03), True
        finger.inertia = [5e-5, 5e-5, 3e-5]
        finger.add_joint(
            name=f"finger_{side}",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=(0, sign, 0),
            range=(0, APERTURE / 2),
            limited=True,
            armature=0.5,  # of the gears
            damping=[260.0, 0, 0],
        )
        add_box(finger, (0, sign * 0.016, -0.004), (0.013, 0.011, 0.006), STEEL)
        add_box(
            finger,
            (0, sign * 0.014, -0.036),
            (0.010, 0.005, 0.033),
            DARK,
            name=f"finger_{side}",
            meets=GRIPPER,
        )
        pad = add_box(
            finger,
            (0, sign * PAD_HALF[1], -0.057),
            PAD_HALF,
            STEEL,
            name=f"pad_{side}",
            meets=GRIPPER,
        )
        # Rubber on plastic; the priority makes the pair use these values and not the maximum.
        pad.friction, pad.condim, pad.priority = (1.0, 0.02, 0.0001), 4, 1
        pad.solref, pad.solimp = (0.015, 1.0), (0.95, 0.99, 0.001, 0.5, 2)
        tendon.wrap_joint(f"finger_{side}", 0.5)
    spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT,
        name1="finger_left",
        name2="finger_right",
        objtype=mujoco.mjtObj.mjOBJ_JOINT,
        data=[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        solref=(0.005, 1.0),
    )
    gripper = spec.add_actuator(
        name="gripper", target="opening", trntype=mujoco.mjtTrn.mjTRN_TENDON
    )
    gripper.set_to_position(kp=4000.0)
    # 40 N shared by two fingers: a firm grip, and with the joint damping 0.15 m/s of opening.
    gripper.forcelimited, gripper.forcerange = True, (-40.0, 40.0)

"""The tasks of the family as data: which objects there are and what is to be done with them.

Every task comes twice: observed as numbers, and as the images of two cameras ("-pixels"). Importing
this module imports neither MuJoCo nor an environment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

GOALS = ("reach", "lift", "stack", "stack_three", "pyramid")
ANY_TRAINING_SHAPE = "train"
HORIZON = 400  # control steps: 20 s at 20 Hz
_ID = "gato_gym/BlockStacking{dash}{name}-v0"


@dataclass(frozen=True)
class StackingTask:
    """One task.

    Args:
        name: the part of its id after "BlockStacking-", "" for the first of them.
        objects: (colour, name of a shape) in the order of the observation; the shape "train" is
            drawn anew at every reset from the 103 training shapes.
        goal: one of `GOALS`.
        dropped: the objects are dropped turned at random into a basket, and the policy is told
            their shapes; otherwise they are cubes that stand upright on a flat tray.
        instructed: a sentence names the pair to be stacked (instructions.py), drawn anew at every
            reset; otherwise it is red on blue.
    """

    name: str
    objects: tuple[tuple[str, str], ...]
    goal: str
    dropped: bool = False
    instructed: bool = False

    @property
    def colours(self) -> tuple[str, ...]:
        """Of its objects, "red" first."""
        return tuple(colour for colour, _ in self.objects)

    @property
    def id(self) -> str:
        """The Gymnasium id with state observations."""
        return _ID.format(dash="-" if self.name else "", name=self.name)

    @property
    def pixel_id(self) -> str:
        """The Gymnasium id with image observations."""
        return _ID.format(dash="-", name=f"{self.name}-pixels" if self.name else "pixels")


def _cubes(name: str, goal: str, *colours: str) -> StackingTask:
    return StackingTask(name, tuple((colour, "s0") for colour in colours), goal)


def _triplet(name: str, red: str, green: str, blue: str) -> StackingTask:
    objects = (("red", red), ("blue", blue), ("green", green))
    return StackingTask(name, objects, "stack", dropped=True)


TASKS = {
    task.name: task
    for task in (
        _cubes("", "stack", "red", "blue"),
        _cubes("Reach", "reach", "red", "blue"),
        _cubes("Lift", "lift", "red", "blue"),
        _cubes("StackThree", "stack_three", "red", "blue", "green"),
        _cubes("Pyramid", "pyramid", "red", "blue", "green"),
        replace(_cubes("Instructed", "stack", "red", "blue", "green"), instructed=True),
        # Facts sheet 9.4: the test triplets, red on blue with green in the way.
        _triplet("Triplet1", red="r3", green="s0", blue="b2"),
        _triplet("Triplet2", red="r5", green="g2", blue="b3"),
        _triplet("Triplet3", red="r6", green="g3", blue="b5"),
        _triplet("Triplet4", red="s0", green="g5", blue="b6"),
        _triplet("Triplet5", red="r2", green="g6", blue="s0"),
        _triplet("Triplets", *[ANY_TRAINING_SHAPE] * 3),
    )
}


SCENES = 20  # of an episode of locating
LOCATE_ID = _ID.format(dash="-", name="Locate-pixels")


def task_ids() -> list[str]:
    """Every Gymnasium id: the tasks with state observations, then those with pixels."""
    return [t.id for t in TASKS.values()] + [t.pixel_id for t in TASKS.values()] + [LOCATE_ID]

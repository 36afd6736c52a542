"""What the tasks of MiniGrid and BabyAI want next, read from the environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gato_gym.agents.experts.grid.scene import Scene


@dataclass(frozen=True)
class Enter:
    """Walk onto one of some cells."""

    cells: tuple[int, ...]
    moving: bool = False
    """Things move by themselves: nothing is planned ahead, and who blocks the way is waited for."""


@dataclass(frozen=True)
class Look:
    """Face one of some cells, for the first time: it counts when one gets there."""

    cells: tuple[int, ...]


@dataclass(frozen=True)
class StandBeside:
    """Stand beside a cell and say so."""

    cell: int


@dataclass(frozen=True)
class Remember:
    """Look west at a cell from at most `distance` cells."""

    cell: int
    distance: int


@dataclass(frozen=True)
class Take:
    """Pick up one of some things, with a hand that was empty."""

    things: tuple[Any, ...]


@dataclass(frozen=True)
class Open:
    """Toggle one of some doors so that it is open then."""

    doors: tuple[Any, ...]


@dataclass(frozen=True)
class Put:
    """Drop one of some things near one of some others."""

    things: tuple[Any, ...]
    near: tuple[Any, ...]
    diagonally: bool = False


Goal = Enter | Look | StandBeside | Remember | Take | Open | Put


def avoided(world: Any, scene: Scene) -> tuple[int, ...]:
    """Cells of the environment that end the episode without success, besides lava."""
    place = getattr(world, "failure_pos", None)
    return () if place is None else (scene.number(place),)


def cue(world: Any) -> tuple[int, int] | None:
    """Where the object lies that must be remembered, None in tasks without."""
    return (1, world.height // 2 - 1) if hasattr(world, "failure_pos") else None


def next_goal(world: Any, scene: Scene, cue_seen: bool = True) -> Goal | None:
    """What a task wants to be done next, None if nothing that is known.

    Args:
        world: the unwrapped environment.
        scene: how it is now.
        cue_seen: whether the agent has seen what it must remember.
    """
    if hasattr(world, "instrs"):
        return _instruction(world.instrs, scene)
    if hasattr(world, "success_pos"):
        place = cue(world)
        if place is not None and not cue_seen:
            return Remember(scene.number(place), world.agent_view_size - 1)
        return Enter((scene.number(world.success_pos),))
    if hasattr(world, "move_pos"):
        moved = _kind(world, scene, world.move_type, world.moveColor)
        fixed = _kind(world, scene, world.target_type, world.target_color)
        return Put(moved, fixed, diagonally=True)
    if hasattr(world, "red_door"):
        return Open((world.blue_door if world.red_door.is_open else world.red_door,))
    if hasattr(world, "targetType") and hasattr(world, "targetColor"):
        return Take(_kind(world, scene, world.targetType, world.targetColor))
    if hasattr(world, "target_pos"):
        return StandBeside(scene.number(world.target_pos))
    if hasattr(world, "door"):
        return Open((world.door,))
    if hasattr(world, "obj"):
        return Take((world.obj,))
    goals = tuple(cell for cell, thing in scene.things.items() if thing.type == "goal")
    return Enter(goals, moving=hasattr(world, "obstacles")) if goals else None


def _kind(world: Any, scene: Scene, kind: str, color: str) -> tuple[Any, ...]:
    things = [*scene.things.values(), scene.carrying]
    return tuple(t for t in things if t is not None and (t.type, t.color) == (kind, color))


def _instruction(instruction: Any, scene: Scene) -> Goal | None:
    """The first part of a BabyAI instruction that is not done."""
    from minigrid.envs.babyai.core import verifier

    match instruction:
        case verifier.BeforeInstr() | verifier.AndInstr():
            done = instruction.a_done == "success"
            return _instruction(instruction.instr_b if done else instruction.instr_a, scene)
        case verifier.AfterInstr():
            done = instruction.b_done == "success"
            return _instruction(instruction.instr_a if done else instruction.instr_b, scene)
        case verifier.GoToInstr():
            # A description may fit walls ("a grey object"): they are no answer.
            cells = tuple(map(scene.number, instruction.desc.obj_poss))
            return Look(tuple(cell for cell in cells if not scene.is_wall(cell)))
        case verifier.OpenInstr():
            return Open(tuple(instruction.desc.obj_set))
        case verifier.PickupInstr():
            return Take(tuple(instruction.desc.obj_set))
        case verifier.PutNextInstr():
            return Put(tuple(instruction.desc_move.obj_set), tuple(instruction.desc_fixed.obj_set))
        case _:
            return None

"""Gymnasium's own environments: classic control, toy text, Box2D and MuJoCo."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial

import gymnasium as gym
from gymnasium.wrappers import TimeLimit

from gato_gym.envs.families.base import Family, base_name, no_facts, unchanged
from gato_gym.envs.families.drawing import draw_ourselves
from gato_gym.envs.families.mending import FreshWorld

# Only the newest version of each. Gymnasium's phys2d and tabular ids are the same tasks again,
# written for JAX.
CLASSIC_CONTROL = (
    "Acrobot-v1",
    "CartPole-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
)
TOY_TEXT = (
    "Blackjack-v1",
    "CliffWalking-v1",
    "CliffWalkingSlippery-v1",
    "FrozenLake-v1",
    "FrozenLake8x8-v1",
    "Taxi-v4",
)
BOX2D = (
    "BipedalWalker-v3",
    "BipedalWalkerHardcore-v3",
    "CarRacing-v3",
    "LunarLander-v3",
    "LunarLanderContinuous-v3",
)
MUJOCO = (
    "Ant-v5",
    "HalfCheetah-v5",
    "Hopper-v5",
    "Humanoid-v5",
    "HumanoidStandup-v5",
    "InvertedDoublePendulum-v5",
    "InvertedPendulum-v5",
    "Pusher-v5",
    "Reacher-v5",
    "Swimmer-v5",
    "Walker2d-v5",
)

# CliffWalking never ends for a player that leans against a wall. The best player of the slippery
# one needs 65 steps on average and 187 at most (1,000 episodes).
CLIFF_HORIZON = 500


def _family(
    name: str,
    tasks: tuple[str, ...],
    *,
    domain: str,
    register: Callable[[], None],
    extra: str = "",
    modules: tuple[str, ...] = (),
    adapt: Callable[[gym.Env], gym.Env] = unchanged,
    facts: Callable[[gym.Env], dict[str, object]] = no_facts,
    image_size: tuple[int, int] | None = None,
) -> Family:
    """One of Gymnasium's families, whose ids have no namespace: their names are listed."""
    names = frozenset(base_name(task) for task in tasks)
    return Family(
        name=name,
        distribution="gymnasium",
        extra=extra,
        modules=modules,
        owns=lambda task: "/" not in task and base_name(task) in names,
        register=register,
        ids=lambda: list(tasks),
        domain=lambda task: domain,
        adapt=adapt,
        facts=facts,
        image_size=image_size,
    )


def _quieten_pygame() -> None:
    # Otherwise importing pygame, which draws these environments, prints a greeting.
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")


def _import_box2d() -> None:
    _quieten_pygame()
    with warnings.catch_warnings():
        # Its bindings lack a `__module__` that Python 3.12 and newer ask for.
        warnings.simplefilter("ignore", DeprecationWarning)
        import Box2D  # noqa: F401


def _import_mujoco() -> None:
    from gato_gym.envs.rendering.physics import load_mujoco

    load_mujoco()


def _adapt_toy_text(env: gym.Env) -> gym.Env:
    assert env.spec is not None
    if env.spec.name.startswith("CliffWalking") and env.spec.max_episode_steps is None:
        return TimeLimit(env, CLIFF_HORIZON)
    return env


def _adapt_box2d(env: gym.Env) -> gym.Env:
    # The lander makes itself a new world; the car touches sensors only, which are not solved for.
    walks = env.spec is not None and env.spec.name.startswith("BipedalWalker")
    return FreshWorld(env) if walks else env


def _classic_facts(env: gym.Env) -> dict[str, object]:
    # Cart-pole calls its time step tau, pendulum and acrobot dt; the mountain cars have none.
    step = getattr(env.unwrapped, "tau", None) or getattr(env.unwrapped, "dt", None)
    return {"control_hz": round(1 / step, 6) if step else None}


def _box2d_facts(env: gym.Env) -> dict[str, object]:
    return {"control_hz": float(env.metadata["render_fps"])}


def _mujoco_facts(env: gym.Env) -> dict[str, object]:
    return {"control_hz": round(1 / env.unwrapped.dt, 6)}  # type: ignore[attr-defined]


FAMILIES = (
    _family(
        "classic_control",
        CLASSIC_CONTROL,
        domain="classic",
        register=_quieten_pygame,
        facts=_classic_facts,
    ),
    _family(
        "toy_text",
        TOY_TEXT,
        domain="toy_text",
        register=_quieten_pygame,
        adapt=_adapt_toy_text,
    ),
    _family(
        "box2d",
        BOX2D,
        domain="box2d",
        extra="box2d",
        modules=("Box2D", "pygame"),
        register=_import_box2d,
        adapt=_adapt_box2d,
        facts=_box2d_facts,
        image_size=(64, 64),  # the car's view is 96 x 96
    ),
    _family(
        "mujoco",
        MUJOCO,
        domain="mujoco",
        extra="mujoco",
        modules=("mujoco",),
        register=_import_mujoco,
        adapt=partial(draw_ourselves, follow=True),
        facts=_mujoco_facts,
    ),
)

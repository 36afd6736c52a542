"""The first-person walk of our own; NumPy and Pillow draw it, so the core installs it."""

from __future__ import annotations

from gato_gym.envs.families.base import Family
from gato_gym.envs.order_of_apples import CONTROL_HZ, ENV_ID, HORIZON, register_order_of_apples

FAMILY = Family(
    name="order_of_apples",
    distribution="gato-gym",
    extra="",
    modules=(),
    owns=lambda task: task.startswith("gato_gym/OrderOfApples-"),
    register=register_order_of_apples,
    ids=lambda: [ENV_ID],
    domain=lambda task: "navigation",
    any_size=True,
    facts=lambda env: {"has_success": True, "control_hz": float(CONTROL_HZ), "horizon": HORIZON},
)

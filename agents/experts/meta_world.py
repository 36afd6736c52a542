"""Meta-World's own scripted policies behind the expert interface."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from gato_gym.agents.experts.unsuitable import unsuitable
from gato_gym.envs.families.meta_world import NAMESPACE, full_observation

EXPERT = "scripted/meta_world"


class ScriptedMetaWorld:
    """Plays every `Meta-World/*` task with the policy that the package ships for it.

    The policies want all 39 numbers, so they read them from the environment; the corpus records
    what a player sees. Their actions may leave [-1, 1] and are cut, as Meta-World does.
    """

    id = EXPERT

    def __init__(self) -> None:
        self._env: Any = None
        self._policy: Any = None

    def reset(self, env: Any) -> None:
        """Begin an episode.

        Raises:
            UnknownTaskError: the environment is no Meta-World task.
        """
        from metaworld.policies import ENV_POLICY_MAP

        task = env.spec.id if getattr(env, "spec", None) is not None else ""
        name = task.removeprefix(NAMESPACE)
        policies: Any = ENV_POLICY_MAP  # its type says that policies are abstract
        if name == task or name not in policies:
            raise unsuitable("the scripted policies", f"{NAMESPACE}reach-v3", env)
        self._env, self._policy = env, policies[name]()

    def act(self, obs: Any, deterministic: bool = True) -> np.ndarray:
        """(4,) float32 in [-1, 1]; the policies know no chance."""
        if self._policy is None:
            raise RuntimeError("call reset(env) before act(obs)")
        with warnings.catch_warnings():
            # A policy that asks for more than full speed says so, at each step.
            warnings.simplefilter("ignore", UserWarning)
            action = self._policy.get_action(full_observation(self._env))
        return np.clip(action, -1.0, 1.0).astype(np.float32)

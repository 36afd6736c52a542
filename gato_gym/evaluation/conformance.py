"""Whether Gato can play an environment, in words, and the line that mends what is wrong.

An environment is a stranger's code: whatever it raises becomes a finding.
"""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env

from gato_gym import envs
from gato_gym.envs.families import family_of
from gato_gym.envs.registry import resolve
from gato_gym.envs.spaces import MAX_DEPTH, action_element, action_spec, observation_specs
from gato_gym.errors import (
    GatoGymError,
    MissingExtraError,
    UnknownTaskError,
    UnsupportedSpaceError,
)
from gato_gym.evaluation.findings import Finding, Level, Report
from gato_gym.evaluation.probes import (
    EnvironmentFailed,
    Trace,
    described,
    first_difference,
    trace,
)
from gato_gym.evaluation.watching import Noise, Watcher, listening
from gato_gym.tokenizers.timestep import OBSERVATION_ROWS, StepTokenizer, item_tokens
from gato_gym.tokenizers.wrapper import DEFAULT_VOCABULARY
from gato_gym.types import PATCH_SIDE, ROOT_KEY, ActionSpec, TaskSpec

__all__ = ["Finding", "Report", "check", "check_apart"]

API_PAGE = "https://gymnasium.farama.org/introduction/create_custom_env/"

# What a process may take to clean up once its report is here.
EXIT_SECONDS = 10


def check(id: str, *, steps: int = 200, seed: int = 0, **make_kwargs: Any) -> Report:
    """Try out whether Gato can play an environment. Never raises because of the environment.

    In order: the id, the spaces, the tokens, random steps through the tokenizer, Gymnasium's own
    `check_env`, three rollouts of one seed, and whether an episode ends.

    Args:
        id: as Gymnasium's, "module:id" included.
        steps: of each of the three rollouts.
        seed: of the rollouts and of the random actions.
        make_kwargs: passed on to `gato_gym.envs.make`.
    """
    checked = _Check(id, steps, seed, make_kwargs)
    with listening() as noise:
        try:
            checked.run()
        except (Exception, SystemExit) as error:
            checked.add("error", f"it raises {described(error)}")
        finally:
            checked.close()
    checked.tell_noise(noise)
    return Report(id, tuple(checked.findings), checked.figures)


def check_apart(id: str, *, steps: int = 200, seed: int = 0, timeout: float = 600) -> Report:
    """`check` in a process of its own: one that ends or hangs becomes a finding too.

    The process is a fresh one with this one's `sys.path`: environments that were registered here
    are unknown to it unless the id names their module, and a script that calls this must keep its
    own work under `if __name__ == "__main__"`.

    Args:
        id: as Gymnasium's, "module:id" included.
        steps: see `check`.
        seed: see `check`.
        timeout: seconds until the process is ended.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_check, args=(sender, id, steps, seed))
    process.start()
    sender.close()
    try:
        # The sentinel too: a process that the environment started may hold the pipe open.
        if wait([receiver, process.sentinel], timeout):
            report = _received(receiver)
            process.join(EXIT_SECONDS)
            if report is not None:
                return report
        code = process.exitcode
    finally:
        process.kill()  # native code may hold back every other signal
        process.join()
        receiver.close()
    if code is None:
        what, fix = f"it was not done after {timeout:g} seconds", "look for a loop that never ends"
    else:
        what = f"the environment ended its process ({_ending(code)}), and the check with it"
        fix = "raise an exception instead; python -X faulthandler shows where native code crashed"
    return Report(id, (Finding("error", what, fix),))


def _received(receiver: Connection) -> Report | None:
    """The report, if the other process came to send it."""
    try:
        return receiver.recv() if receiver.poll() else None
    except EOFError:
        return None


def _send_check(sender: Connection, id: str, steps: int, seed: int) -> None:
    sender.send(check(id, steps=steps, seed=seed))


def _ending(code: int) -> str:
    """An exit code of `multiprocessing` in words: negative ones are signals."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"crash by {signal.Signals(-code).name}"
    except ValueError:
        return f"crash by signal {-code}"


class _Check:
    """One run of `check`; each step adds its findings."""

    def __init__(self, id: str, steps: int, seed: int, make_kwargs: dict[str, Any]) -> None:
        self.id, self.steps, self.seed = id, steps, seed
        # Gymnasium's passive checker would raise before we can say it better.
        self.make_kwargs = {"disable_env_checker": True, **make_kwargs}
        self.findings: list[Finding] = []
        self.figures: dict[str, float] = {}
        self._envs: list[gym.Env] = []

    def add(self, level: Level, what: str, fix: str = "") -> None:
        """One more finding; the same twice is one."""
        finding = Finding(level, what, fix)
        if finding not in self.findings:
            self.findings.append(finding)

    def run(self) -> None:
        """All checks, as far as they can go."""
        env = self._make()
        if env is None:
            return
        spec = envs.task_spec(env)
        tokenizer = self._tokenizer(spec)
        if tokenizer is None:
            return
        actions = self._actions(env, tokenizer)
        watcher = Watcher(self.add, env.observation_space, tokenizer)
        try:
            played = trace(env, actions, self.seed, watcher)
        except EnvironmentFailed as error:
            self.add("error", str(error))
            self._gymnasium(self._another())
            return
        if not watcher.told:
            self.add("ok", f"{played.steps} random steps: every observation is in its space")
        other = self._another()
        self._gymnasium(other)
        self._compare(played, env, other, actions)
        self._horizon(env, spec, played)
        self._measure(played, watcher, tokenizer)

    def close(self) -> None:
        """Close what was built."""
        for env in self._envs:
            try:
                env.close()
            except Exception as error:
                self.add("warning", f"close() raises {described(error)}")

    def tell_noise(self, noise: Noise) -> None:
        """Findings of what was heard while it was checked."""
        for verb, texts in (("warns", noise.warned), ("logs", noise.logged)):
            for text in list(texts)[:5]:
                self.add("warning", f"it {verb}: {text}")
        printed = noise.printed.getvalue().strip()
        if printed:
            first = printed.splitlines()[0][:80]
            self.add("warning", f"it prints: {first}", "use the logging module, or stay silent")

    def _make(self) -> gym.Env | None:
        try:
            env = envs.make(self.id, **self.make_kwargs)
        except UnknownTaskError as error:
            self.add("error", str(error), 'name the module that registers it: "my_module:MyEnv-v0"')
        except MissingExtraError as error:
            self.add("error", str(error))
        except UnsupportedSpaceError as error:
            self._spaces(error)
        except (Exception, SystemExit) as error:
            text = str(error) if isinstance(error, GatoGymError) else described(error)
            self.add("error", f"it cannot be built: {text}")
        else:
            self._envs.append(env)
            self._small_tables(env)
            return env
        return None

    def _another(self) -> gym.Env:
        env = envs.make(self.id, **self.make_kwargs)
        self._envs.append(env)
        return env

    def _spaces(self, first: UnsupportedSpaceError) -> None:
        """Every part without tokens, not only the first."""
        try:
            # Errors of the spaces come after the bare environment was built.
            env = gym.make(resolve(self.id), **self.make_kwargs)
        except Exception:
            self.add("error", str(first), first.fix)
            return
        self._envs.append(env)
        for key, space in _leaves(env.observation_space):
            try:
                observation_specs(space, key)
            except UnsupportedSpaceError as error:
                self.add("error", _without_fix(error), error.fix)
        try:
            action_spec(env.action_space)
        except UnsupportedSpaceError as error:
            self.add("error", _without_fix(error), error.fix)
        if not self.findings:
            self.add("error", str(first), first.fix)

    def _small_tables(self, env: gym.Env) -> None:
        if env.spec is not None and family_of(env.spec.id) is not None:
            return  # somebody has looked at what its tables mean
        for key, space in _leaves(env.observation_space):
            shape = space.shape or ()
            if space.dtype == np.uint8 and len(shape) == 3 and min(shape) < PATCH_SIDE > shape[1]:
                self.add(
                    "warning",
                    f"observation {key!r} of shape {shape} is read as {np.prod(shape)} numbers; "
                    f"a picture has at least {PATCH_SIDE} x {PATCH_SIDE} pixels",
                    "if it is a picture, draw it larger",
                )

    def _tokenizer(self, spec: TaskSpec) -> StepTokenizer | None:
        try:
            tokenizer = StepTokenizer(spec, DEFAULT_VOCABULARY)
        except UnsupportedSpaceError as error:
            sizes = {leaf.key: item_tokens(leaf) for leaf in spec.observations}
            largest = sorted(sizes, key=lambda key: -sizes[key])[:3]
            parts = ", ".join(f"{key!r} {sizes[key]}" for key in largest)
            fix = "leave parts out with gymnasium.wrappers.FilterObservation"
            if any(leaf.kind == "image" for leaf in spec.observations):
                fix = "pass a smaller image_size=(height, width) to gato_gym.make"
            elif any(len(leaf.shape) == 3 for leaf in spec.observations):
                fix = (
                    "pictures must be uint8 (height, width, 3): gymnasium.wrappers."
                    "TransformObservation(env, lambda x: (255 * x).astype(np.uint8), new_space)"
                )
            self.add("error", f"{str(error).partition(': pass')[0]}; largest: {parts}", fix)
            return None
        kinds = ", ".join(
            f"{leaf.key!r} {leaf.kind} {'x'.join(map(str, leaf.shape))}".strip()
            for leaf in spec.observations
        )
        self.add(
            "ok",
            f"an observation takes {tokenizer.observation_slots} of {OBSERVATION_ROWS} tokens: "
            f"{kinds if len(kinds) < 200 else kinds[:200] + ' ...'}",
        )
        self.add("ok", f"an action takes {_worded(spec.action)}")
        return tokenizer

    def _actions(self, env: gym.Env, tokenizer: StepTokenizer) -> list[Any]:
        """Random tokens, decoded."""
        low, high = tokenizer.legal_ids.T
        rng = np.random.default_rng(self.seed)
        ids = rng.integers(low, high, (self.steps, len(low)))
        actions = [
            action_element(env.action_space, numbers) for numbers in tokenizer.decode_action(ids)
        ]
        for action in actions:
            if not env.action_space.contains(action):
                what = f"a decoded action {action!r} is not in {env.action_space}"
                self.add("error", what, "declare dtype and bounds of the action space as they are")
                break
        return actions

    def _gymnasium(self, env: gym.Env) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check_env(env, skip_render_check=True, skip_close_check=True)
        except Exception as error:
            self.add("error", f"Gymnasium's check_env: {described(error)}", f"see {API_PAGE}")
        else:
            self.add("ok", "Gymnasium's check_env passes")

    def _compare(self, played: Trace, env: gym.Env, other: gym.Env, actions: list[Any]) -> None:
        cases = ((other, "two instances"), (env, "one instance, played twice"))
        for again, case in cases:
            try:
                found = first_difference(played, trace(again, actions, self.seed))
            except EnvironmentFailed as error:
                self.add("error", f"the second time, {error}")
                return
            if found is not None:
                self.add(
                    "error",
                    f"reset(seed={self.seed}) and the same actions do not repeat ({case}): "
                    f"they first differ in {found}",
                    "draw all random numbers from self.np_random after super().reset(seed=seed)",
                )
                return
        self.add("ok", "rollouts of one seed are identical")

    def _horizon(self, env: gym.Env, spec: TaskSpec, played: Trace) -> None:
        horizon = spec.horizon or (env.spec.max_episode_steps if env.spec else None)
        if horizon is not None:
            self.add("ok", f"an episode ends after at most {horizon} steps")
        elif played.ended:
            self.add("ok", "episodes end")
        else:
            self.add(
                "warning",
                f"no episode ended within {played.steps} steps, and there is no time limit",
                "gymnasium.wrappers.TimeLimit(env, 1000), or register it with max_episode_steps=",
            )

    def _measure(self, played: Trace, watcher: Watcher, tokenizer: StepTokenizer) -> None:
        self.figures |= {
            "steps_per_second": round(played.steps / max(played.seconds, 1e-9), 1),
            "tokens_per_step": tokenizer.tokens_per_step,
            "tokenizing_microseconds": round(1e6 * watcher.seconds / max(watcher.count, 1), 1),
        }


def _leaves(
    space: gym.Space, key: str = ROOT_KEY, depth: int = 1
) -> Iterator[tuple[str, gym.Space]]:
    """Keys and parts; what lies deeper than Gato takes is one part."""
    children: dict[str, gym.Space] = {}
    if isinstance(space, gym.spaces.Dict):
        children = dict(space.spaces)
    elif isinstance(space, gym.spaces.Tuple):
        children = {str(number): part for number, part in enumerate(space.spaces)}
    if not children or depth > MAX_DEPTH:
        yield key, space
    prefix = "" if key == ROOT_KEY else f"{key}/"
    for name, part in children.items() if depth <= MAX_DEPTH else ():
        yield from _leaves(part, f"{prefix}{name}", depth + 1)


def _without_fix(error: UnsupportedSpaceError) -> str:
    return str(error).partition(" Fix: ")[0].rstrip(".")


def _worded(action: ActionSpec) -> str:
    tokens = f"{action.size} token{'s' if action.size > 1 else ''}"
    if action.kind == "continuous":
        return f"{tokens}: numbers in [-1, 1]"
    sizes = ", ".join(map(str, action.n[:8])) + (", ..." if action.size > 8 else "")
    return f"{tokens}: one of {sizes} values"

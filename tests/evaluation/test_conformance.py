"""Environments that are broken on purpose: each problem is told in words, with what mends it."""

import json
import logging
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from gato_gym.envs.spaces import action_element
from gato_gym.evaluation.conformance import check

FLOATS = spaces.Box(-1, 1, (2,), np.float32)
GOOD = np.array([0.25, -0.5], np.float32)


class Patient(gym.Env):
    """Well in every respect; tests break one thing each. Episodes have 50 steps."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, observe=None, space=FLOATS, action_space=None, reward=0.0, length=50, **no):
        assert not no, f"unexpected keyword argument {no}"
        self.observe = observe or (lambda step, rng: GOOD * rng.uniform(0, 1, 2).astype("f4"))
        self.observation_space = space
        self.action_space = action_space or spaces.Discrete(3)
        self.reward, self.length = reward, length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.observe(0, self.np_random), {}

    def step(self, action):
        self.count += 1
        over = self.count == self.length
        return self.observe(self.count, self.np_random), self.reward, over, False, {}


@pytest.fixture
def patient():
    """Registers `Patient(**kwargs)`, or another class, and checks it."""
    made = []

    def examine(entry_point=Patient, steps=20, task="Broken/Patient-v0", limit=100, **kwargs):
        gym.register(task, entry_point, max_episode_steps=limit, kwargs=kwargs)
        made.append(task)
        return check(task, steps=steps)

    yield examine
    for task in made:
        del gym.registry[task]


def only_error(report):
    (error,) = report.of("error")
    assert not report.passed
    assert f"error:   {error.what}" in report.text()
    return error


def errors(report):
    return " | ".join(finding.what for finding in report.of("error"))


def test_a_good_environment_passes(patient):
    report = patient()
    assert report.passed
    assert {finding.level for finding in report.findings} == {"ok"}
    assert report.text().startswith("Broken/Patient-v0: Gato can play it\n")
    assert report.figures["tokens_per_step"] == 2 + 1 + 1
    assert report.figures["steps_per_second"] > 0
    told = json.loads(json.dumps(report.to_json()))
    assert told["passed"] is True
    assert told["findings"][0] == {
        "level": "ok",
        "what": "an observation takes 2 of 512 tokens: 'observation' continuous 2",
        "fix": "",
    }


@pytest.mark.parametrize(
    ("value", "problem", "fix"),
    [
        (
            np.array([0.1, np.nan], np.float32),
            r"'observation' at step 3 is not finite: nan at index \(1,\)",
            "nan_to_num",
        ),
        (np.array([0.1, 0.2]), "at step 3 is float64, its space declares float32", "astype"),
        (
            np.array([0.1, 1.5], np.float32),
            r"at step 3 is 1.5 at index \(1,\), above the highest value 1.0",
            "np.clip",
        ),
        (np.zeros(3, np.float32), r"step 3 has shape \(3,\), its space declares \(2,\)", "reshape"),
        ([0.1, 0.2], "step 3 is list .*its space has arrays", "np.array"),
    ],
)
def test_bad_observations_name_task_key_and_step(patient, value, problem, fix):
    report = patient(observe=lambda step, rng: value if step >= 3 else GOOD)
    first = report.of("error")[0]
    assert re.search(f"^Broken/Patient-v0: observation .*{problem}", first.what)
    assert fix in first.fix
    assert errors(report).count("observation 'observation' at step") == 1


def test_nested_keys_are_named(patient):
    space = spaces.Dict({"arm": spaces.Dict({"speed": FLOATS, "on": spaces.Discrete(2)})})
    report = patient(
        observe=lambda step, rng: {"arm": {"speed": GOOD, "on": np.int64(2 if step > 4 else 0)}},
        space=space,
    )
    assert "observation 'arm/on' at step 5 is int64 2, outside of Discrete(2)" in errors(report)


def test_missing_and_undeclared_keys(patient):
    space = spaces.Dict({"a": FLOATS, "b": FLOATS})
    report = patient(observe=lambda step, rng: {"a": GOOD, "c": GOOD}, space=space)
    assert "observation 'b' at step 0 is missing" in errors(report)
    assert "observation 'c' at step 0 is not in the observation space" in errors(report)


def test_text_without_charset(patient):
    report = patient(observe=lambda step, rng: "go left", space=spaces.Text(20))
    first = report.of("error")[0]
    assert "letters ' ' that are not in its charset" in first.what
    assert first.fix == "spaces.Text(20, charset=string.printable)"
    report = patient(observe=lambda step, rng: "", space=spaces.Text(20, charset=""), task="T-v0")
    assert "has no charset" in only_error(report).what


def test_text_that_is_too_long(patient):
    report = patient(observe=lambda step, rng: "a" * 21, space=spaces.Text(20))
    assert "has 21 letters, its space allows 1 to 20" in errors(report)


def test_text_that_fits_passes(patient):
    assert patient(observe=lambda step, rng: "a b", space=spaces.Text(9, charset="ab ")).passed


def test_a_small_picture(patient):
    image = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    error = only_error(patient(space=image))
    assert "picture of 8 x 8, smaller than a patch of 16 x 16" in error.what
    assert "repeat(2, 0)" in error.fix


def test_a_picture_with_channels_first_in_a_dict(patient):
    image = spaces.Box(0, 255, (3, 64, 48), np.uint8)
    error = only_error(patient(space=spaces.Dict({"camera": image, "pose": FLOATS})))
    assert "observation space 'camera'" in error.what
    assert "channels first" in error.what
    assert "gymnasium.wrappers.TransformObservation" in error.fix
    assert "transpose(1, 2, 0)" in error.fix


def test_a_small_table_of_bytes_is_told(patient):
    space = spaces.Box(0, 255, (4, 4, 3), np.uint8)
    report = patient(space=space, observe=lambda step, rng: np.zeros((4, 4, 3), np.uint8))
    assert report.passed
    (warning,) = report.of("warning")
    assert "read as 48 numbers" in warning.what
    assert "Gato can play it; 1 to look at" in report.text()


def test_every_bad_part_is_named_at_once(patient):
    report = patient(
        space=spaces.Dict(
            {
                "items": spaces.Sequence(FLOATS),
                "map": spaces.Graph(FLOATS, None),
                "either": spaces.OneOf([FLOATS, spaces.Discrete(2)]),
                "fine": FLOATS,
                "many": spaces.Discrete(5000),
            }
        ),
        action_space=spaces.Box(-np.inf, np.inf, (2,), np.float32),
    )
    assert len(report.of("error")) == 5
    for part in ("'items'", "'map'", "'either'", "'many'", "action space"):
        assert part in errors(report)
    assert "'fine'" not in errors(report)
    assert "spaces.Box(-1, 1, (2,))" in report.text()


def test_deep_nesting(patient):
    space = FLOATS
    for _ in range(40):
        space = spaces.Dict({"in": space})
    error = only_error(patient(space=space))
    assert "nested deeper than 16 levels" in error.what
    assert "FlattenObservation" in error.fix
    assert len(error.what) < 600


@pytest.mark.parametrize(
    ("space", "fix"),
    [
        (spaces.Box(-1, 1, (600,), np.float32), "FilterObservation"),
        (spaces.Box(0, 1, (32, 32, 3), np.float32), "astype(np.uint8)"),
        (
            spaces.Dict(
                {"image": spaces.Box(0, 255, (64, 64, 3), np.uint8), "x": spaces.Box(0, 1, (600,))}
            ),
            "image_size",
        ),
    ],
)
def test_too_many_tokens(patient, space, fix):
    error = only_error(patient(space=space))
    assert "the model has 512 positions" in error.what
    assert "largest: " in error.what
    assert fix in error.fix


def test_unseeded_randomness(patient):
    unseeded = np.random.default_rng(7)
    report = patient(observe=lambda step, rng: unseeded.uniform(-1, 1, 2).astype(np.float32))
    assert (
        "do not repeat (two instances): they first differ in observation 'observation' at reset"
        in (errors(report))
    )
    assert "self.np_random" in report.text()


def test_state_that_survives_a_reset(patient):
    """Two fresh instances agree, one that has played does not."""

    class Ageing(Patient):
        age = 0

        def step(self, action):
            self.age += 1
            observation, _, *rest = super().step(action)
            return observation, float(self.age > 60), *rest

    report = patient(Ageing, steps=40)
    assert "they first differ in reward at step" in errors(report)


@pytest.mark.parametrize(
    ("reward", "problem"),
    [
        ("1", "the reward at step 1 is a str"),
        (np.nan, "the reward at step 1 is nan"),
        (True, "the reward at step 1 is a bool"),
        (None, "the reward at step 1 is a NoneType"),
    ],
)
def test_bad_rewards(patient, reward, problem):
    assert problem in errors(patient(reward=reward))


@pytest.mark.parametrize("flag", ["terminated", "truncated"])
def test_flags_of_a_step_without_a_reward_are_looked_at_too(patient, flag):
    class Flagless(Patient):
        def step(self, action):
            observation, _, terminated, truncated, info = super().step(action)
            flags = {"terminated": terminated, "truncated": truncated, flag: None}
            return observation, None, *flags.values(), info

    found = errors(patient(Flagless, limit=None))
    assert "the reward at step 1 is a NoneType" in found
    assert f"{flag} at step 1 is a NoneType" in found


def test_no_horizon(patient):
    report = patient(length=10**9, limit=None)
    (warning,) = report.of("warning")
    assert "no episode ended within 20 steps" in warning.what
    assert "TimeLimit" in warning.fix
    assert not patient(length=10, limit=None, task="Ends-v0").of("warning")


class Crashing(Patient):
    def step(self, action):
        if self.count == 6:
            raise ZeroDivisionError("the wheels came off")
        return super().step(action)


class Unbuildable(Patient):
    def __init__(self):
        raise OSError("no display")


class OldApi(Patient):
    def step(self, action):
        return super().step(action)[:4]


class NoInfo(Patient):
    def step(self, action):
        return *super().step(action)[:4], None


class Quitter(Patient):
    def reset(self, *, seed=None, options=None):
        raise SystemExit(3)


class Noisy(Patient):
    def reset(self, *, seed=None, options=None):
        print("hello")
        logging.getLogger("loud").warning("beware of %s", "dogs")
        gym.logger.warn("careful")
        return super().reset(seed=seed)


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (Crashing, r"step 7 with action int64 \d raises ZeroDivisionError: the wheels came off"),
        (Unbuildable, "cannot be built: OSError: no display"),
        (OldApi, "step 1 .* raises ValueError"),
        (NoInfo, "info at step 1 is a NoneType"),
        (Quitter, "it raises SystemExit: 3"),
    ],
)
def test_whatever_it_raises_becomes_a_finding(patient, broken, problem):
    report = patient(broken)
    assert not report.passed
    assert re.search(problem, errors(report))


def test_prints_and_warnings_are_told_and_not_shown(patient, capsys):
    report = patient(Noisy)
    assert report.passed
    told = [finding.what for finding in report.of("warning")]
    assert any("careful" in what for what in told)
    assert "it prints: hello" in told
    assert "it logs: loud: beware of dogs" in told
    shown = capsys.readouterr()
    assert shown.out + shown.err == ""


def test_unknown_ids_and_modules():
    assert "did you mean 'CartPole-v1'" in only_error(check("CartPol-v1")).what
    assert "no module 'no_such_module'" in only_error(check("no_such_module:A-v0")).what


def test_a_module_that_breaks_on_import(tmp_path, monkeypatch):
    (tmp_path / "brittle_envs.py").write_text("raise RuntimeError('bad import')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "RuntimeError: bad import" in only_error(check("brittle_envs:A-v0")).what


def test_wrong_keyword_arguments_are_told():
    error = only_error(check("CartPole-v1", colour="red"))
    assert "colour" in error.what
    assert "sutton_barto_reward" in error.what


@pytest.mark.parametrize("task", ["CartPole-v1", "Pendulum-v1", "gato_gym.testing:gato_gym/Toy-v0"])
def test_known_tasks_pass(task):
    report = check(task, steps=60)
    assert report.passed, report.text()
    assert not report.of("warning"), report.text()


@pytest.mark.parametrize(
    ("space", "numbers"),
    [
        (spaces.Discrete(4), np.array([3])),
        (spaces.MultiBinary(2), np.array([1, 0])),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), np.array([1, 2, 3, 4])),
        (spaces.Box(-1, 1, (2, 2), np.float64), np.linspace(-1, 1, 4, dtype=np.float32)),
    ],
)
def test_decoded_numbers_are_in_the_action_space(space, numbers):
    assert space.contains(action_element(space, numbers))

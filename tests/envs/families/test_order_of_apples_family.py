"""The family of the first-person walk: what the catalogue says about it."""

from gato_gym import envs
from gato_gym.envs.factory import derive
from gato_gym.envs.families import family_of
from gato_gym.envs.order_of_apples import ENV_ID
from gato_gym.types import ActionSpec, ObservationSpec


def test_the_core_installs_it():
    family = family_of(ENV_ID)
    assert family.ids() == [ENV_ID]
    assert family.missing == ()
    assert family.extra == ""


def test_its_spec():
    env = envs.make(ENV_ID)
    spec = derive(env)
    assert (spec.domain, spec.family) == ("navigation", "order_of_apples")
    assert (spec.horizon, spec.control_hz, spec.has_success) == (900, 15.0, True)
    assert spec.observations == (ObservationSpec("observation", "image", (64, 80, 3)),)
    assert spec.action == ActionSpec("discrete", 1, (8,))

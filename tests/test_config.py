"""Settings that cannot be are refused by name."""

import pytest

from gato_gym.config import TrainConfig


@pytest.mark.parametrize(
    ("setting", "value"),
    [("seed", -1), ("seed", 1 << 31), ("warmup", -2), ("validate_every", -1), ("batch", 0)],
)
def test_settings_out_of_range_are_named(setting, value):
    with pytest.raises(ValueError, match=setting):
        TrainConfig(**{setting: value})

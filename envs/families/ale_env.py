"""ale-py's environment with two additions: small screens without large ones, and mixed modes.

Only this module and `ale_vector` import ale-py at their top: they load when a game is made.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
from ale_py.env import AtariEnv
from gymnasium.utils import EzPickle

from gato_gym.envs.images import resize_image
from gato_gym.envs.shrink import PaletteShrinker, is_halved


class ScreenAtari(AtariEnv):
    """An Atari game that observes its screen at any size; `render()` gives the full one.

    The pixels are those of `resize_image`. Where half the width is asked for they come from the
    console's colour numbers: making the large picture costs more than the small one.

    Args:
        game: the game's name in ale-py, e.g. "boxing".
        image_size: (height, width) of RGB observations; None leaves them as they are.
        settings: as of `AtariEnv`.
    """

    def __init__(
        self, game: str, *, image_size: tuple[int, int] | None = None, **settings: Any
    ) -> None:
        super().__init__(game, **settings)
        EzPickle.__init__(self, game, image_size=image_size, **settings)
        self._image_size: tuple[int, int] | None = None
        self._shrinker: PaletteShrinker | None = None
        if image_size is None or self._obs_type != "rgb" or self.sound_obs:
            return
        self._image_size = image_size = (image_size[0], image_size[1])  # a list if read from JSON
        self.observation_space = gym.spaces.Box(0, 255, (*image_size, 3), np.uint8)
        shape = self.ale.getScreenDims()
        if is_halved(shape, image_size):
            self._shrinker = PaletteShrinker(shape, image_size)
            self._screen = np.empty(shape, np.uint8)

    def _get_obs(self) -> Any:
        if self._image_size is None:
            return super()._get_obs()
        if self._shrinker is None:
            return resize_image(self.ale.getScreenRGB(), self._image_size)
        self.ale.getScreen(self._screen)
        image = self._shrinker(self._screen)
        if image is None:
            self._shrinker.learn(self._screen, self.ale.getScreenRGB())
            image = self._shrinker(self._screen)
        return image


def variants(game: str | ale_py.ALEInterface) -> tuple[tuple[int, int], ...]:
    """All (mode, difficulty) of a game, as ale-py offers them to one player."""
    if isinstance(game, str):
        cartridge = ale_py.roms.get_rom_path(game)
        assert cartridge is not None, game
        ale = ale_py.ALEInterface()
        ale.loadROM(cartridge)
        return variants(ale)
    return tuple(product(game.getAvailableModes(), game.getAvailableDifficulties()))


class ExtendedAtari(ScreenAtari):
    """An Atari game whose mode and difficulty are drawn uniformly in each episode.

    `info["mode"]` and `info["difficulty"]` tell after every reset which were drawn. A seed decides
    them for this episode and for those that follow without a seed.

    Args:
        game: the game's name in ale-py; it must have more than one mode or difficulty.
        settings: as of `ScreenAtari`, without `mode` and `difficulty`.

    Raises:
        ValueError: the game has only one, or one is asked for.
    """

    def __init__(self, game: str, **settings: Any) -> None:
        fixed = [name for name in ("mode", "difficulty") if settings.get(name) is not None]
        if fixed:
            raise ValueError(f"{game}: {' and '.join(fixed)} cannot be set, each episode draws it")
        self._drawn: tuple[int, int] | None = None
        super().__init__(game, **settings)
        self._variants = variants(self.ale)
        if len(self._variants) == 1:
            raise ValueError(f"{game} has one mode and one difficulty: nothing to draw")
        self._draws = np.random.default_rng()

    def load_game(self) -> None:
        """Load the cartridge; a new console has forgotten the switches."""
        super().load_game()
        self._set_switches()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Draw the mode and the difficulty and start the game."""
        if seed is not None:
            self._draws = np.random.default_rng(seed)
        mode, difficulty = self._drawn = self._variants[self._draws.integers(len(self._variants))]
        self._set_switches()
        observation, info = super().reset(seed=seed, options=options)
        return observation, {**info, "mode": mode, "difficulty": difficulty}

    def _set_switches(self) -> None:
        if self._drawn is not None:
            self.ale.setMode(self._drawn[0])
            self.ale.setDifficulty(self._drawn[1])

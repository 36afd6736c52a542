"""Frames of MuJoCo models, with GL or without.

`choose_backend()` names what works on this machine, `frame_source(model, backend, width, height)`
makes something whose `render(data, camera, width, height)` draws one view of the model.
"""

from gato_gym.envs.rendering.backend import (
    BACKENDS,
    FrameSource,
    choose_backend,
    frame_source,
)

__all__ = ["BACKENDS", "FrameSource", "choose_backend", "frame_source"]

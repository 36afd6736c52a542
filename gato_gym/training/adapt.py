"""An agent and a corpus made ready for fine-tuning on one task: episodes, rows, weights."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

import google_crc32c
import torch

from gato_gym.config import ModelConfig
from gato_gym.data.corpus import Corpus
from gato_gym.data.forms import refuse_other_forms
from gato_gym.data.manifest import EpisodeEntry
from gato_gym.data.mixture import Mixture, TaskEpisodes
from gato_gym.data.windows import WindowSource
from gato_gym.errors import GatoGymError, InvalidObservationError, UnsupportedSpaceError
from gato_gym.models.gato import Block, Gato
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.bundle import Bundle
from gato_gym.training.finetune import DRAWN, FineTuneConfig, few_shot_subset
from gato_gym.training.lora import add_adapters
from gato_gym.types import TaskSpec


def choose_episodes(
    corpus: Corpus, task: str, episodes: int, draw: int
) -> tuple[EpisodeEntry, ...]:
    """`few_shot_subset` of a corpus.

    Raises:
        UnknownTaskError: the corpus has no episode of the task.
        GatoGymError: it has fewer than `episodes`; tells how to collect them.
    """
    available = corpus.episodes(task)
    if len(available) < episodes <= DRAWN:
        collect = ["gato-gym", "collect", task, "--episodes", str(episodes), "--out"]
        raise GatoGymError(
            f"{str(corpus.path)!r} has {len(available)} episodes of {task}, {episodes} are asked "
            f"for. Collect the rest: {shlex.join([*collect, str(corpus.path)])}"
        )
    return few_shot_subset(available, episodes, draw)


def few_shot_source(
    corpus: Corpus,
    spec: TaskSpec,
    chosen: Sequence[EpisodeEntry],
    base: Bundle,
    *,
    seed: int,
    prompt_share: float,
) -> WindowSource:
    """Training rows of the chosen episodes alone, in the base's vocabulary and text model.

    Raises:
        UnsupportedSpaceError: the task shows text, and the base has no text model.
        CorpusPathError: the episodes observe something else than the task does.
        ValueError: a step does not fit the base's context.
    """
    if spec.has_text and base.text is None:
        raise UnsupportedSpaceError(
            f"{spec.id} observes text, and this agent has no text model: start from an agent that "
            "was trained on a task with text"
        )
    refuse_other_forms(corpus, [spec])
    mixture = Mixture(corpus, {spec.id: 1.0})
    mixture.tasks = [TaskEpisodes(spec.id, tuple(chosen))]
    config = base.model.config
    return WindowSource(
        corpus,
        mixture,
        {spec.id: spec},
        config.context,
        Vocabulary(config.text_size),
        base.text,
        seed=seed,
        prompt_share=prompt_share,
    )


def known_spec(base: Bundle, spec: TaskSpec) -> TaskSpec:
    """The spec under which the base knows the task; the given one where it does not.

    Raises:
        InvalidObservationError: it knows a task of the same id with other spaces.
    """
    known = base.specs.get(spec.id, spec)
    if (known.observations, known.action) != (spec.observations, spec.action):
        raise InvalidObservationError(
            f"{spec.id} has other observations or actions than this agent was trained on: start "
            "from another agent"
        )
    return known


def prepare_model(
    base: Gato, config: FineTuneConfig, *, scratch: bool = False, seed: int = 0
) -> Gato:
    """A model to train: a copy of the base, or a new one of its shape.

    Args:
        base: left as it is.
        config: its stochastic depth, and which weights are trained.
        scratch: start from random weights.
        seed: of random weights and of adapters.

    Raises:
        ValueError: LoRA of random weights.
        MissingExtraError: LoRA without peft.
    """
    if scratch and config.method == "lora":
        raise ValueError("LoRA keeps the base's weights: from scratch all weights are trained")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Gato(replace(base.config, stochastic_depth=config.stochastic_depth))
    if not scratch:
        model.load_state_dict(base.state_dict())
    if config.method == "lora":
        add_adapters(model, config.rank, config.alpha, seed)
    return model


def deepened(base: Gato, config: ModelConfig) -> Gato:
    """A model with the weights of the base and maybe more blocks, which begin as the identity.

    What new blocks add to the residual stream is zero until they are trained, so the model predicts
    what the base does.

    Args:
        base: left as it is.
        config: that of the base, but for the number of layers and stochastic depth.

    Raises:
        ValueError: fewer layers than the base has.
    """
    have = base.config.layers
    if config.layers < have:
        raise ValueError(f"the agent has {have} blocks, it cannot have {config.layers}")
    model = Gato(config)
    model.load_state_dict(base.state_dict(), strict=config.layers == have)
    with torch.no_grad():
        for block in list(model.blocks)[have:]:
            assert isinstance(block, Block)
            block.out.weight.zero_()
            block.down.weight.zero_()
    return model


def fingerprint(model: Gato) -> str:
    """Eight hexadecimal digits of all weights, to tell another model."""
    checksum = google_crc32c.Checksum()
    for name, value in sorted(model.state_dict().items()):
        checksum.update(name.encode())
        checksum.update(value.detach().cpu().contiguous().numpy().tobytes())
    return bytes(checksum.digest()).hex()

"""What a run of `gato-gym train` starts from: random weights, or an agent's; and its text model."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import google_crc32c

from gato_gym.config import ModelConfig
from gato_gym.errors import GatoGymError
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.training.adapt import deepened, fingerprint
from gato_gym.training.bundle import find_bundle
from gato_gym.training.commit import checkpoints

FILE = "start.json"


@dataclass(frozen=True)
class Start:
    """Where weights and text model come from.

    shape  of the model
    text   reads and writes its texts
    asked  whether the text model goes with the agent even if no task has text
    model  to go on with; None draws weights from the seed
    told   JSON-ready: which agent it was, and its card; {} of random weights
    """

    shape: ModelConfig
    text: TextTokenizer
    asked: bool = False
    model: Gato | None = None
    told: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def find(
        cls,
        shape: ModelConfig,
        agent: str | None = None,
        text: Path | None = None,
        layers: int | None = None,
    ) -> Start:
        """Load what there is to load.

        Args:
            shape: of a new model; of an agent's only stochastic depth is taken.
            agent: folder or Hub id; None starts from random weights.
            text: file of a SentencePiece model; None is the agent's, else the default one.
            layers: blocks to deepen the agent to; None leaves them as they are.

        Raises:
            CorruptCheckpointError: no such agent, or a damaged file.
            ValueError: the text model has more pieces than the model has ids, or is another
                than the agent's; fewer blocks than the agent has, or no agent to deepen.
        """
        given = TextTokenizer.load(text) if text is not None else None
        if agent is None:
            if layers is not None:
                raise ValueError("--layers deepens the agent of --start: give one, or --size")
            words = given or default_text()
            return cls(_checked(shape, words), words, given is not None)
        bundle = find_bundle(agent)
        if given is not None and bundle.text is not None and given.model != bundle.text.model:
            raise ValueError(
                f"--text-model {text}: the agent {agent} has learned the pieces of another one; "
                "leave --text-model out"
            )
        words = given or bundle.text or default_text()
        # Stochastic depth has no weights; everything else is the agent's.
        kept = bundle.model.config.to_json() | {"stochastic_depth": shape.stochastic_depth}
        config = _checked(ModelConfig(**kept), words)
        model = deepened(
            bundle.model, replace(config, layers=config.layers if layers is None else layers)
        )
        told: dict[str, Any] = {"agent": Path(agent).name, "weights": fingerprint(bundle.model)}
        card = bundle.documents.get("card.json")
        told |= {"card": _remembered(json.loads(card))} if card else {}
        return cls(model.config, words, words is not default_text(), model, told)

    def keep(self, folder: Path, *, write: bool) -> None:
        """Note in a run's folder what it started from; a run that goes on must say the same.

        Args:
            folder: of the run.
            write: whether this process writes there.

        Raises:
            GatoGymError: the run started from something else.
        """
        path, mine = folder / FILE, self._note()
        if checkpoints(folder):
            found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            if found.get("weights") != mine.get("weights"):
                raise GatoGymError(
                    f"{folder} started from {found.get('agent', 'random weights')}, not from "
                    f"{mine.get('agent', 'random weights')} as it is now: give the same --start, "
                    "or another --out"
                )
            if "text" in found and found["text"] != mine["text"]:
                raise GatoGymError(
                    f"{folder} was trained with another text model: give the same --text-model, or "
                    "another --out"
                )
        elif write:
            folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(mine, indent=1) + "\n", encoding="utf-8")
            os.replace(part, path)

    def _note(self) -> dict[str, Any]:
        known = {name: self.told[name] for name in ("agent", "weights") if name in self.told}
        return known | {"text": f"{google_crc32c.value(self.text.model):08x}"}


def _remembered(card: Any) -> Any:
    """The card of an earlier run as a later one keeps it, for a chain of runs has a card for each:
    its curve without single tasks, and not what it says of demonstrations, which are not here."""
    if not isinstance(card, dict):
        return card
    kept = {name: told for name, told in card.items() if name != "prompts"}
    curve, earlier = card.get("curve"), card.get("start")
    if isinstance(curve, list) and all(isinstance(point, dict) for point in curve):
        parts = ("losses", "accuracy")
        kept["curve"] = [{k: v for k, v in point.items() if k not in parts} for point in curve]
    if isinstance(earlier, dict) and "card" in earlier:
        kept["start"] = earlier | {"card": _remembered(earlier["card"])}
    return kept


def _checked(shape: ModelConfig, text: TextTokenizer) -> ModelConfig:
    if text.size > shape.text_size:
        raise ValueError(
            f"the text model has {text.size} pieces, a model of size {shape.size} has "
            f"{shape.text_size} ids for text: train a smaller one (gato-gym tokenizer train "
            "--size), or choose a larger --size"
        )
    return shape

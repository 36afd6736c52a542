"""One run of `gato-gym train`: a mixture, a trainer, all that is shown of it, and the agent."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from gato_gym import envs
from gato_gym.cli.console import Console
from gato_gym.cli.export import choose_prompts, export
from gato_gym.cli.rollouts import Rollouts, rollout_tasks
from gato_gym.cli.runlog import RunLog
from gato_gym.cli.start import Start
from gato_gym.cli.watch import Watch
from gato_gym.config import TrainConfig
from gato_gym.data.corpus import Corpus
from gato_gym.data.forms import refuse_other_forms
from gato_gym.data.mixture import Mixture
from gato_gym.data.sources.spec import FAMILY, corpus_spec, is_data_task
from gato_gym.data.windows import WindowSource
from gato_gym.envs.registry import named_by_data
from gato_gym.errors import GatoGymError, TrainingError
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.bundle import Bundle, save_bundle
from gato_gym.training.distributed import Ranks
from gato_gym.training.interrupt import Interrupts
from gato_gym.training.progress import StepLog
from gato_gym.training.sinks import Sink, TensorBoard, WeightsAndBiases
from gato_gym.training.trainer import Trainer
from gato_gym.types import TaskSpec

if TYPE_CHECKING:
    from gato_gym.cli.train import Options


def spec_in(corpus: Corpus, task: str) -> TaskSpec:
    """The spec of a task of a corpus: of an environment, or read off the episodes of a data set.

    Raises:
        UnknownTaskError, MissingExtraError: see `envs.task_spec`.
        DatasetError: see `corpus_spec`.
    """
    if is_data_task(task):
        return corpus_spec(corpus.episodes(task))
    return envs.task_spec(named_by_data(task))


class TrainingRun:
    """A run in `options.out`, begun or resumed.

    Args:
        options: of the command.
        start: shape, text model, and weights to go on with.
        config: of the run.
        corpus: the episodes.
        mixture, validation: those to train on, and those that are held out, if any.
        domains: task -> domain.
        ranks: the processes that train; the main one shows and exports.

    Raises:
        GatoGymError: the folder holds a run with other settings; and what `Trainer` raises.
    """

    def __init__(
        self,
        options: Options,
        start: Start,
        config: TrainConfig,
        corpus: Corpus,
        mixture: Mixture,
        validation: Mixture | None,
        domains: dict[str, str],
        ranks: Ranks,
    ) -> None:
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        self.options, self.start, self.ranks = options, start, ranks
        self.specs = {task: spec_in(corpus, task) for task in mixture.shares}
        known = [task for task, spec in self.specs.items() if spec.family != FAMILY]
        refuse_other_forms(corpus, self.specs.values())
        played = rollout_tasks(known, options.eval_tasks) if options.eval_every else []
        reads = start.asked or any(spec.has_text for spec in self.specs.values())
        shape, text = start.shape, start.text if reads else None

        def rows(part: Mixture) -> WindowSource:
            return WindowSource(
                corpus,
                part,
                self.specs,
                shape.context,
                Vocabulary(shape.text_size),
                text,
                seed=config.seed,
                prompt_share=config.prompt_share,
            )

        try:
            self.trainer = Trainer(
                shape,
                config,
                rows(mixture),
                options.out,
                ranks=ranks,
                model=start.model,
                validation=rows(validation) if validation is not None else None,
                domains=domains,
            )
        except TrainingError as error:  # wrong use, and nothing has been trained yet
            raise GatoGymError(str(error)) from error
        step = self.trainer.step
        self.rollouts = Rollouts(
            options.out,
            played,
            options.eval_every,
            options.eval_episodes,
            step=step,
            tell=lambda line: self._console.tell(line),
        )
        self.log = RunLog(options.out, step) if ranks.main else None
        self._console = Console(step, config.steps)
        self.card: dict[str, Any] | None = None

    def watched(self, folder: Path, command: str) -> int:
        """Train, shown to a person, then write the agent to `folder`; on a finished run only that.

        All ranks must call it. The main one sets `card`, the card of the agent.

        Returns:
            0, or the exit code of the signal that ended training.
        """
        trainer, steps = self.trainer, self.trainer.config.steps
        if trainer.step >= steps:
            self._export(trainer.trained(), folder, command)
            return 0
        with ExitStack() as stack:
            interrupts = stack.enter_context(Interrupts(tell=self.ranks.main))
            watch = self._watch()
            if watch is not None:
                stack.enter_context(watch)
                self._console.tell(self._beginning())
            for event in trainer.run(stop=lambda: interrupts.requested is not None):
                model = None
                # The last weights are played in the end, when nothing else waits for them.
                due = isinstance(event, StepLog) and self.rollouts.due(event.step)
                if due and event.step < steps:
                    model = trainer.trained()
                if watch is not None:
                    watch.show(event, model)
            if trainer.step < steps:
                if watch is not None:
                    told = "run the same command again to resume"
                    self._console.tell(f"saved step {trainer.step}: {told}")
                # Another rank may have had the signal: none of them goes on.
                return interrupts.exit_code or 128 + signal.SIGTERM
            model = trainer.trained()
            self._export(model, folder, command)
            # From here on no rank waits for another: the last rollouts may take long.
            if watch is not None and model is not None:
                watch.finish(steps, model, lambda: interrupts.requested is not None)
        return 0

    def _watch(self) -> Watch | None:
        if self.log is None:
            return None
        options, trainer, source = self.options, self.trainer, self.trainer.source
        sinks: list[Sink] = []
        if options.wandb:  # first: where it is not installed nothing is written
            settings = {"model": trainer.model_config.to_json()}
            settings["train"] = trainer.config.to_json()
            sinks.append(WeightsAndBiases(options.wandb, options.out, settings))
        sinks.append(TensorBoard(options.out, trainer.step))
        prompts = choose_prompts(source.corpus, self.specs) if self.rollouts.every else {}

        def write(folder: Path, model: Gato) -> None:
            save_bundle(Bundle(model, self.specs, prompts, source.text), folder)

        return Watch(self.log, self._console, sinks, self.rollouts, write)

    def _beginning(self) -> str:
        trainer = self.trainer
        told = f"{trainer.model_config.size}: {trainer.parameters:,} parameters, "
        told += f"{len(self.specs)} tasks"
        if self.ranks.size > 1:
            told += f", {self.ranks.size} processes"
        if trainer.recomputed_blocks:
            told += f", {trainer.recomputed_blocks} blocks keep no activations"
        return told + (f", resuming at step {trainer.step}" if trainer.step else ", starting")

    def _export(self, model: Gato | None, folder: Path, command: str) -> None:
        if model is not None and self.log is not None:
            self.card = export(
                self.trainer,
                model,
                self.specs,
                self.log,
                folder,
                command,
                self.options.note,
                self.start.told,
            )

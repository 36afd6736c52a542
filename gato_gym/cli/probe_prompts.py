"""`gato-gym probe prompts`: each task with its own demonstration, without one, with a wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from gato_gym.cli.players import print_json, write_json
from gato_gym.cli.probe_runs import Cell, Numbers, Probe, begin, provenance, run_cells
from gato_gym.evaluation.pairs import LENGTHS, TEST, LengthRecorder
from gato_gym.evaluation.progress import ProgressBar
from gato_gym.evaluation.prompting.conditions import CONDITIONS, Condition
from gato_gym.evaluation.prompting.table import PROMPT, as_markdown, as_text, prompt_row
from gato_gym.evaluation.scores import Score, agent_name, evaluate


@dataclass(frozen=True)
class Prompts(Numbers):
    """Scores with a task's own demonstration, without one, and with another task's."""


def run_prompts(options: Prompts) -> int:
    """Play, write, draw and print; 1 where nothing could be played."""
    probe = begin("prompts", options)
    cells = [
        Cell(task, name, partial(_play, probe, task, name))
        for task in probe.tasks
        for name in CONDITIONS
    ]
    settings = probe.settings(probe="prompts")

    def finish(scores: Mapping[str, Score], failed: Mapping[str, str]) -> int:
        return _finish(probe, cells, settings, scores, failed)

    return run_cells(probe, cells, settings, finish)


def _play(probe: Probe, task: str, name: Condition, title: str) -> Score:
    from gato_gym.evaluation.prompting.players import with_condition  # brings torch

    options, lengths = probe.options, LengthRecorder()
    player, shown = with_condition(probe.agent, task, name)
    with ProgressBar(title, options.episodes) as bar:
        score = evaluate(
            task,
            player,
            episodes=options.episodes,
            seed=options.seed,
            observers=[bar, lengths],
            checkpoint=agent_name(player),
            num_envs=options.num_envs,
        )
    return replace(score, beside={LENGTHS: lengths.lengths, PROMPT: shown})


def _finish(
    probe: Probe,
    cells: list[Cell],
    settings: Mapping[str, object],
    scores: Mapping[str, Score],
    failed: Mapping[str, str],
) -> int:
    options, skipped, rows = probe.options, dict(probe.skipped), []
    for task in probe.tasks:
        parts = {cell.part: cell.name for cell in cells if cell.task == task}
        found = {name: scores[parts[name]] for name in CONDITIONS if parts[name] in scores}
        missing = {name: failed[parts[name]] for name in CONDITIONS if parts[name] in failed}
        if found:
            rows.append(prompt_row(task, found, missing))
        else:
            skipped[task] = missing["none"]
    if not rows:
        probe.tell("no task could be played")
        return 1
    result = {"tasks": rows, "skipped": skipped, "test": TEST} | provenance(settings)
    if options.out is not None:
        write_json(options.out, result)
    if options.chart is not None:
        from gato_gym.evaluation.prompting.figure import draw_prompts

        probe.draw(partial(draw_prompts, rows), options.chart)
    if options.json:
        print_json(result)
    elif options.markdown:
        print("\n".join(as_markdown(rows)))
    else:
        print("\n".join(as_text(rows)))
        print(f"verdict: {TEST}")
        for task, why in skipped.items():
            print(f"skipped: {task}: {why}")
    return 0

"""The page of a run: its sections put together, rendered and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import gato_gym
from gato_gym.errors import MissingExtraError
from gato_gym.evaluation.report import values
from gato_gym.evaluation.report.absent import Absent, absent
from gato_gym.evaluation.report.curves import curves, few_shot
from gato_gym.evaluation.report.facts import Facts, corpus_facts, facts
from gato_gym.evaluation.report.media import LIMIT, Picture, check_videos, fitting
from gato_gym.evaluation.report.scores import Scores, mismatches, read
from gato_gym.evaluation.report.source import (
    CARD,
    CURVE,
    FINETUNE,
    README,
    RESULT,
    ROLLOUTS,
    SCORECARD,
    TASKS,
    TRAIN,
    VALIDATION,
    RunFolder,
    read_scores,
)
from gato_gym.evaluation.report.weights import fingerprint

_MARGIN = 200_000  # bytes for what is said of videos that do not fit


@dataclass
class Report:
    """A page and what is told about it.

    html      the whole page
    sections  names of those that it has
    absent    of those that it has not, and what would fill them
    warnings  what a reader must know, in sentences
    charts    the figures, see `figures.Chart`
    pictures  what --overlay drew
    """

    html: str
    sections: list[str]
    absent: list[Absent]
    warnings: list[str]
    charts: list[Any] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def save_figures(self, folder: Path) -> list[Path]:
        """Write every figure as PNG and SVG, pictures as PNG; returns the files."""
        from gato_gym.evaluation.report import theme

        files = [file for chart in self.charts for file in chart.save(folder)]
        for one in self.pictures:
            files.append(folder / f"{one.name}.png")
            theme.replace(files[-1], one.png())
        return files


def check_packages() -> None:
    """Raise MissingExtraError unless what renders the page is installed."""
    try:
        import jinja2  # noqa: F401
        import markdown_it  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f'gato-gym report needs {error.name}: pip install "gato-gym[report]"'
        ) from error


def build(
    path: Path,
    *,
    scores: Path | None = None,
    corpus: Path | None = None,
    videos: Sequence[Path] = (),
    overlay: str | None = None,
    says: int = 0,
    command: str = "gato-gym report",
) -> Report:
    """The report of a run.

    Args:
        path: the folder of a training or fine-tuning run, or of an agent.
        scores: a scorecard to show instead of the agent's own.
        corpus: its statistics are shown.
        videos: mp4 files, shown in this order as far as they fit.
        overlay: a task that the agent knows: what it looks at there is drawn.
        says: replies to show of each task that speaks.
        command: that asked for it.

    Raises:
        FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError: a path that is not
            what it has to be; the message names it and what was expected.
        UnknownTaskError: the agent does not know the task.
        MissingExtraError: a package is not installed.
    """
    check_packages()
    from gato_gym.evaluation.report import figures, markdown, speech

    check_videos(videos)
    run = RunFolder(path)
    asked = None
    if scores is not None:
        asked = read_scores(scores)
        run.keep(scores.name, scores.read_bytes())
    if (overlay is not None or says) and run.agent_folder is None:
        raise ValueError(f"{path} has no agent yet, which --overlay and --says let play")
    specs, card = run.of_agent(TASKS), run.of_agent(CARD)
    found, warnings = _scores(run, asked, specs)
    trained = curves(
        run.lines(TRAIN) or _card_curve(card), run.lines(VALIDATION), run.lines(ROLLOUTS), specs
    )
    settings, result = run.document(FINETUNE), run.document(RESULT)
    tuned = few_shot(
        settings, run.lines(CURVE), result, values.mapping(specs.get(str(settings.get("task"))))
    )
    if trained is not None and trained.broken:
        some = ", ".join(map(str, trained.broken[:5])) + (", ..." if trained.broken[5:] else "")
        warnings.append(f"The loss is not finite at step {some}.")
    data = corpus_facts(corpus, card)
    told = facts(run, card, result, found)
    pictures: list[Picture] = []
    replies: list[speech.Example] = []
    if run.agent_folder is not None:
        if overlay is not None:
            from gato_gym.evaluation.report.attention import attention

            pictures = attention(run.agent_folder, overlay)
        if says:
            replies = speech.examples(run.agent_folder, says)
    readme = run.text(f"{run.agent}{README}") if run.agent is not None else None
    charts = {
        "scores": figures.thresholds(found) if found else [],
        "learning": figures.learning(trained) if trained else [],
        "few_shot": [figures.few_shot(tuned)] if tuned else [],
        "data": [figures.returns(data.strips)] if data and data.strips else [],
    }
    context: dict[str, Any] = {
        "run": run,
        "facts": told,
        "scores": found,
        "curves": trained,
        "few_shot": tuned,
        "spoken": speech.spoken(found.speaking) if found else [],
        "examples": replies,
        "pictures": pictures,
        "data": data,
        "card": markdown.rendered(readme) if readme else None,
        "charts": {name: [(one, one.markup()) for one in group] for name, group in charts.items()},
        "command": command,
        "version": gato_gym.__version__,
    }
    missing = absent(run, context, has_videos=bool(videos))
    warnings += [f"{problem}." for problem in run.problems]
    bare = _render({**context, "absent": missing, "warnings": warnings, "videos": []})
    shown, left_out = fitting(videos, LIMIT - len(bare.encode("utf-8", "replace")) - _MARGIN)
    warnings += left_out
    html = bare
    if shown or left_out:
        html = _render({**context, "absent": missing, "warnings": warnings, "videos": shown})
    sections = {
        "scores": found,
        "learning curves": trained,
        "few-shot": tuned,
        "what it says": context["spoken"] or replies,
        "videos": shown,
        "attention": pictures,
        "data": data,
        "model card": readme,
    }
    return Report(
        html=html,
        sections=[*(name for name, there in sections.items() if there), "provenance"],
        absent=missing,
        warnings=warnings,
        charts=[one for group in charts.values() for one in group],
        pictures=pictures,
    )


def _scores(
    run: RunFolder, asked: dict[str, Any] | None, specs: dict[str, Any]
) -> tuple[Scores | None, list[str]]:
    """The scores to show, if there are any, and why they may not be this agent's."""
    scorecard, own = asked, run.agent_folder
    if scorecard is None and own is not None:
        scorecard = run.of_agent(SCORECARD) or run.document(SCORECARD)
    if not scorecard:
        return None, []
    if not isinstance(scorecard.get("tasks"), list):
        run.problems.append(f"{SCORECARD} has no list of tasks and is left out")
        return None, []
    found = read(scorecard, specs, run.problems)
    if not found.rows and not found.skipped:
        run.problems.append(f"{SCORECARD} has no score of any task and is left out")
        return None, []
    names = ["bundled"] if run.bundled else []
    if own is not None:
        folder = own.resolve()
        names.append(f"{folder.parent.name}/{folder.name}")
    return found, mismatches(scorecard, names, specs, lambda: fingerprint(own) if own else None)


def _card_curve(card: dict[str, Any]) -> list[dict[str, Any]]:
    """The curve that an agent's card keeps of its training."""
    lines = card.get("curve")
    rows = lines if isinstance(lines, list) else []
    return [row for row in rows if values.number(values.mapping(row).get("step")) is not None]


def _render(context: dict[str, Any]) -> str:
    import jinja2
    from markupsafe import Markup

    from gato_gym.evaluation.report import theme

    parts = resources.files("gato_gym.evaluation.report")
    text = {kind: (parts / f"page.{kind}").read_text(encoding="utf-8") for kind in _PARTS}
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {name: getattr(values, name) for name in _FILTERS}
    environment.filters["card_value"] = Facts.value
    style = text["css"].replace("/* light */", theme.variables(False))
    style = style.replace("/* dark */", theme.variables(True))
    script = text["js"].strip()
    return environment.from_string(text["html"]).render(
        **context, style=Markup(style), script=Markup(script), policy=_policy(script)
    )


_PARTS = ("html", "css", "js")
_FILTERS = (
    *("short", "fixed", "percent", "whole", "large", "size", "duration", "interval"),
    *("number", "pair", "mapping", "printable"),
)


def _policy(script: str) -> str:
    """What the browser may do with the page: run its one script, show what is inside it."""
    import base64
    import hashlib

    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )

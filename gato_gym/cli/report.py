"""Write one page about a run: scores, curves, data, videos, model card; a single HTML file.

RUN is the --out folder of gato-gym train or finetune, an agent's folder, or bundled. What the run
does not have is named on the page with the command that makes it. The page loads nothing.

examples:
    gato-gym report runs-local/a
    gato-gym report runs-local/a --corpus corpus --videos boxing.mp4 --out a.html
    gato-gym report bundled --overlay ALE/Boxing-v5 --figures figures
    gato-gym report runs-local/a --scores scorecard.json --json
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from tyro.conf import Positional

from gato_gym.cli.players import print_json


@dataclass(frozen=True)
class Options:
    """Which run, what is shown beside it, and where the page goes."""

    run: Positional[Path]
    """Folder of a training or fine-tuning run, or of an agent; bundled is the one that ships."""
    scores: Path | None = None
    """Scorecard of gato-gym eval --all --out; default is the one in the agent's folder."""
    corpus: Path | None = None
    """Show the statistics of this corpus; default is what the agent's card tells."""
    videos: tuple[Path, ...] = ()
    """Files of gato-gym record; the page holds at most 30 MB."""
    overlay: str | None = None
    """Draw what the agent looks at in the first steps of this task; it plays for that."""
    says: int = 0
    """Show so many replies of each task whose actions are text; it plays for that."""
    out: Path = Path("report.html")
    """The page."""
    figures: Path | None = None
    """Also write every figure into this folder, as PNG and SVG."""
    json: bool = False
    """Print JSON."""


def run(options: Options) -> int:
    """Build the page and write it, with its figures if asked."""
    if options.out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out must end in .html, got {options.out}")
    if options.out.is_dir():
        raise IsADirectoryError(
            f"--out {options.out} is a folder: name a file, {options.out}/a.html"
        )
    if options.says < 0:
        raise ValueError(f"--says must be at least 0, got {options.says}")
    from gato_gym.evaluation.report.page import build  # brings matplotlib
    from gato_gym.evaluation.report.theme import replace

    report = build(
        options.run,
        scores=options.scores,
        corpus=options.corpus,
        videos=options.videos,
        overlay=options.overlay,
        says=options.says,
        command=command_line(options),
    )
    for warning in report.warnings:
        print(f"gato-gym report: warning: {' '.join(warning.split())}", file=sys.stderr)
    data = report.html.encode("utf-8", "replace")
    replace(options.out, data)
    files = report.save_figures(options.figures) if options.figures is not None else []
    absent = {one.name: one.why for one in report.absent}
    if options.json:
        print_json(
            {
                "page": str(options.out),
                "bytes": len(data),
                "sections": report.sections,
                "absent": absent,
                "warnings": report.warnings,
                "figures": [str(file) for file in files],
            }
        )
        return 0
    print(f"{options.out}: {len(data) / 1e6:.2f} MB, open it in any browser")
    if absent:
        print(f"not on it: {', '.join(absent)}; its last section tells how to add them")
    if files:
        print(f"{options.figures}: {len(files)} files")
    return 0


def command_line(options: Options) -> str:
    """The command that these options came from; of a path only its name, the same anywhere.

    Where the page and its figures go does not change the page, so it is left out.
    """
    # `run/agent` says more than `agent`.
    place = options.run.absolute()
    deep = place.name in ("agent", "best")
    words = ["gato-gym", "report", f"{place.parent.name}/{place.name}" if deep else place.name]
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in ("run", "out", "figures", "json") or value in (field.default, None, ()):
            continue
        words.append(f"--{field.name}")
        many = value if isinstance(value, tuple) else (value,)
        words += [one.name if isinstance(one, Path) else str(one) for one in many]
    return shlex.join(words)

"""Write the README's table of scores from the bundled scorecard.

python demos/readme_scores.py            rewrite what stands between the markers
python demos/readme_scores.py --check    exit 1 if the README says something else
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SCORECARD = ROOT / "gato_gym" / "pretrained" / "scorecard.json"
BEGIN, END = "<!-- scores -->", "<!-- /scores -->"
HEADER = (
    "| task | episodes | return [95 % interval] | random | expert | expert-normalised | success |",
    "|---|---|---|---|---|---|---|",
)


def row(score: Mapping[str, Any]) -> str:
    """One task's line; `score` is what `gato-gym eval --task T --json` prints."""
    low, high = score["ci95"]
    success = score.get("success_rate")
    cells = (
        f"`{score['task']}`",
        score["episodes"],
        f"{score['mean_return']:.1f} [{low:.1f}, {high:.1f}]",
        f"{score['random']:.1f}",
        f"{score['expert']:.1f}",
        f"{score['normalized']:.2f}",
        "" if success is None else f"{success:.0%}",
    )
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def with_table(readme: str, scores: Sequence[Mapping[str, Any]]) -> str:
    """The README's text with the table between its markers."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{README.name} needs the markers {BEGIN} and {END}")
    table = "\n".join((*HEADER, *(row(score) for score in scores)))
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing, compare")
    arguments = parser.parse_args()
    if not SCORECARD.exists():
        print(f"{SCORECARD.relative_to(ROOT)} is missing; gato-gym eval writes it", file=sys.stderr)
        return 2
    old = README.read_text()
    new = with_table(old, json.loads(SCORECARD.read_text())["tasks"])
    if arguments.check:
        if new != old:
            print("README.md differs: run python demos/readme_scores.py", file=sys.stderr)
        return int(new != old)
    README.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())

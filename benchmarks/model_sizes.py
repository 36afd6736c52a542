"""Count the parameters of the paper's three model sizes, beside the numbers that the paper prints.

    python benchmarks/model_sizes.py
    python benchmarks/model_sizes.py --json

The models are built without memory for their weights, so this runs anywhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import torch

from gato_gym.config import MODELS, PAPER_PARAMETERS
from gato_gym.models.gato import Gato


def count(size: str) -> dict[str, str | int | float]:
    """A size's shape, its parameters here and in the paper, and their ratio."""
    config = MODELS[size]
    with torch.device("meta"):
        parameters = Gato(config).parameter_count()
    return {
        "name": size,
        "layers": config.layers,
        "width": config.width,
        "heads": config.heads,
        "hidden": config.hidden,
        "parameters": parameters,
        "paper": round(PAPER_PARAMETERS[size]),
        "ratio": round(parameters / PAPER_PARAMETERS[size], 4),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    rows = [count(size) for size in sorted(PAPER_PARAMETERS, key=PAPER_PARAMETERS.__getitem__)]
    if options.json:
        print(json.dumps(rows))
        return 0
    print(f"{'name':6}{'layers':>8}{'width':>8}{'heads':>8}{'hidden':>8}", end="")
    print(f"{'parameters':>16}{'paper':>16}{'ratio':>8}")
    for row in rows:
        shape = "".join(f"{row[key]:8}" for key in ("layers", "width", "heads", "hidden"))
        print(f"{row['name']:6}{shape}{row['parameters']:16,}{row['paper']:16,}{row['ratio']:8.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

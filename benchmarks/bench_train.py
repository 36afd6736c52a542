"""Measure training for benchmarks/results/, on a machine that does nothing else.

    python benchmarks/bench_train.py                    # a CPU: half an hour on two cores
    python benchmarks/bench_train.py --device cuda      # a GPU: the paper's three sizes
    python benchmarks/bench_train.py --only metaworld   # one of them again

Each figure is a run of `gato-gym bench train`, whose command stands in it. The file keeps the
figures of runs that are not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results"

# What two CPU cores were measured with elsewhere: 4 layers x 256, batch 4, Meta-World.
_PUBLISHED = "--layers 4 --width 256 --batch 4 --task metaworld"

RUNS = {
    "cpu": {
        "79m": "--size 79m",
        "metaworld": _PUBLISHED,
        "metaworld-1024": f"--size 79m --heads 4 {_PUBLISHED}",
    },
    "cuda": {
        "79m": "--size 79m --batch 32",
        "364m": "--size 364m --batch 16",
        "1.2b": "--size 1.2b --batch 8",
    },
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=sorted(RUNS), default="cpu")
    parser.add_argument("--only", help="one run of the device")
    parser.add_argument("--corpus", help="episodes to train on, instead of a few collected ones")
    parser.add_argument("--out", type=Path, help="default is results/bench_train_DEVICE.json")
    options = parser.parse_args(arguments)
    runs = RUNS[options.device]
    if options.only is not None and options.only not in runs:
        parser.error(f"no run {options.only!r}: one of {', '.join(runs)}")
    out = options.out or RESULTS / f"bench_train_{options.device}.json"
    found = json.loads(out.read_text()) if out.exists() else {}
    for name in [options.only] if options.only else runs:
        command = ["bench", "train", *runs[name].split(), "--device", options.device]
        if options.corpus:
            command += ["--corpus", options.corpus]
        print(name, *command, file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "gato_gym", *command, "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            return done.returncode
        found[name] = json.loads(done.stdout)
        out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

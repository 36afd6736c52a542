"""Measure training and acting for benchmarks/results/, on a machine that does nothing else.

    python benchmarks/bench.py train                    # a CPU: half an hour on two cores
    python benchmarks/bench.py act                      # eight minutes
    python benchmarks/bench.py act --device cuda        # a GPU: the paper's three sizes
    python benchmarks/bench.py train --only metaworld   # one of them again

Each figure is a run of `gato-gym bench`, whose command stands in it. The file keeps the figures of
runs that are not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results"

# What two CPU cores were measured with elsewhere: 4 layers x 256, Meta-World.
_METAWORLD = "--layers 4 --width 256 --task metaworld"

_BUNDLED = {
    "cartpole": "--checkpoint bundled --task CartPole-v1",
    "boxing": "--checkpoint bundled --task ALE/Boxing-v5",
    "stacking": "--checkpoint bundled --task gato_gym/BlockStacking-v0",
}
_ON_GPU = "--precision bfloat16 --batch-sizes 1 8 64"

RUNS = {
    ("train", "cpu"): {
        "79m": "--size 79m",
        "metaworld": f"--batch 4 {_METAWORLD}",
        "metaworld-1024": f"--size 79m --heads 4 --batch 4 {_METAWORLD}",
    },
    ("train", "cuda"): {
        "79m": "--size 79m --batch 32",
        "364m": "--size 364m --batch 16",
        "1.2b": "--size 1.2b --batch 8",
    },
    ("act", "cpu"): {
        "79m": "--size 79m --task ALE/Boxing-v5",
        "79m-bfloat16": "--size 79m --task ALE/Boxing-v5 --precision bfloat16",
        "metaworld": _METAWORLD,
        **{name: f"{what} --batch-sizes 1 8 64" for name, what in _BUNDLED.items()},
        **{f"{name}-one-core": f"{what} --threads 1" for name, what in _BUNDLED.items()},
    },
    ("act", "cuda"): {
        "79m": f"--size 79m --task ALE/Boxing-v5 {_ON_GPU}",
        "1.2b": f"--size 1.2b --task ALE/Boxing-v5 {_ON_GPU}",
        "1.2b-stacking": f"--size 1.2b --task gato_gym/BlockStacking-v0 {_ON_GPU}",
        "1.2b-int8": "--size 1.2b --task ALE/Boxing-v5 --precision int8",
    },
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "act"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", help="one run of the device")
    parser.add_argument("--corpus", help="to train on, instead of a few collected episodes")
    parser.add_argument("--out", type=Path, help="default is results/bench_WHAT_DEVICE.json")
    options = parser.parse_args(arguments)
    if options.corpus and options.what != "train":
        parser.error("--corpus is for train")
    runs = RUNS[options.what, options.device]
    if options.only is not None and options.only not in runs:
        parser.error(f"no run {options.only!r}: one of {', '.join(runs)}")
    out = options.out or RESULTS / f"bench_{options.what}_{options.device}.json"
    found = json.loads(out.read_text()) if out.exists() else {}
    for name in [options.only] if options.only else runs:
        command = ["bench", options.what, *runs[name].split(), "--device", options.device]
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

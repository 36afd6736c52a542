"""`torchrun --nproc-per-node N -m gato_gym.training OPTIONS`: `gato-gym train OPTIONS` on N ranks.

torchrun starts N processes per machine and tells each its rank. If one dies it ends the others and,
with `--max-restarts`, starts all again: they resume from the newest checkpoint.
"""

import sys

from gato_gym.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))

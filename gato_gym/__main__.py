"""`python -m gato_gym VERB`: the command line without its script."""

import sys

from gato_gym.cli import main

if __name__ == "__main__":
    sys.exit(main())

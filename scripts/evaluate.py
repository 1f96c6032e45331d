"""Runs a suite and writes its results: ``python scripts/evaluate.py --help``."""

import os
import sys


def main() -> int:
    """Load and run the command line; loading takes seconds, so Ctrl-C is met there, too."""
    # Its matrices are small: more threads of BLAS wait for each other and hold up the depth networks.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from asyncmde_sim.evaluation.suite.cli import main as evaluate
    except KeyboardInterrupt:
        print("Interrupted before the first episode.", file=sys.stderr)
        return 130
    return evaluate()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m mlip_design ...` does what `mlip-design ...` does."""

import sys

from mlip_design.cli import main

if __name__ == "__main__":
    sys.exit(main())

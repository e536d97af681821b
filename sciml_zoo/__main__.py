"""``python -m sciml_zoo`` is the same as ``sciml-zoo``."""

import sys

from sciml_zoo.cli import main

if __name__ == "__main__":
    sys.exit(main())

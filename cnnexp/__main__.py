"""`python -m cnnexp`."""

import sys

from cnnexp.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m cnnexp`."""

from cnnexp.cli import run

if __name__ == "__main__":
    run()

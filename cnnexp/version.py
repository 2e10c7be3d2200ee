"""The version of cnnexp."""

__version__ = "0.1.0"

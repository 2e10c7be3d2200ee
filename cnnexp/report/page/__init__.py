"""Runs as one HTML page that needs nothing from outside: it opens from a disk, on a phone, in the dark and on paper."""

from cnnexp.report.page.document import page

__all__ = ["page"]

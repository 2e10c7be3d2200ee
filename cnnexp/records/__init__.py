"""The record of a run: a folder that is claimed, written atomically, finished, listed and loaded. Knows no torch."""

from cnnexp.records.record import Record, Run, find, folders, load

__all__ = ["Record", "Run", "find", "folders", "load"]

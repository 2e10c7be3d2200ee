"""TensorBoard's checksum in C: in Python it takes three times as long as encoding the pictures that it protects."""

from __future__ import annotations

import google_crc32c


def masked(data: bytes) -> int:
    """The checksum of a record: its CRC-32C, turned by 15 bits and shifted, which is the format of TFRecord files.

    Source: the format's description in TensorFlow's guide to TFRecord.
    """
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def install() -> None:
    """Let everything that writes events in this process use it."""
    from tensorboard.summary.writer import record_writer

    record_writer.masked_crc32c = masked

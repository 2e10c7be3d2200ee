"""The verbs that look at what is there and need no config."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def print_json(told: object) -> None:
    """Print plain data for machines."""
    print(json.dumps(told, indent=2, ensure_ascii=False))


def runs(arguments: argparse.Namespace) -> int:
    """The table of what was recorded."""
    from cnnexp.records import find
    from cnnexp.records.table import table

    found = find(Path(arguments.folder))
    if arguments.json:
        rows: list[dict[str, Any]] = [{"path": str(r.path), **r.fields} for r in found]
        print_json(rows)
    else:
        print(table(found) if found else f"no runs in {arguments.folder}")
    return 0

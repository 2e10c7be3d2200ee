"""What a run ran in: versions, machine and code. Read without importing the libraries."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib import metadata
from typing import Any

from cnnexp.version import __version__

_LIBRARIES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf", "numpy")


def versions() -> dict[str, str]:
    """The versions of Python, cnnexp and what a result depends on."""
    found = {"python": platform.python_version(), "cnnexp": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git() -> dict[str, Any] | None:
    """The commit of the working directory and whether it has changes; None outside a repository."""
    if shutil.which("git") is None:
        return None
    commit = _git("rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(_git("status", "--porcelain"))} if commit else None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

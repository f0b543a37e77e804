"""Where the files are that ship with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DATA"]

DATA = Path(__file__).with_name("data")
"""A folder. The package is installed as files: a program that starts it anew has to find them, too."""

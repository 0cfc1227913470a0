"""The suites that come with pacos, one folder each: task files, rubrics and their items."""

from pathlib import Path

SHIPPED_SUITES = Path(__file__).parent
"""`suite.folder=shipped:NAME` is the folder NAME below it."""

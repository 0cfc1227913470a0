"""Read the seed tasks of a run."""

from __future__ import annotations

from pacos.schemas import SeedTask, read_seed_tasks
from pacos.text.language import language
from selfinstruct.config import SelfInstructConfig


def read_seeds(config: SelfInstructConfig) -> dict[str, list[SeedTask]]:
    """Return the seed tasks by language; a user's bilingual file is split by detected language.

    Raises:
        UserError: a line of a file is not a seed task.
    """
    files = config.seed_files()
    if config.seeds.path is None or len(files) == 1:
        return {lang: read_seed_tasks(path) for lang, path in files.items()}
    tasks = read_seed_tasks(next(iter(files.values())))
    return {lang: [task for task in tasks if seed_language(task) == lang] for lang in files}


def seed_language(task: SeedTask) -> str:
    """Return `ko` or `en`; text in any other language counts as `en`."""
    return "ko" if language(task.instruction) == "ko" else "en"

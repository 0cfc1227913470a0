"""The card of an exported model, from the records of its run."""

from __future__ import annotations

import dataclasses

from pacos.cards.model import model_card
from pacos.errors import UserError
from pacos.lineage.library import Library
from pacos.run_paths import RunPaths
from sft.export.writer import Origin


def card_of_run(run: RunPaths, origin: Origin, library: Library | None = None) -> str:
    """Return the card of a model that is about to be written.

    Args:
        run: the training run.
        origin: of the model.
        library: the runs to search for evaluations; None takes those around the run alone.

    Raises:
        UserError: an older version of pacos recorded the run.
    """
    library = library or Library.around(run.path)
    found = library.run_in(run.path)
    if found is None:
        raise UserError(f"{run.manifest}: is damaged; restore it")
    return model_card(found, dataclasses.asdict(origin), library)

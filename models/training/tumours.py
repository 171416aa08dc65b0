"""What models of regions learn from: a tumour in its views, with what was found out about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.regions.contract import Lesion, View
from models.training.contract import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Tumour:
    """One lesion of a patient.

    Attributes
    ----------
    name : str
        What tells it apart in the data set; never anything of a patient but the pseudonym.
    patient : str
        A pseudonym: all tumours of a patient are in the same split and the same fold.
    split : {"train", "val", "test"} or None
    fold : int or None
        From 1; None where the manifest names none.
    views : mapping of str to LesionView
        The views in which it is marked.
    outcomes : mapping of str to str
        Class by outcome, as in `models.regions.outcomes.OUTCOMES`; an outcome that is not known is left out.
    clinical : mapping of str to float or str
        Covariates; one that is not known is left out.
    second_masks : mapping of str to numpy.ndarray
        By view: the same lesion as another reader outlined it, of the shape of ``views[view].mask``; may be empty.
    """

    name: str
    patient: str
    split: Split | None
    views: Lesion
    outcomes: Mapping[str, str]
    fold: int | None = None
    clinical: Mapping[str, float | str] = field(default_factory=dict)
    second_masks: Mapping[View, NDArray[np.bool_]] = field(default_factory=dict)

"""From boxes to an image, and from views to a breast: the paper's rules, and what they leave open.

An image (paper): malignant if it has a malignant box, with that box's probability of malignancy. Decided here: the
highest of several malignant boxes; with benign boxes only, the highest probability of malignancy among them, since each
has one and an image is no less suspicious than what is on it; without any box 0.

The paper (FPNNet, "breast level"): both views agree -> that status, with the higher of the two probabilities; they
disagree -> malignant if the malignant view's probability of malignancy exceeds 0.5, with that probability, else benign
with the benign view's probability. Decided here, where the paper is silent:

- *Several images of one view* (a repeat, a second partial view): the view has the highest malignant and the highest
  benign probability of them. What one of them shows is there, whether or not the others show it.
- *A view without any box* is "no calcification", which is not "benign", and it votes for nothing: the breast has the
  status of the other view with that view's probability, even below 0.5. A cluster may be hidden in one view, so
  silence never overrules a finding.
- *One view only*, or one of two analysed: the status of that view, with its probability.
- *No box in any analysed view*: no calcification. A detector has no probability for absence, so there is no confidence.
- *No view analysed*: not analysed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from models.contract import Detection, Label
from sr_templates.contract import BreastStatus

MALIGNANT_ABOVE: Final = 0.5
"""Of the paper: what a malignant view needs to prevail over a benign one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewEvidence:
    """What one analysed view shows.

    Attributes
    ----------
    view : str
        "CC" or "MLO".
    malignant : float or None
        Highest probability of malignancy of a malignant box, 0 to 1; None when there is no such box.
    benign : float or None
        Highest probability that a benign box holds benign calcifications, which is what malignancy leaves of its
        score, 0 to 1; None when there is no such box.
    """

    view: str
    malignant: float | None
    benign: float | None

    @property
    def status(self) -> Label | None:
        """An image is malignant if it has a malignant box (paper); None without any box."""
        if self.malignant is not None:
            return "malignant"
        return "benign" if self.benign is not None else None

    @property
    def probability(self) -> float | None:
        """Probability of `status`."""
        return self.malignant if self.malignant is not None else self.benign


def image_malignancy(detections: Iterable[Detection]) -> float:
    """Probability that an image shows malignant calcifications, 0 to 1.

    Parameters
    ----------
    detections : iterable of Detection
        All boxes of the image.
    """
    found = tuple(detections)
    malignant = [box.malignancy for box in found if box.label == "malignant"]
    return max(malignant or (box.malignancy for box in found), default=0.0)


def view_evidence(view: str, detections: Iterable[Detection]) -> ViewEvidence:
    """Sum up the boxes of all images of one view."""
    found = tuple(detections)
    malignant = (box.malignancy for box in found if box.label == "malignant")
    benign = (box.score - box.malignancy for box in found if box.label == "benign")
    return ViewEvidence(view=view, malignant=max(malignant, default=None), benign=max(benign, default=None))


def breast_status(views: Iterable[ViewEvidence]) -> tuple[BreastStatus, float | None]:
    """Status of a breast and its confidence.

    Parameters
    ----------
    views : iterable of ViewEvidence
        One for each analysed view, in any order; two at most in the paper, and any number here.

    Returns
    -------
    status : {"benign", "malignant", "no_calcification", "not_analysed"}
    confidence : float or None
        Probability of the status, 0 to 1; None when there is none.
    """
    analysed = tuple(views)
    if not analysed:
        return "not_analysed", None
    malignant = [view.malignant for view in analysed if view.malignant is not None]
    benign = [view.benign for view in analysed if view.status == "benign" and view.benign is not None]
    if malignant and benign:
        return ("malignant", max(malignant)) if max(malignant) > MALIGNANT_ABOVE else ("benign", max(benign))
    if malignant:
        return "malignant", max(malignant)
    if benign:
        return "benign", max(benign)
    return "no_calcification", None

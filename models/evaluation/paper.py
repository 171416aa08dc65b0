"""What the paper of FPNNet and SPPNet reports for its test set, and the same rows as measured here.

Lin, Tan, Ge et al., Fundamental Research 5 (2025) 880, Table 1 (cases), Table 2 (rows "Test") and Fig. 5 (AUC), on its
own data: what is measured on others stands beside these figures, not against them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from models.evaluation.classification import PAPER_SCOPE, Level, LevelName
from models.evaluation.contract import NotDefined
from models.evaluation.evaluate import Evaluation
from models.evaluation.proportions import Measures, Proportion
from models.evaluation.roc import Roc

CITATION: Final = "Lin, Tan, Ge et al., Fundamental Research 5 (2025) 880-889, doi:10.1016/j.fmre.2023.04.018"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRow:
    """A row of Table 2, test set; shares from 0 to 1."""

    level: LevelName
    model: str
    accuracy: float
    precision_benign: float
    precision_malignant: float
    sensitivity_benign: float
    sensitivity_malignant: float
    f1_benign: float
    f1_malignant: float
    auc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRow:
    """The same figures, measured here in the scope that is the paper's."""

    accuracy: Proportion | NotDefined
    precision_benign: Proportion | NotDefined
    precision_malignant: Proportion | NotDefined
    sensitivity_benign: Proportion | NotDefined
    sensitivity_malignant: Proportion | NotDefined
    f1_benign: Proportion | NotDefined
    f1_malignant: Proportion | NotDefined
    auc: Roc | NotDefined


def _row(level: LevelName, model: str, auc: float, *figures: float) -> PaperRow:
    accuracy, *classes = figures
    names = ("precision_benign", "precision_malignant", "sensitivity_benign", "sensitivity_malignant")
    named = dict(zip((*names, "f1_benign", "f1_malignant"), classes, strict=True))
    return PaperRow(level=level, model=model, accuracy=accuracy, auc=auc, **named)


PAPER_ROWS: Final = (
    _row("image", "SPPNet", 0.6825, 0.6324, 0.6097, 0.6592, 0.6784, 0.5889, 0.6422, 0.6221),
    _row("image", "FPNNet", 0.7753, 0.7055, 0.7246, 0.6912, 0.6362, 0.7711, 0.6775, 0.7290),
    _row("breast", "SPPNet", 0.6937, 0.6324, 0.6605, 0.6159, 0.5023, 0.7556, 0.5707, 0.6786),
    _row("breast", "FPNNet", 0.8042, 0.7237, 0.7396, 0.7114, 0.6667, 0.7778, 0.7012, 0.7431),
    _row("lesion", "FPNNet", 0.7627, 0.7511, 0.7399, 0.7614, 0.7412, 0.7601, 0.7405, 0.7607),
)
"""In the paper's order."""

PAPER_CASES: Final = {
    "patients": 438,
    "images": 876,
    "malignant images": 450,
    "benign images": 426,
    "malignant breasts": 225,
    "benign breasts": 213,
    "malignant lesions": 685,
    "benign lesions": 688,
    "lesions matched by a box": 1185,
}
"""Of its test set (Table 1, sections 3.2 and 3.3); it has no image without a lesion."""


def measured_row(level: Level) -> MeasuredRow:
    """Give a level's figures in the order of the paper's table."""
    scope = PAPER_SCOPE[level.name]
    found = level.measures[scope]
    if isinstance(found, NotDefined):
        return row_without(found.reason)
    return _from_measures(found, level.roc[scope])


def row_without(reason: str) -> MeasuredRow:
    """Give a row that was not measured."""
    none = NotDefined(reason=reason)
    return MeasuredRow(
        accuracy=none,
        precision_benign=none,
        precision_malignant=none,
        sensitivity_benign=none,
        sensitivity_malignant=none,
        f1_benign=none,
        f1_malignant=none,
        auc=none,
    )


def _from_measures(found: Measures, auc: Roc | NotDefined) -> MeasuredRow:
    return MeasuredRow(
        accuracy=found.accuracy,
        precision_benign=found.negative_predictive_value,
        precision_malignant=found.precision,
        sensitivity_benign=found.specificity,
        sensitivity_malignant=found.sensitivity,
        f1_benign=found.f1_benign,
        f1_malignant=found.f1,
        auc=auc,
    )


def paired_rows(evaluation: Evaluation) -> tuple[tuple[PaperRow, MeasuredRow], ...]:
    """Give each row of the paper with the same row of an evaluation."""
    measured = {
        ("image", "SPPNet"): measured_row(evaluation.second_opinion),
        ("image", "FPNNet"): measured_row(evaluation.image),
        ("breast", "SPPNet"): measured_row(evaluation.second_opinion_breast),
        ("breast", "FPNNet"): measured_row(evaluation.breast),
        ("lesion", "FPNNet"): measured_row(evaluation.lesion),
    }
    return tuple((row, measured[row.level, row.model]) for row in PAPER_ROWS)

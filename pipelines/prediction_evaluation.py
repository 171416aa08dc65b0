"""Tables of predictions evaluated, whoever made them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from models.evaluation.prediction_figures import SEED, THRESHOLD, Drawn, PredictionsEvaluation, prediction_figures
from models.evaluation.predictions import Predictions
from pipelines.datasets.prediction_table import PREDICTIONS, read_features, read_predictions, with_clinical
from pipelines.errors import ManifestInvalid

ChosenSplit = Literal["train", "val", "test", "all"]


def evaluate_tables(
    path: Path,
    *,
    clinical: Path | None = None,
    features: Path | None = None,
    positive: str | None = None,
    split: ChosenSplit | None = None,
    threshold: float = THRESHOLD,
    score_in_regression: str | None = None,
    seed: int = SEED,
) -> tuple[PredictionsEvaluation, Drawn]:
    """Read tables and compute all figures.

    Parameters
    ----------
    path, clinical, features : pathlib.Path
        See docs/PREDICTIONS.md.
    positive : str, optional
        Of two classes, the positive one, where its name does not tell.
    split : {"train", "val", "test", "all"}, optional
        Which cases; without it those of ``test`` where there are any, else all.
    threshold : float
        Of two classes: from which probability a case is called positive.
    score_in_regression : str, optional
        A model whose score is a covariate, too.
    seed : int
        Of everything that is drawn.

    Raises
    ------
    ManifestInvalid
        A table cannot be used; or there is no case of the split, or no such model.
    """
    table = read_predictions(path, positive=positive)
    predictions = table.predictions if clinical is None else with_clinical(table, clinical)
    if score_in_regression is not None and score_in_regression not in predictions.scores:
        models = ", ".join(predictions.scores)
        raise ManifestInvalid((f"--with-score names no model of the table, which has {models}",), origin=PREDICTIONS)
    chosen = split or ("test" if "test" in predictions.splits else "all")
    evaluated = of_split(predictions, chosen)
    return prediction_figures(
        evaluated,
        title="Evaluation of predictions",
        data=_words(path, chosen, predictions, evaluated),
        threshold=threshold,
        features=None if features is None else read_features(features),
        score_in_regression=score_in_regression,
        seed=seed,
    )


def of_split(predictions: Predictions, split: ChosenSplit) -> Predictions:
    """Give the cases of a split.

    Raises
    ------
    ManifestInvalid
        There is none.
    """
    if split == "all":
        return predictions
    cases = [case for case, name in enumerate(predictions.splits) if name == split]
    if not cases:
        raise ManifestInvalid((f"no case is of the split {split}: choose another by --split",), origin=PREDICTIONS)
    return predictions.only(cases)


def _words(path: Path, split: ChosenSplit, everything: Predictions, evaluated: Predictions) -> str:
    total, count = len(everything.patients), len(evaluated.patients)
    which = f"all {total} cases" if split == "all" else f"split {split}, {count} of {total} cases"
    return f"{path.name}, {which}"

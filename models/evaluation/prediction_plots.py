"""The plots of a report on predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.evaluation.binary_figures import BinaryFigures
from models.evaluation.calibration import Calibration, DecisionCurve
from models.evaluation.contract import NotDefined
from models.evaluation.feature_clusters import FeatureClusters
from models.evaluation.frame_plots import line_styles, roc_plot
from models.evaluation.multiclass import MulticlassFigures
from models.evaluation.plots import BLUE, GREY, Plot, new_figure, png_of
from models.evaluation.prediction_figures import Drawn, PredictionsEvaluation
from models.evaluation.regression import Model, Regression

MATRICES_WIDTH: Final = 12.0
"""Of a plot of confusion matrices, in inches, at most."""

LABELLED_FEATURES: Final = 40
"""Of more features the names do not fit beside the map."""


def prediction_plots(evaluation: PredictionsEvaluation, drawn: Drawn) -> tuple[Plot, ...]:
    """Draw what can be drawn; what is not defined has no plot."""
    plots = [
        _binary_roc(evaluation),
        calibration_plot(evaluation.binary.items()),
        decision_plot(evaluation.binary.items()),
        *(_class_roc(name, place, figures) for place, (name, figures) in enumerate(evaluation.multiclass.items(), 1)),
        *confusion_plots(evaluation),
        odds_plot(evaluation.regression),
    ]
    if evaluation.features is not None:
        plots.append(correlation_plot(evaluation.features.clusters, drawn.correlations))
    return tuple(plot for plot in plots if plot is not None)


def _binary_roc(evaluation: PredictionsEvaluation) -> Plot | None:
    if not evaluation.binary:
        return None
    caption = f"ROC: {evaluation.classes[1]} or {evaluation.classes[0]}."
    return roc_plot("roc", caption, {name: figures.roc for name, figures in evaluation.binary.items()})


def _class_roc(name: str, place: int, figures: MulticlassFigures) -> Plot | None:
    caption = f"ROC of {name}: each class against all others."
    return roc_plot(f"roc_{place}", caption, {of_class: one.roc for of_class, one in figures.of_class.items()})


def calibration_plot(models: Iterable[tuple[str, BinaryFigures]]) -> Plot | None:
    """Draw the share of positives by predicted probability; None without any curve."""
    curves = [(name, one.calibration) for name, one in models if isinstance(one.calibration, Calibration)]
    if not curves:
        return None
    figure, axes = new_figure(4.6, 4.6)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (1, 3)))
    for (name, found), (colour, style) in zip(curves, line_styles(), strict=False):
        mean = [one.mean_predicted for one in found.bins]
        share = [one.observed.value for one in found.bins]
        below = [one.observed.value - one.observed.interval.lower for one in found.bins]
        above = [one.observed.interval.upper - one.observed.value for one in found.bins]
        axes.errorbar(mean, share, yerr=[below, above], fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.5)
        label = f"{name}\nBrier {found.brier.value:.3f}"
        axes.plot(mean, share, color=colour, linestyle=style, linewidth=1.6, marker="o", markersize=4, label=label)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel("Predicted probability, mean of the bin")
    axes.set_ylabel("Share of positive cases")
    axes.legend(loc="upper left", frameon=True, framealpha=0.9, fontsize=7.5)
    caption = "Calibration, in bins by quantiles of the probability, with Wilson intervals. Dotted: ideal."
    return Plot(name="calibration", caption=caption, png=png_of(figure))


def decision_plot(models: Iterable[tuple[str, BinaryFigures]]) -> Plot | None:
    """Draw net benefit by threshold; None without any curve."""
    curves = [(name, one.decision_curve) for name, one in models if isinstance(one.decision_curve, DecisionCurve)]
    if not curves:
        return None
    figure, axes = new_figure(5.6, 4.2)
    first = max((curve for _, curve in curves), key=lambda curve: curve.all_positive[0])
    axes.plot(first.thresholds, first.all_positive, color=GREY, linewidth=1.0, label="act on all")
    axes.axhline(0.0, color="black", linewidth=0.9, label="act on none")
    for (name, curve), (colour, style) in zip(curves, line_styles(), strict=False):
        axes.plot(curve.thresholds, curve.model, color=colour, linestyle=style, linewidth=1.7, label=name)
    top = max(max(curve.model) for _, curve in curves)
    top = max(top, first.all_positive[0])
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(-0.25 * top, 1.08 * top)
    axes.set_xlabel("Probability from which one acts")
    axes.set_ylabel("Net benefit")
    axes.legend(loc="upper right", frameon=True, framealpha=0.9, fontsize=8)
    caption = "Decision curve: true positives less false ones, weighed by the odds of the threshold, per case."
    return Plot(name="decision", caption=caption, png=png_of(figure))


def confusion_plots(evaluation: PredictionsEvaluation) -> tuple[Plot, ...]:
    """Draw the confusion matrices side by side, so many to a plot as are legible; none without any case."""
    tables: list[tuple[str, Sequence[Sequence[int]]]] = [
        (name, ((at.true_negative, at.false_positive), (at.false_negative, at.true_positive)))
        for name, one in evaluation.binary.items()
        if not isinstance(at := one.at_threshold, NotDefined)
    ]
    tables += [(name, one.confusion) for name, one in evaluation.multiclass.items() if one.cases]
    side = 2.9 if len(evaluation.classes) == 2 else 1.6 + 0.62 * len(evaluation.classes)
    together = max(1, int(MATRICES_WIDTH // side))
    caption = "Confusion matrices: truth in rows, decision in columns; shade and percentage are shares of the row."
    plots = []
    for first in range(0, len(tables), together):
        shown = tables[first : first + together]
        figure, panels = new_figure(side * len(shown), side, panels=len(shown))
        for axes, (name, table) in zip(np.atleast_1d(np.asarray(panels)), shown, strict=True):
            _matrix(axes, np.array(table, dtype=np.float64), evaluation.classes)
            axes.set_title(name, fontsize=10)
        name = "confusion" if len(tables) <= together else f"confusion_{first // together + 1}"
        plots.append(Plot(name=name, caption=caption, png=png_of(figure)))
    return tuple(plots)


def odds_plot(found: Regression | NotDefined) -> Plot | None:
    """Draw the odds ratios of the multivariate model; None where there is none."""
    if isinstance(found, NotDefined) or not isinstance(found.multivariate, Model):
        return None
    rows = [
        (name if effect.reference is None else f"{name}: {term} against {effect.reference}", ratio)
        for name, effect in found.multivariate.effects.items()
        for term, ratio in effect.odds_ratios.items()
    ]
    figure, axes = new_figure(6.4, 1.1 + 0.34 * len(rows))
    axes.axvline(1.0, color=GREY, linewidth=0.9)
    for place, (_, ratio) in enumerate(rows):
        axes.plot([ratio.interval.lower, ratio.interval.upper], [place, place], color=BLUE, linewidth=1.4)
        axes.plot(ratio.value, place, marker="s", markersize=5, color=BLUE)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("Odds ratio, logarithmic")
    caption = "Odds ratios of the multivariate model with 95 % intervals."
    return Plot(name="odds_ratios", caption=caption, png=png_of(figure))


def correlation_plot(clusters: FeatureClusters | NotDefined, rho: NDArray[np.float64]) -> Plot | None:
    """Draw absolute rank correlations in the order of the clusters, with the clusters outlined."""
    if isinstance(clusters, NotDefined):
        return None
    names, numbers = list(clusters.cluster_of), np.array(list(clusters.cluster_of.values()))
    labelled = len(names) <= LABELLED_FEATURES
    side = 3.4 + (0.14 * len(names) if labelled else 2.2)
    figure, axes = new_figure(side + 0.9, side)
    shown = axes.imshow(np.abs(rho), cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    edges = np.flatnonzero(np.diff(numbers)) + 0.5
    for start, end in zip((-0.5, *edges), (*edges, len(names) - 0.5), strict=True):
        if end - start > 1:
            outline = [start, end, end, start, start], [start, start, end, end, start]
            axes.plot(*outline, color="white", linewidth=1.1)
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks(range(len(names)) if labelled else [], names if labelled else [])
    axes.tick_params(length=0, labelsize=6.5)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="|Spearman's rho|")
    caption = (
        f"Features by rank correlation: {clusters.clusters} clusters of {clusters.features} features at a mean of "
        f"{clusters.same_from:g}; those of several features are outlined."
    )
    return Plot(name="features", caption=caption, png=png_of(figure))


def _matrix(axes: Any, counts: NDArray[np.float64], classes: Sequence[str]) -> None:
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if share[row, column] > 0.55 else "black"
        words = f"{counts[row, column]:.0f}\n{share[row, column]:.0%}"
        axes.text(column, row, words, ha="center", va="center", color=colour, fontsize=8)
    names = [name.replace("_", "\n") for name in classes]
    axes.set_xticks(range(len(classes)), names)
    axes.set_yticks(range(len(classes)), names)
    axes.tick_params(length=0, labelsize=7)
    axes.set_xlabel("decision", fontsize=8)
    axes.set_ylabel("truth", fontsize=8)
    axes.grid(visible=False)

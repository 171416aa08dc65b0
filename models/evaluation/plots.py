"""The plots of a report, as PNG files in memory.

Colours are Okabe and Ito's, which the colour-blind tell apart, and every curve also has its own line style, so that
they stay apart in print without colour. The figures are made without pyplot: there is no global state and no window.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.evaluation.classification import ALL, WITH_LESION, Level
from models.evaluation.contract import Interval, NotDefined
from models.evaluation.evaluate import Evaluation
from models.evaluation.froc import BAND_RATES, RATES, Froc
from models.evaluation.roc import Roc

BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#595959"
DPI: Final = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A picture with what it shows.

    Attributes
    ----------
    name : str
        Of its file, without the ending.
    caption : str
    png : bytes
    """

    name: str
    caption: str
    png: bytes


def plots(evaluation: Evaluation) -> tuple[Plot, ...]:
    """Draw what can be drawn; a curve that is not defined has no plot."""
    drawn = [froc_plot(evaluation)]
    drawn += [roc_plot(level, seconds) for level, seconds in _levels(evaluation)]
    drawn.append(confusion_plot([level for level, _ in _levels(evaluation)]))
    return tuple(plot for plot in drawn if plot is not None)


def froc_plot(evaluation: Evaluation) -> Plot | None:
    """Draw the FROC curves with the band of the first; None when there is no curve."""
    curves = [(name, curve) for name, curve in evaluation.froc.items() if isinstance(curve, Froc)]
    if not curves:
        return None
    figure, axes = new_figure(6.4, 4.6)
    for (name, curve), colour, style in zip(curves, (BLUE, VERMILLION, GREEN), ("-", "--", ":"), strict=False):
        _staircase(axes, curve, label=f"{name} ({curve.lesions})", colour=colour, style=style)
    name, first = curves[0]
    if first.band_lower:
        within = np.array(first.band_rates) <= first.curve_false_positives[-1]  # beyond it there is no curve
        axes.fill_between(
            first.band_rates,
            first.band_lower,
            first.band_upper,
            where=within.tolist(),
            color=BLUE,
            alpha=0.18,
            linewidth=0,
            label=f"95 % interval, {name}",
        )
    _points(axes, first)
    axes.set_xscale("log", base=2)
    axes.set_xlim(BAND_RATES[0], BAND_RATES[-1])
    axes.set_xticks([0.125, *RATES, 8.0], ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(f"False positives an image, on {first.false_positives_on}")
    axes.set_ylabel("Sensitivity (share of lesions found)")
    axes.legend(loc="best", frameon=True, framealpha=0.9, fontsize=8)
    caption = (
        f"FROC. A prediction is a hit when {evaluation.hit_rule_description}. False positives are counted on "
        f"{first.images} {first.false_positives_on}; marks: sensitivity at {', '.join(f'{rate:g}' for rate in RATES)} "
        "false positives an image with 95 % intervals, resampled by patient."
    )
    return Plot(name="froc", caption=caption, png=png_of(figure))


def roc_plot(level: Level, second: Level | None = None) -> Plot | None:
    """Draw the ROC curves of a level in all its scopes, and SPPNet's in the paper's; None when there is no curve."""
    curves = [(_scope_words(level, scope), curve) for scope, curve in level.roc.items() if isinstance(curve, Roc)]
    if second is not None and isinstance(opinion := second.roc[WITH_LESION], Roc):
        curves.append((f"SPPNet, {_scope_words(second, WITH_LESION)}", opinion))
    if not curves:
        return None
    figure, axes = new_figure(4.6, 4.6)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (1, 3)))
    for (name, curve), colour, style in zip(curves, (BLUE, VERMILLION, GREEN), ("-", "--", "-."), strict=False):
        axes.plot(
            curve.curve_false_positive_rate,
            curve.curve_sensitivity,
            color=colour,
            linestyle=style,
            linewidth=1.8,
            label=f"{name}\nAUC {_auc_words(curve)}",
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("Sensitivity for malignant")
    axes.legend(loc="lower right", frameon=True, framealpha=0.9, fontsize=7.5)
    return Plot(name=f"roc_{level.name}", caption=f"ROC, {level.name} level: malignant or not.", png=png_of(figure))


def confusion_plot(levels: Sequence[Level]) -> Plot | None:
    """Draw the confusion matrices side by side; None without any case."""
    shown = [level for level in levels if any(count for row in level.confusion.counts for count in row)]
    if not shown:
        return None
    figure, panels = new_figure(3.5 * len(shown), 3.3, panels=len(shown))
    for axes, level in zip(np.atleast_1d(np.asarray(panels)), shown, strict=True):
        _matrix(axes, level)
    caption = (
        "Confusion matrices at the operating point: truth in rows, prediction in columns; the shade and the percentage "
        "are shares of the row."
    )
    return Plot(name="confusion", caption=caption, png=png_of(figure))


def _auc_words(curve: Roc) -> str:
    if isinstance(curve.interval, NotDefined):
        return f"{curve.auc:.3f} (no interval)"
    return f"{curve.auc:.3f} ({curve.interval.lower:.3f}\N{EN DASH}{curve.interval.upper:.3f})"


def _levels(evaluation: Evaluation) -> tuple[tuple[Level, Level | None], ...]:
    return (evaluation.image, evaluation.second_opinion), (evaluation.breast, None), (evaluation.lesion, None)


def _scope_words(level: Level, scope: str) -> str:
    if level.name == "lesion":
        return "lesions matched by a box"
    return f"all {level.name}s" if scope == ALL else f"{level.name}s {scope}"


def _staircase(axes: Axes, curve: Froc, *, label: str, colour: str, style: str) -> None:
    # A logarithmic axis has no 0: what lies left of it starts at its left edge. At the right the curve ends where the
    # detector's lowest score ends it.
    rates = np.maximum(curve.curve_false_positives, BAND_RATES[0] / 2)
    axes.step(rates, curve.curve_sensitivity, where="post", color=colour, linestyle=style, linewidth=1.8, label=label)


def _points(axes: Axes, curve: Froc) -> None:
    for point in curve.points:
        if isinstance(point.interval, Interval):
            axes.plot([point.rate] * 2, [point.interval.lower, point.interval.upper], color=BLUE, linewidth=1.1)
        axes.plot(
            point.rate,
            point.sensitivity,
            marker="o",
            markersize=5,
            color=BLUE,
            markerfacecolor="white" if point.complete else BLUE,
        )


def _matrix(axes: Axes, level: Level) -> None:
    counts = np.array([[count or 0 for count in row] for row in level.confusion.counts], dtype=np.float64)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*counts.shape):
        count = level.confusion.counts[row][column]
        words = "\N{EN DASH}" if count is None else f"{count}\n{share[row, column]:.0%}"
        colour = "white" if share[row, column] > 0.55 else "black"
        axes.text(column, row, words, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(level.confusion.columns)), [_wrapped(name) for name in level.confusion.columns])
    axes.set_yticks(range(len(level.confusion.rows)), [_wrapped(name) for name in level.confusion.rows])
    axes.tick_params(length=0, labelsize=8)
    axes.set_title(level.name, fontsize=10)
    axes.set_xlabel("predicted", fontsize=8)
    axes.set_ylabel("truth", fontsize=8)
    axes.grid(visible=False)


def _wrapped(name: str) -> str:
    return name.replace(" calcification ", "\ncalcification\n").replace("box on ", "box on\n")


def new_figure(width: float, height: float, *, panels: int = 1) -> tuple[Figure, Axes]:
    """Make a figure of so many inches, with a light grid in each panel; of several panels an array is returned."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels)
    for panel in np.atleast_1d(np.asarray(axes)):
        panel.grid(visible=True, color="#DDDDDD", linewidth=0.6)
        panel.set_axisbelow(True)
    return figure, axes


def png_of(figure: Figure) -> bytes:
    """Draw a figure; equal ones give equal bytes."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DPI, metadata={"Software": None})  # the same figures, the same bytes
    return target.getvalue()

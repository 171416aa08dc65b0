"""The plots of a report on ultrasound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final

from models.evaluation.contract import NotDefined
from models.evaluation.frame_figures import FrameEvaluation
from models.evaluation.frames import EvaluatedFrame
from models.evaluation.plots import BLUE, GREEN, GREY, VERMILLION, Plot, new_figure, png_of
from models.evaluation.roc import Roc

PURPLE: Final = "#CC79A7"
STYLES: Final = ((BLUE, "-"), (VERMILLION, "--"), (GREEN, "-."), (GREY, ":"), (PURPLE, (0, (5, 1))))


def line_styles() -> Iterator[tuple[str, Any]]:
    """Give colours with line styles, without end: each pair comes again only after all others.

    matplotlib's types of a line style are wider than one name.
    """
    number = len(STYLES)
    for place in count():
        yield STYLES[place % number][0], STYLES[(place + place // number) % number][1]


def frame_plots(evaluation: FrameEvaluation, frames: Sequence[EvaluatedFrame]) -> tuple[Plot, ...]:
    """Draw what can be drawn: Dice by class, whether there is a lesion, and which class it is."""
    drawn = []
    if evaluation.segmentation is not None:
        drawn += [dice_plot(frames)]
        caption = "ROC: does the frame show a lesion? By the lesion score."
        drawn += [roc_plot("roc_lesion", caption, {"lesion score": evaluation.segmentation.lesion_or_not})]
    if evaluation.classification is not None:
        found = evaluation.classification
        drawn += [roc_plot("roc_class", f"ROC: {found.positive} or {found.negative}, by frame.", found.roc)]
    return tuple(plot for plot in drawn if plot is not None)


def dice_plot(frames: Sequence[EvaluatedFrame]) -> Plot | None:
    """Draw how Dice is distributed; None without a frame that has a lesion."""
    by_class = {
        name: [frame.dice for frame in frames if frame.dice is not None and frame.truth == name]
        for name in ("benign", "malignant")
    }
    shown = {name: values for name, values in by_class.items() if values}
    if not shown:
        return None
    figure, axes = new_figure(5.0, 3.6)
    for (name, values), (colour, style) in zip(shown.items(), STYLES, strict=False):
        ordered = sorted(values)
        axes.plot(
            ordered,
            [(number + 1) / len(ordered) for number in range(len(ordered))],
            drawstyle="steps-post",
            color=colour,
            linestyle=style,
            linewidth=1.8,
            label=f"{name} ({len(ordered)})",
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("Dice")
    axes.set_ylabel("Share of frames with at most this")
    axes.legend(loc="upper left", frameon=True, framealpha=0.9, fontsize=8)
    return Plot(name="dice", caption="Dice of the frames with a lesion; 0: nothing was outlined.", png=png_of(figure))


def roc_plot(name: str, caption: str, curves: Mapping[str, Roc | NotDefined]) -> Plot | None:
    """Draw ROC curves; None when there is no curve."""
    drawn = [(title, curve) for title, curve in curves.items() if isinstance(curve, Roc)]
    if not drawn:
        return None
    figure, axes = new_figure(4.6, 4.6)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (1, 3)))
    for (title, curve), (colour, style) in zip(drawn, line_styles(), strict=False):
        axes.plot(
            curve.curve_false_positive_rate,
            curve.curve_sensitivity,
            color=colour,
            linestyle=style,
            linewidth=1.7,
            label=f"{title}\nAUC {curve.auc:.3f}",
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("Sensitivity")
    axes.legend(loc="lower right", frameon=True, framealpha=0.9, fontsize=7.5)
    return Plot(name=name, caption=caption, png=png_of(figure))

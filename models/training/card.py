"""The card beside newly trained weights: what they are, what they learned from, what was measured, in words to read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

CARD: Final = "README.md"
CHOSEN: Final = " **These figures chose the weights, so they flatter.**"


def write_card(directory: Path, *, chosen_by_figures: bool = True) -> Path:
    """Write ``README.md`` into a folder of weights, from the metadata that is there.

    Parameters
    ----------
    directory : pathlib.Path
        ``weights_dir/fpnnet``, say, as `models.weights.write_weights` leaves it.
    chosen_by_figures : bool
        Whether the weights are those of the step with the best of the figures that are measured.
    """
    path = directory / CARD
    metadata = json.loads((directory / "metadata.json").read_text(encoding="utf-8"))
    path.write_text(card_of(metadata, chosen_by_figures=chosen_by_figures), encoding="utf-8")
    return path


def card_of(metadata: Mapping[str, Any], *, chosen_by_figures: bool) -> str:
    """Return the card as Markdown."""
    point = ", ".join(f"{name} {value}" for name, value in metadata["operating_point"].items())
    spacing_mm, measured = metadata["canonical_spacing_mm"], metadata["measured"]
    spacing = "any" if spacing_mm is None else f"{spacing_mm} mm"
    on = f"{'On' if measured['figures'] else 'No figures'}: {measured['note'].removesuffix('.')}."
    flattering = CHOSEN if chosen_by_figures else ""
    return f"""# {metadata["name"]} {metadata["version"]}

**Research use. Not a medical device, not for primary diagnosis.**

{metadata["description"]}

| | |
| --- | --- |
| intended use | {metadata["intended_use"]} |
| weights | `{metadata["weights"]["file"]}`, SHA-256 `{metadata["weights"]["sha256"]}` |
| operating point | {point} |
| pixel spacing | {spacing} |
| trained on | {metadata["training_data"]} |
| licence | {metadata["licence"]} |

## Measured
{on}{flattering} Measure the weights on images that took no part:
`mammonode evaluate`. Then write here what was found, on what, and for whom these weights are not.
{_table(measured["figures"])}
## Training
```json
{json.dumps(metadata["training"], indent=1)}
```
"""


def _table(figures: Sequence[Mapping[str, Any]]) -> str:
    if not figures:
        return ""
    rows = "\n".join(f"| {one['name']} | {one['value']}{_interval(one)} |" for one in figures)
    return f"\n| figure | value |\n| --- | --- |\n{rows}\n"


def _interval(figure: Mapping[str, Any]) -> str:
    given = figure.get("interval")
    return "" if given is None else f" ({given['lower']} to {given['upper']}, 95 %, {given['method']})"

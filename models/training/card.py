"""The card beside newly trained weights: what they are, what they learned from, what was measured, in words to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

CARD: Final = "README.md"


def write_card(directory: Path) -> Path:
    """Write ``README.md`` into a folder of weights, from the metadata that is there.

    Parameters
    ----------
    directory : pathlib.Path
        ``weights_dir/fpnnet``, say, as `models.weights.write_weights` leaves it.
    """
    path = directory / CARD
    path.write_text(card_of(json.loads((directory / "metadata.json").read_text(encoding="utf-8"))), encoding="utf-8")
    return path


def card_of(metadata: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    point = ", ".join(f"{name} {value}" for name, value in metadata["operating_point"].items())
    measured = metadata["measured"]
    figures = "\n".join(f"| {one['name']} | {one['value']} |" for one in measured["figures"])
    return f"""# {metadata["name"]} {metadata["version"]}

**Research use. Not a medical device, not for primary diagnosis.**

{metadata["description"]}

| | |
| --- | --- |
| intended use | {metadata["intended_use"]} |
| weights | `{metadata["weights"]["file"]}`, SHA-256 `{metadata["weights"]["sha256"]}` |
| operating point | {point} |
| pixel spacing | {metadata["canonical_spacing_mm"]} mm |
| trained on | {metadata["training_data"]} |
| licence | {metadata["licence"]} |

## Measured
On: {measured["note"]}. **These figures chose the weights, so they flatter.** Measure them on images that took no part:
`mammonode evaluate`. Then write here what was found, on what, and for whom these weights are not.

| figure | value |
| --- | --- |
{figures}

## Training
```json
{json.dumps(metadata["training"], indent=1)}
```
"""

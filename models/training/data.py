"""What a run on mammograms trains and validates on, and how often it sees images of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from models.training.contract import TrainingImage
from models.training.provenance import digest_of_images

SHARES: Final = {"film": 0.62, "digital": 0.2, "phantom": 0.18}
"""How often a crop or a planted sample comes from each kind of image, when there are any of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What a run trains and validates on.

    Attributes
    ----------
    train, val : sequence of TrainingImage
        Of the manifest.
    phantoms, val_phantoms : sequence of TrainingImage
        Made, not read; may be empty.
    note : str
        What these images are, for the card.
    """

    train: Sequence[TrainingImage]
    val: Sequence[TrainingImage]
    phantoms: Sequence[TrainingImage]
    val_phantoms: Sequence[TrainingImage]
    note: str

    def digest(self) -> str:
        """Tell these images apart from others, when a run is taken up again."""
        return digest_of_images(self.train, self.val, self.phantoms, self.val_phantoms)


def image_groups(
    images: Sequence[TrainingImage], phantoms: Sequence[TrainingImage]
) -> dict[str, tuple[float, Sequence[TrainingImage]]]:
    """Images by kind, with how often one of each is seen; kinds without any are left out."""
    groups: dict[str, Sequence[TrainingImage]] = {
        "film": [image for image in images if image.medium == "film"],
        "digital": [image for image in images if image.medium == "digital"],
        "phantom": phantoms,
    }
    return {name: (SHARES[name], members) for name, members in groups.items() if members}

"""What all networks of regions have in common as the pipelines call them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np
import torch

from models.bundle import load_network
from models.metadata import Metadata
from models.regions.contract import Lesion, LesionView, RegionOutput, RegionTask, View
from models.regions.pooling import pooled
from models.resident import Resident, checked_grey
from models.weights import VerifiedWeights

Network = TypeVar("Network", bound=torch.nn.Module)

THRESHOLD = "threshold"
"""Name in the operating point: the second of two classes is meant from this probability on."""

WARM_UP_PX = 64


class RegionPredictor(ABC, Generic[Network]):
    """A network of regions, resident on a device; see `models.predictor.RegionClassifier`.

    Parameters
    ----------
    network : torch.nn.Module
        On the CPU, with its weights.
    metadata : Metadata
        Of these weights.
    weights_sha256 : str or None
        Digest of the file the weights came from.
    device : str
        ``"cpu"`` or ``"cuda:N"``.

    Raises
    ------
    WeightsMismatch
        The metadata say nothing of regions.
    """

    network_class: ClassVar[type[torch.nn.Module]]

    def __init__(self, network: Network, metadata: Metadata, *, weights_sha256: str | None, device: str) -> None:
        self.task = metadata.region_task
        self.identity = metadata.identity(weights_sha256)
        self.device = device
        self._resident = Resident(network, device)

    @classmethod
    def from_weights(cls, weights: VerifiedWeights, device: str) -> Self:
        """Build the network of the bundle and load `weights` into it.

        Raises
        ------
        WeightsMismatch
            They do not fit: another network, other channels, or another number of classes than the metadata name.
        """
        cls.check(weights.metadata.region_task, weights.metadata.name)
        network = load_network(weights, cls.network_class)
        return cls(network, weights.metadata, weights_sha256=weights.sha256, device=device)  # type: ignore[arg-type]  # a class variable cannot name the type variable

    @classmethod
    def check(cls, task: RegionTask, name: str) -> None:
        """Refuse with WeightsMismatch a task that this network cannot have; most can have any."""

    def predict(self, lesion: Lesion) -> RegionOutput:
        """Give the probability of each class; see `models.predictor.RegionClassifier.predict`."""
        return self._predict(views_taken(self.task, lesion))

    @abstractmethod
    def _predict(self, views: Mapping[View, LesionView]) -> RegionOutput:
        """Likewise, of views that were checked."""

    def warm_up(self) -> None:
        """Run once on a lesion in black."""
        mask = np.zeros((WARM_UP_PX, WARM_UP_PX), dtype=np.bool_)
        mask[16:48, 16:48] = True
        view = LesionView(pixels=np.zeros(mask.shape, dtype=np.float32), mask=mask, spacing_mm=(0.1, 0.1))
        self.predict(dict.fromkeys(self.task.views, view))

    def chosen(self, probabilities: tuple[float, ...]) -> int:
        """Return the place of the predicted class."""
        value = self.task.value(probabilities, self.identity.operating_point.get(THRESHOLD))
        return self.task.classes.index(value)


def views_taken(task: RegionTask, lesion: Lesion) -> Mapping[View, LesionView]:
    """Return those views of a lesion that a model uses, in the order of `RegionTask.views`.

    Raises
    ------
    ValueError
        A view that is needed is not there, a mask is empty or has not the shape of its pixels, or pixels are empty or
        not finite.
    """
    missing = task.missing(lesion)
    if missing:
        raise ValueError(f"the lesion is not given in {' and '.join(missing)}")
    taken = {view: lesion[view] for view in task.views if view in lesion}
    for name, view in taken.items():
        checked_grey(view.pixels)
        if view.mask.shape != view.pixels.shape:
            raise ValueError(f"{name}: a mask of shape {view.mask.shape} on pixels of shape {view.pixels.shape}")
        if not view.mask.any():
            raise ValueError(f"{name}: the mask is empty")
    return taken


def pooled_views(values: torch.Tensor) -> tuple[float, ...]:
    """Pool what a network says of each view, probabilities of shape ``(views, classes)`` on any device."""
    return pooled(values.detach().cpu().double().numpy())

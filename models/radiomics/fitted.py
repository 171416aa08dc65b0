"""A fitted recipe as bytes, and back: skops, which runs no code, with every type it may hold named here.

``model.skops`` is a file of skops (a ZIP) with one more member, ``features.json``: the settings of the features, their
names and the versions that the numbers belong to. It is read first, so that a model of another scikit-learn is refused
with a sentence. No pickle is ever read.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from skops.io import dumps, get_untrusted_types, loads
from skops.io.exceptions import UntrustedTypesFoundException

from models.errors import WeightsMismatch

FEATURES_MEMBER: Final = "features.json"
PINNED: Final = ("scikit-learn", "pyradiomics")
"""Numbers belong to these: in another version a feature or a fitted estimator may mean something else."""

TRUSTED: Final = frozenset(
    {
        "imblearn.over_sampling._smote.base.SMOTE",
        "imblearn.pipeline.Pipeline",
        "models.radiomics.machine.BalancedSvm",
        "models.radiomics.steps.BestForNaiveBayes",
        "models.radiomics.steps.LassoFeatures",
        "models.radiomics.steps.SignificantFeatures",
        "models.radiomics.steps.StableFeatures",
        "numpy.dtype",
        "sklearn.tree._tree.Tree",
    }
)
"""Types beyond those of scikit-learn, NumPy and Python that skops itself knows to be safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedRecipe:
    """What a bundle of radiomics holds.

    Attributes
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted; its classes are numbers from 0, in the order of the bundle's.
    settings : str
        Of the features of one view; see `models.radiomics.features.FeatureExtractor`.
    names : tuple of str
        Of these features, in order.
    """

    pipeline: Pipeline
    settings: str
    names: tuple[str, ...]

    def probabilities(self, row: NDArray[np.float64]) -> tuple[float, ...]:
        """Return the probability of each class for one row of features."""
        return tuple(float(value) for value in self.pipeline.predict_proba(row[None])[0])


def versions() -> dict[str, str]:
    """Versions of `PINNED` that are installed."""
    return {package: version(package) for package in PINNED}


def to_bytes(fitted: FittedRecipe) -> bytes:
    """Return the weights file.

    Raises
    ------
    ValueError
        The pipeline holds a type that `from_bytes` would refuse.
    """
    content = dumps(fitted.pipeline)
    if unknown := set(get_untrusted_types(data=content)) - TRUSTED:
        raise ValueError(f"the model holds {', '.join(sorted(unknown))}, which is not among the trusted types")
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        said = {"settings": fitted.settings, "names": list(fitted.names), "versions": versions()}
        archive.writestr(FEATURES_MEMBER, json.dumps(said))
    return file.getvalue()


def from_bytes(content: bytes, name: str) -> FittedRecipe:
    """Read a weights file of the model `name`.

    Raises
    ------
    WeightsMismatch
        It is no such file, holds a type that is not trusted, or was written by other versions.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            said: Mapping[str, Any] = json.loads(archive.read(FEATURES_MEMBER))
        _require_versions(said["versions"], name)
        unknown = set(get_untrusted_types(data=content)) - TRUSTED
        if unknown:
            raise WeightsMismatch(f"{name}: the weights hold types that are not trusted: {', '.join(sorted(unknown))}")
        pipeline = loads(content, trusted=sorted(TRUSTED))
        settings, names = str(said["settings"]), tuple(str(feature) for feature in said["names"])
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, UntrustedTypesFoundException) as error:
        raise WeightsMismatch(
            f"{name}: the weights are no fitted model of radiomics ({type(error).__name__})"
        ) from error
    if not isinstance(pipeline, Pipeline):
        raise WeightsMismatch(f"{name}: the weights are a {type(pipeline).__name__}, not a pipeline")
    return FittedRecipe(pipeline=pipeline, settings=settings, names=names)


def _require_versions(fitted_with: Mapping[str, str], name: str) -> None:
    installed = versions()
    others = [
        f"{package}=={fitted_with.get(package)}" for package in PINNED if fitted_with.get(package) != installed[package]
    ]
    if others:
        found = ", ".join(f"{package} {number}" for package, number in installed.items())
        raise WeightsMismatch(f"{name} was fitted with other versions than {found}: install {', '.join(others)}")

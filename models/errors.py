"""Errors of the models.

::

    ModelError
    ├── WeightsMissing       no weights file in the bundle: the model is "not attempted"
    ├── WeightsMismatch      the file's SHA-256 is not the one in metadata.json: likewise
    ├── DeviceOutOfMemory    did not fit on the device, nor on the CPU
    ├── TrainingRefused      a run that cannot begin or go on as asked
    └── InstallationRefused  a bundle that cannot be installed
"""


class ModelError(Exception):
    """Root of everything that a model raises on purpose."""


class WeightsMissing(ModelError):
    """No weights are installed."""


class WeightsMismatch(ModelError):
    """The weights file is not the one that the bundle's metadata names."""


class DeviceOutOfMemory(ModelError):
    """The input fits neither the accelerator nor, after one more try, the CPU."""


class TrainingRefused(ModelError, ValueError):
    """A training run cannot begin, or go on, with what it was given; the message says what is wrong with it."""


class InstallationRefused(ModelError):
    """A bundle cannot be installed; the message says why, and nothing was changed."""

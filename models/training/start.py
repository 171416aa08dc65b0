"""Where a run may begin instead of at random weights: a file of a site's own, of which what fits is taken."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from models.errors import TrainingRefused


def load_fitting(
    network: nn.Module, path: Path, *, what: str, prefix: str = "", first_convolution: str | None = None
) -> None:
    """Load those weights of a safetensors file that `network` has by name and shape.

    Parameters
    ----------
    what : str
        The networks whose layers it may hold, for the message.
    prefix : str
        Taken off the names in the file where they begin with it.
    first_convolution : str or None
        Name of the weight that colours go into: where the network has other channels, each gets the mean over them.

    Raises
    ------
    TrainingRefused
        The file cannot be read as safetensors, or nothing in it fits.
    """
    own = network.state_dict()
    try:
        given = {name.removeprefix(prefix): value for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise TrainingRefused(f"{path.name} cannot be read as safetensors ({type(error).__name__})") from error
    if first_convolution is not None and first_convolution in given:
        channels, colours = own[first_convolution].shape[1], given[first_convolution]
        if colours.shape[1] != channels:
            given[first_convolution] = colours.float().mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise TrainingRefused(f"{path.name} holds no layer of {what}")
    network.load_state_dict(fitting, strict=False)

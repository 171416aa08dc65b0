"""The layouts of public data sets that a manifest can be written from: one importer and one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pipelines.datasets.busi import FramesImported, import_busi
from pipelines.datasets.cbis_ddsm import import_cbis_ddsm
from pipelines.datasets.inbreast import import_inbreast
from pipelines.datasets.layout import Imported, Importer, ImportOptions
from pipelines.datasets.mini_mias import import_mini_mias
from pipelines.datasets.vindr_mammo import import_vindr_mammo
from pipelines.errors import LayoutUnreadable

IMPORTERS: Final[Mapping[str, Importer]] = MappingProxyType(
    {
        "cbis_ddsm": import_cbis_ddsm,
        "inbreast": import_inbreast,
        "vindr_mammo": import_vindr_mammo,
        "mini_mias": import_mini_mias,
    }
)

FRAME_IMPORTERS: Final[Mapping[str, Callable[[Path, ImportOptions], FramesImported]]] = MappingProxyType(
    {"busi": import_busi}
)
"""Of ultrasound: their manifest is that of frames."""


def import_layout(name: str, folder: Path, options: ImportOptions) -> Imported:
    """Read a data set that lies in a folder as its publisher laid it out.

    Raises
    ------
    LayoutUnreadable
        There is no layout of that name, no such folder, or the folder holds something else.
    """
    importer = IMPORTERS.get(name)
    if importer is None:
        raise LayoutUnreadable(f"no layout of that name: there are {', '.join((*IMPORTERS, *FRAME_IMPORTERS))}")
    if not folder.is_dir():
        raise LayoutUnreadable("no such folder")
    return importer(folder, options)


def import_frame_layout(name: str, folder: Path, options: ImportOptions) -> FramesImported:
    """Read a data set of ultrasound frames; `name` is one of `FRAME_IMPORTERS`.

    Raises
    ------
    LayoutUnreadable
        There is no such folder, or it holds something else.
    """
    if not folder.is_dir():
        raise LayoutUnreadable("no such folder")
    return FRAME_IMPORTERS[name](folder, options)

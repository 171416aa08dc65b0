"""The findings of CAD and measurement reports in words: what, on which image, where, how sure, by which algorithm."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sr_templates.reading import ContentItem, Position, bounds

INDENT: Final = "  "
HASH: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
"""A SHA-256; a dozen digits of it are enough to compare by eye."""
Names = Mapping[Position | str, str]


class Library:
    """The image library of a report, looked through once: of a report without one, it is empty.

    Attributes
    ----------
    images : tuple of ContentItem
        In their order.
    names : mapping of Position or str to str
        What to call an image, by its position in the tree and by its UID.
    """

    def __init__(self, root: ContentItem) -> None:
        library = root.first("111028")
        self.images = tuple(item for item in library.walk() if item.value_type == "IMAGE") if library else ()
        names: dict[Position | str, str] = {}
        self._at: dict[Position, int] = {}
        self._of_uid: dict[str, int] = {}
        self._of_frames: dict[tuple[str, tuple[int, ...]], int] = {}
        for index, image in enumerate(self.images):
            name = _name(index + 1, image)
            names[image.position] = name
            names.setdefault(image.sop_instance_uid, name)
            self._at[image.position] = index
            self._of_uid.setdefault(image.sop_instance_uid, index)
            self._of_frames.setdefault((image.sop_instance_uid, image.frames), index)
        self.names: Names = names

    def target(self, item: ContentItem) -> ContentItem | None:
        """Find the entry of the image that a coordinate was selected from."""
        for child in item.children:
            found = [index for index in self._entries(child) if index is not None]
            if found:
                return self.images[min(found)]
        return None

    def _entries(self, child: ContentItem) -> Iterator[int | None]:
        """Entries that an item refers to; of frames, those of the same frames or of the whole image."""
        yield self._at.get(child.refers_to)
        if not child.sop_instance_uid:
            return
        if child.frames:
            yield self._of_frames.get((child.sop_instance_uid, child.frames))
            yield self._of_frames.get((child.sop_instance_uid, ()))
        else:
            yield self._of_uid.get(child.sop_instance_uid)


def _name(number: int, image: ContentItem) -> str:
    side = image.first("111027")
    view = image.first("111031")
    frame = f"frame {image.frames[0]}" if image.frames else ""
    words = " ".join(filter(None, (side.short if side else "", view.short if view else "", frame)))
    return f"image {number}" + (f" ({words})" if words else "")


def _spacing_mm(image: ContentItem | None) -> tuple[float, float] | None:
    """Horizontal and vertical pixel spacing as the library states it."""
    if image is None:
        return None
    items = (image.first("111026"), image.first("111066"))
    numbers = [item.number for item in items if item is not None and item.number]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


# -- Mammography CAD SR (TID 4000) -------------------------------------------------------------------------------------

ALGORITHM: Final = ("111001", "111002", "111003")
GEOMETRY: Final = ("111010", "111041", "111030")
SHOWN_APART: Final = (*ALGORITHM, *GEOMETRY, "112039", "112040", "111056")


def cad_report(root: ContentItem, library: Library) -> Iterator[str]:
    """Read a Mammography CAD SR: summary, images, findings, what was performed, and its own words."""
    summary = root.first("111017")
    yield f"Summary: {summary.value if summary else 'missing'}"
    for image in library.images:
        spacing = _spacing_mm(image)
        mm = f", {spacing[0]:g} x {spacing[1]:g} mm a pixel" if spacing else ""
        yield f"{INDENT}{library.names[image.position]}{mm}"
    for impression in summary.children if summary else ():
        for item in impression.children:
            if item.concept_code in ("111015", "111059"):
                yield ""
                yield from _finding(item, library, 0)
    yield ""
    for performed in root.all_of("111064", "111065"):
        yield from _performed(performed, library.names)
    yield from _all_algorithms(root)
    for item in summary.all_of("111033") if summary else ():
        yield ""
        yield from item.value.split("\n")


def _finding(item: ContentItem, library: Library, depth: int) -> Iterator[str]:
    """A single image finding or a composite feature, with its members below it."""
    pad = INDENT * depth
    title = item.first("112039")
    intent = item.first("111056")
    shown = f" [{intent.value.split(':')[0]}]" if intent else ""
    yield f"{pad}{title.value if title else item.concept}: {item.value}{shown}"
    yield from (f"{pad}{INDENT}{line}" for line in _where(item, library))
    for child in item.children:
        if child.concept_code in ("111015", "111059"):
            yield from _finding(child, library, depth + 1)
        elif child.concept_code not in SHOWN_APART and child.value:
            yield f"{pad}{INDENT}{child.concept or child.relationship.lower()}: {child.value}"
    yield from (f"{pad}{INDENT}by {name}" for name, _ in _algorithms(item.children))


def _where(item: ContentItem, library: Library) -> Iterator[str]:
    shapes = [child for child in item.children if child.concept_code in GEOMETRY and child.points]
    if not shapes:
        return
    widest = max(shapes, key=lambda shape: len(shape.points))
    image = library.target(widest)
    x0, y0, x1, y1 = bounds(widest.points)
    words = f"centre ({(x0 + x1) / 2:.1f}, {(y0 + y1) / 2:.1f}) px"
    if len(widest.points) > 1:
        words += f", {x1 - x0:.1f} x {y1 - y0:.1f} px"
        spacing = _spacing_mm(image)
        if spacing:
            words += f" ({(x1 - x0) * spacing[0]:.1f} x {(y1 - y0) * spacing[1]:.1f} mm at that spacing)"
    where = library.names.get(image.position, "") if image else _outside(widest, library.names)
    yield f"on {where or 'an image that is not named'}, {words}"


def _outside(shape: ContentItem, names: Names) -> str:
    for child in shape.children:
        if child.refers_to:
            return f"{child.value}, which is no image of the library"
        if child.sop_instance_uid:
            return names.get(child.sop_instance_uid, child.value)
    return ""


def _algorithms(items: Iterable[ContentItem]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name with version, and parameters; a new name begins the next algorithm."""
    name = ""
    parameters: list[str] = []
    for item in items:
        if item.concept_code == "111001":
            if name:
                yield name, tuple(parameters)
            name, parameters = item.value, []
        elif item.concept_code == "111003":
            name += f" {item.value}"
        elif item.concept_code == "111002":
            parameters.append(_shortened(item.value))
    if name:
        yield name, tuple(parameters)


def _shortened(text: str) -> str:
    return HASH.sub(r"\1...", text)


def _all_algorithms(root: ContentItem) -> Iterator[str]:
    """Every algorithm of a report once, with its parameters."""
    found = {known: None for item in root.walk() for known in _algorithms(item.children)}
    described = {name for name, parameters in found if parameters}
    found = {(name, parameters): None for name, parameters in found if parameters or name not in described}
    if found:
        yield ""
        yield "Algorithms:"
    for name, parameters in found:
        yield f"{INDENT}{name}" + (f": {'; '.join(parameters)}" if parameters else "")


def _performed(summary: ContentItem, names: Names) -> Iterator[str]:
    yield f"{summary.concept}: {summary.value}"
    for group in summary.children:
        for item in group.children:
            images = [names.get(child.refers_to, child.value) for child in item.children if child.refers_to]
            on = f" on {', '.join(images)}" if images else ""
            who = ", ".join(name for name, _ in _algorithms(item.children)) or "an unnamed algorithm"
            yield f"{INDENT}{group.concept}: {item.value} by {who}{on}"


# -- TID 1500 ----------------------------------------------------------------------------------------------------------


def measurement_report(root: ContentItem, library: Library) -> Iterator[str]:
    """Read an Imaging Measurement Report: images, groups with regions, evaluations of the exam."""
    for image in library.images:
        yield library.names[image.position]
    groups = [item for item in root.walk() if item.concept_code == "125007"]
    yield f"{len(groups)} measurement group{'s' if len(groups) != 1 else ''}"
    for group in groups:
        yield ""
        yield from _group(group, library)
    for container in root.all_of("C0034375"):
        yield ""
        yield f"{container.concept}:"
        for item in container.children:
            name = "" if item.concept_code == "121106" else f"{item.concept}: "
            yield from (f"{INDENT}{name}{_shortened(line)}" for line in item.value.split("\n"))
    yield from _all_algorithms(root)


def _group(group: ContentItem, library: Library) -> Iterator[str]:
    title, finding = group.first("112039"), group.first("121071")
    words = [item.value for item in (title, finding) if item]
    yield ": ".join(words) or group.concept
    yield from (INDENT + line for line in _where(group, library))
    for child in group.children:
        if child.concept_code not in (*SHOWN_APART, "121071") and child.value:
            modifiers = [
                below.value
                for below in child.children
                if below.relationship == "HAS CONCEPT MOD" and below.concept_code not in ALGORITHM
            ]
            by = [f"by {name}" for name, _ in _algorithms(child.children)]
            yield f"{INDENT}{child.concept}: {', '.join([child.value, *modifiers, *by])}"
    yield from (f"{INDENT}by {name}" for name, _ in _algorithms(group.children))

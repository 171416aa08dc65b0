"""What no validator sees in a content tree: order, relationships, summaries that fit, references that resolve.

Written from PS3.16 alone, without the code that makes the trees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydicom import Dataset
from pydicom.uid import UID

CON, PROP, MOD, OBS = "CONTAINS", "HAS PROPERTIES", "HAS CONCEPT MOD", "HAS OBS CONTEXT"
ACQ, INF = "HAS ACQ CONTEXT", "INFERRED FROM"
ALGORITHM = (("111001", PROP), ("111003", PROP), ("111002", PROP))
PROPERTIES = (
    ("111012", PROP),
    ("111047", PROP),
    ("111010", PROP),
    ("111041", PROP),
    ("111008", PROP),
    ("111038", PROP),
)
BY = (("111001", MOD), ("111003", MOD), ("111002", MOD))
LIBRARY_ENTRY = ("111027", "111031", "111044", "111043", "111060", "111061", "111018", "111019", "111026", "111066")

# Children of a concept, in the order of the template's rows, each with its relationship
ROWS: Mapping[str, Sequence[tuple[str, str]]] = {
    "111036": (("121049", MOD), ("111028", CON), ("111017", CON), ("111064", CON), ("111065", CON)),  # TID 4000
    "111017": (("111033", PROP), *ALGORITHM, ("111034", INF)),  # TID 4001, 4002
    "111034": (("111056", MOD), ("111015", CON), ("111059", CON)),  # TID 4003
    "111015": (  # TID 4004, 4005
        ("111056", MOD),
        ("112039", OBS),
        ("112040", OBS),
        ("111016", PROP),
        ("111057", PROP),
        *ALGORITHM,
        ("111011", PROP),
        ("111047", PROP),
        ("111059", INF),
    ),
    "111059": (("111056", MOD), ("112039", OBS), ("112040", OBS), *ALGORITHM, *PROPERTIES),  # TID 4006
    "111064": (("111063", INF), ("111025", INF)),  # TID 4015
    "111065": (("111062", INF), ("111024", INF)),  # TID 4016
    "111063": (("111022", CON),),
    "111025": (("111022", CON),),
    "111062": (("111004", CON),),
    "111024": (("111004", CON),),
    "111022": (*ALGORITHM, ("reference", PROP)),  # TID 4017
    "111004": (*ALGORITHM, ("reference", PROP)),  # TID 4018
    "111010": (("reference", "SELECTED FROM"),),
    "111041": (("reference", "SELECTED FROM"),),
    "IMAGE": tuple((code, ACQ) for code in LIBRARY_ENTRY),  # TID 4020
    "111031": (("111032", MOD),),
    "126000": (  # TID 1500
        ("121049", MOD),
        *((code, OBS) for code in ("121005", "121012", "121013", "121014", "121015", "121016")),
        ("121058", MOD),
        ("111028", CON),
        ("126010", CON),
        ("C0034375", CON),
    ),
    "126200": (("260753009", CON),),
    "126010": (("125007", CON),),
    "125007": (  # TID 1410
        ("112039", OBS),
        ("112040", OBS),
        ("121071", CON),
        ("111030", CON),
        ("363698007", MOD),
        ("111001", MOD),
        ("111003", MOD),
        ("111002", MOD),
        ("111047", CON),
        ("111012", CON),
        ("PRED_HER2_POS", CON),
        ("103339001", CON),
        ("103340004", CON),
        ("42798000", CON),
        ("111038", CON),
    ),
    "111047": BY,  # TID 1419
    "prediction group": (  # TID 1410
        ("112039", OBS),
        ("112040", OBS),
        ("121071", CON),
        ("111030", CON),
        ("363698007", MOD),
        ("probability", CON),
        ("REGION_MARKED_BY", CON),
        ("prediction", CON),
        ("121106", CON),
    ),
    "prediction": BY,
    "probability": BY,
    "111030": (("260753009", "SELECTED FROM"),),
    "363698007": (("272741003", MOD),),
}
REPEATED = frozenset({"111002", "111059", "111015", "111034", "reference", "111001", "111003", "111022", "111004"})
REPEATED |= {"prediction", "probability", "121106"}
REPEATED_BELOW = {"126200": {"260753009"}, "126010": {"125007"}, "111031": {"111032"}}
MANDATORY: Mapping[str, frozenset[str]] = {
    "111036": frozenset({"121049", "111028", "111017", "111064", "111065"}),
    "111017": frozenset({"111001", "111003"}),
    "111015": frozenset({"111056", "111016", "111057", "111001", "111003", "111059"}),
    "111059": frozenset({"111056", "112039", "112040", "111001", "111003", "111012", "111047", "111010", "111041"}),
    "111022": frozenset({"111001", "111003", "reference"}),
    "111004": frozenset({"111001", "111003", "reference"}),
    "126000": frozenset({"121049", "121005", "121012", "121058", "C0034375"}),
    "125007": frozenset({"112039", "112040", "121071", "111030", "363698007", "111001", "111003", "111012"}),
    "prediction group": frozenset({"112039", "112040", "121071", "111030", "363698007", "REGION_MARKED_BY", "121106"}),
    "prediction": frozenset({"111001", "111003"}),
}
# What may be predicted, with the classes in the order of their probabilities; of two classes the second has one
PREDICTIONS = {
    "PRED_ER": (("ER_NEGATIVE", "ER_POSITIVE"), ("PROB_ER_POS",)),
    "PRED_HER2": (("HER2_NEGATIVE", "HER2_POSITIVE"), ("PRED_HER2_POS",)),
    "PRED_NODE": (("NODE_NEGATIVE", "NODE_POSITIVE"), ("PROB_NODE_POS",)),
    "PRED_SUBTYPE": (
        ("SUB_LUMINAL_A", "SUB_LUMINAL_B", "SUB_HER2_HR_POS", "SUB_HER2_HR_NEG", "SUB_TN"),
        ("PROB_SUB_LUM_A", "PROB_SUB_LUM_B", "PROB_SUB_HR_POS", "PROB_SUB_HR_NEG", "PROB_SUB_TN"),
    ),
}
PROBABILITIES = frozenset(name for _, names in PREDICTIONS.values() for name in names)
# CID 6047: with findings, and whether algorithms may have failed
SUMMARIES = {"111241": (False, "all"), "111242": (True, "all"), "111243": (False, "some"), "111244": (True, "some")}
CONTAINERS_OF_STATUS = {
    "111222": (True, False),
    "111223": (True, True),
    "111224": (False, True),
    "111225": (False, False),
}
CALCIFICATIONS = "129769006"
UNITS = {
    **dict.fromkeys(("111011", "111012", "111047", *PROBABILITIES), "%"),
    **dict.fromkeys(("103339001", "103340004"), "mm"),
    "42798000": "mm2",
}
SIDES = {"73056007": "R", "80248007": "L", "24028007": "R", "7771000": "L"}


def concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    if names:
        return str(names[0].CodeValue)
    return "reference" if "ReferencedContentItemIdentifier" in item else str(item.get("ValueType", ""))


def below(item: Dataset, *codes: str) -> list[Dataset]:
    return [child for child in item.get("ContentSequence", ()) if not codes or concept(child) in codes]


def walk(item: Dataset) -> Iterator[Dataset]:
    yield item
    for child in below(item):
        yield from walk(child)


def code(item: Dataset) -> str:
    values = item.get("ConceptCodeSequence")
    return str(values[0].CodeValue) if values else ""


def tree_problems(root: Dataset, sources: Mapping[str, Dataset]) -> Iterator[str]:
    """Problems of one report; `sources` by SOP Instance UID."""
    for item in walk(root):
        yield from row_problems(item)
        yield from number_problems(item)
        if row(item) == "125007":
            yield from group_problems(item)
        elif row(item) == "prediction group":
            yield from prediction_problems(item)
    yield from lesion_problems(root)
    uids = [str(item.get("UID", "")) for item in walk(root) if concept(item) == "112040"]
    yield from ("tracking: a UID is used twice" for _ in range(len(uids) - len(set(uids))))
    yield from (f"tracking: {uid!r} is no UID" for uid in uids if not UID(uid).is_valid)
    if concept(root) == "111036":
        yield from summary_problems(root)
    for item in walk(root):
        if concept(item) in ("111059", "125007"):
            yield from geometry_problems(item, root, sources)
        if item.get("ValueType") == "IMAGE":
            yield from image_problems(item, sources)
        if "ReferencedContentItemIdentifier" in item:
            yield from reference_problems(item, root)


def row(item: Dataset) -> str:
    """What the rows of an item are listed under: its concept, or its part in a group of predictions."""
    name = concept(item)
    if name == "125007" and below(item, "REGION_MARKED_BY"):
        return "prediction group"
    if name in PREDICTIONS:
        return "prediction"
    return "probability" if name in PROBABILITIES else name


def row_problems(item: Dataset) -> Iterator[str]:
    name = row(item)
    rows = ROWS.get(name)
    shown = row if name == "prediction group" else concept
    children = [shown(child) for child in below(item)]
    for missing in sorted(MANDATORY.get(name, frozenset()) - set(children)):
        yield f"rows: {name} lacks {missing}"
    if rows is None:
        return
    order = [name_of_row for name_of_row, _ in rows]
    places = [order.index(child) if child in order else -1 for child in children]
    yield from (
        f"rows: {child} does not belong below {name}" for child, at in zip(children, places, strict=True) if at < 0
    )
    if not (name in ("111017", "111034") or places == sorted(places)):
        yield f"order: the items below {name} are {children}"
    if name in ("111017", "111034") and places[:1] != sorted(places)[:1]:
        yield f"order: the items below {name} are {children}"
    for child in below(item):
        wanted = {relationship for name_of_row, relationship in rows if name_of_row == shown(child)}
        if wanted and child.get("RelationshipType") not in wanted:
            yield f"relationship: {name} to {concept(child)} is {child.get('RelationshipType')}"
    for child in set(children) - REPEATED - REPEATED_BELOW.get(name, set()):
        if children.count(child) > 1 and child in order and name != "111028":
            yield f"rows: {child} stands {children.count(child)} times below {name}"


def group_problems(group: Dataset) -> Iterator[str]:
    """A calcification always has a probability of cancer; a lesion is no wider than long, and no larger than both."""
    if [code(child) for child in below(group, "121071")] == [CALCIFICATIONS] and not below(group, "111047"):
        yield "rows: a calcification lacks 111047"
    sizes = [
        [float(child.MeasuredValueSequence[0].NumericValue) for child in below(group, name)]
        for name in ("103339001", "103340004", "42798000")
    ]
    if not any(sizes):
        return
    if not all(len(size) == 1 for size in sizes):
        yield "rows: a size in part"
        return
    (long_mm,), (short_mm,), (area_mm2,) = sizes
    if not (short_mm <= long_mm and area_mm2 <= long_mm * short_mm):
        yield f"number: {long_mm} x {short_mm} mm and {area_mm2} mm2"


def prediction_problems(group: Dataset) -> Iterator[str]:
    """Each predicted class is one that there is, has a probability by its model, and is the likeliest of many."""
    for item in below(group, *PREDICTIONS):
        classes, names = PREDICTIONS[concept(item)]
        if code(item) not in classes:
            yield f"prediction: {concept(item)} is {code(item)}"
            continue
        by = [child.TextValue for child in below(item, "111001", "111003")]
        of_model = [p for p in below(group, *names) if [c.TextValue for c in below(p, "111001", "111003")] == by]
        stated = {concept(p): float(p.MeasuredValueSequence[0].NumericValue) for p in of_model}
        if set(stated) != set(names):
            yield f"prediction: {concept(item)} lacks a probability by its model"
        elif len(names) > 1:
            if stated[names[classes.index(code(item))]] < max(stated.values()):
                yield f"prediction: {code(item)} is not the likeliest"
            if not 99.9 < sum(stated.values()) < 100.1:
                yield f"prediction: the probabilities of {concept(item)} do not add up"
    if not below(group, *PREDICTIONS) and len(below(group, "121106")) < 2:
        yield "prediction: neither a value nor a reason"


def lesion_problems(root: Dataset) -> Iterator[str]:
    """Every view of a lesion says the same; a comment begins with its number."""
    told: dict[str, set[tuple[str, ...]]] = {}
    for group in walk(root):
        if row(group) != "prediction group":
            continue
        comments = [str(item.TextValue) for item in below(group, "121106")]
        if comments[1:2] == ["The predictions stand with the first outline"]:
            continue
        numbers = [str(i.MeasuredValueSequence[0].NumericValue) for i in below(group, *PROBABILITIES)]
        values = [code(item) for item in below(group, *PREDICTIONS)]
        told.setdefault("".join(comments[:1]).split(":")[0], set()).add((*values, *numbers, *comments[1:]))
    yield from (f"prediction: the views of {name} differ" for name, said in told.items() if len(said) > 1)


def number_problems(item: Dataset) -> Iterator[str]:
    wanted = UNITS.get(concept(item))
    if wanted is None:
        return
    measured = item.get("MeasuredValueSequence")
    if not measured:
        yield f"number: {concept(item)} has no value"
        return
    value, unit = float(measured[0].NumericValue), measured[0].MeasurementUnitsCodeSequence[0].CodeValue
    if not 0 <= value <= 100 and wanted == "%":
        yield f"number: {concept(item)} is {value}"
    if value <= 0 and wanted != "%":
        yield f"number: {concept(item)} is {value}"
    if unit != wanted:
        yield f"number: {concept(item)} is in {unit}"


def summary_problems(root: Dataset) -> Iterator[str]:
    has_findings = any(concept(item) == "111059" for item in walk(root))
    statuses = []
    for item in below(root, "111064", "111065"):
        groups = {concept(child) for child in below(item)}
        wanted = CONTAINERS_OF_STATUS.get(code(item))
        found = (bool(groups & {"111063", "111062"}), bool(groups & {"111025", "111024"}))
        if wanted != found:
            yield f"summary: {concept(item)} says {code(item)} but has {sorted(groups)}"
        statuses.append(code(item))
    for item in below(root, "111017"):
        said = SUMMARIES.get(code(item), (False, "none"))
        if said[0] != has_findings:
            yield f"summary: {code(item)}, findings {has_findings}"
        has_impression = bool(below(item, "111034"))
        if has_impression != has_findings:
            yield "summary: an impression without findings, or findings without one"
        if said[1] == "all" and set(statuses) & {"111223", "111224"}:
            yield f"summary: all algorithms succeeded, but {statuses}"
        if said[1] == "none" and "111222" in statuses:
            yield f"summary: no algorithm succeeded, but {statuses}"


def geometry_problems(item: Dataset, root: Dataset, sources: Mapping[str, Dataset]) -> Iterator[str]:
    for outline in below(item, "111041", "111030"):
        values = [float(value) for value in outline.get("GraphicData", ())]
        points = list(zip(values[::2], values[1::2], strict=False))
        if len(points) < 4 or points[0] != points[-1]:
            yield "geometry: an outline is not closed"
            continue
        xs, ys = [x for x, _ in points], [y for _, y in points]
        if max(xs) <= min(xs) or max(ys) <= min(ys):
            yield "geometry: an outline without an area"
        for center in below(item, "111010"):
            x, y = (float(value) for value in center.GraphicData[:2])
            if not (min(xs) <= x <= max(xs) and min(ys) <= y <= max(ys)):
                yield "geometry: the centre is outside of the outline"
        header = sources.get(target_uid(outline, root))
        if header is None:
            yield "geometry: on no source image"
        elif min(xs) < 0 or min(ys) < 0 or max(xs) > header.Columns or max(ys) > header.Rows:
            yield "geometry: outside of the image"
        if {target_uid(center, root) for center in below(item, "111010")} - {target_uid(outline, root)}:
            yield "geometry: centre and outline are on different images"
        yield from title_problems(item, header)


def title_problems(item: Dataset, header: Dataset | None) -> Iterator[str]:
    """The tracking identifier names the view; a finding that is put on another image shows."""
    if row(item) == "prediction group":  # what a radiologist calls it
        return
    titles = [str(child.TextValue) for child in below(item, "112039")]
    if header is None or not titles or "ImageLaterality" not in header or "ViewPosition" not in header:
        return
    if f"{header.ImageLaterality} {header.ViewPosition}," not in titles[0]:
        yield f"geometry: {titles[0]!r} is on {header.ImageLaterality} {header.ViewPosition}"


def target_uid(item: Dataset, root: Dataset) -> str:
    """The image that a coordinate was selected from, by reference or by value."""
    for child in below(item):
        if "ReferencedContentItemIdentifier" in child:
            target = resolved(child, root)
            return (
                ""
                if target is None or "ReferencedSOPSequence" not in target
                else str(target.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
            )
        if "ReferencedSOPSequence" in child:
            return str(child.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    return ""


def resolved(reference: Dataset, root: Dataset) -> Dataset | None:
    value = reference.ReferencedContentItemIdentifier
    path = [value] if isinstance(value, int) else [int(part) for part in value]
    item = root
    for index in path[1:]:
        children = below(item)
        if not 0 < index <= len(children):
            return None
        item = children[index - 1]
    return item if path[0] == 1 else None


def reference_problems(item: Dataset, root: Dataset) -> Iterator[str]:
    target = resolved(item, root)
    if target is None:
        yield "reference: to an item that is not there"
    elif target.get("ValueType") != "IMAGE":
        yield f"reference: to {target.get('ValueType')} {concept(target)}, which is no image"


def image_problems(item: Dataset, sources: Mapping[str, Dataset]) -> Iterator[str]:
    reference = item.ReferencedSOPSequence[0]
    header = sources.get(str(reference.ReferencedSOPInstanceUID))
    if header is None:
        yield "image: of no source instance"
        return
    if reference.ReferencedSOPClassUID != header.SOPClassUID:
        yield "image: with another SOP class"
    for side in below(item, "111027"):
        if SIDES.get(code(side)) != header.get("ImageLaterality"):
            yield f"image: laterality {code(side)} of {header.get('ImageLaterality')}"
    wanted = {"399162004": "CC", "399368009": "MLO"}
    for view in below(item, "111031"):
        if wanted.get(code(view)) != header.get("ViewPosition"):
            yield f"image: view {code(view)} of {header.get('ViewPosition')}"

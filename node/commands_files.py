"""The commands that work on files: analyse, send, phantom."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import typer
from pynetdicom.association import Association
from tqdm import tqdm

from node.analysis import analyse_study, study_inputs
from node.errors import DeliveryError, SettingsInvalid
from node.scu import FileToSend, NoAssociation, Peer, associated, contexts_for, store
from node.settings import Settings
from node.spool import write_durably
from pipelines.contract import AnalysisOptions, InstanceFile, PipelineResult
from pipelines.errors import MammonodeError, UnreadableInstance
from pipelines.headers import describe_mammogram, read_header
from pipelines.phantom import write_study
from pipelines.results_json import to_json
from sr_templates.contract import DEFAULT_KINDS, ResultKind, ResultVariant, plain_variants

PEER_PATTERN = re.compile(r"(?P<title>[^@]{1,16})@(?P<host>\[[^\]]+\]|[^:@]+):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A readable DICOM file and the study that it belongs to."""

    study_instance_uid: str
    instance: InstanceFile


def files_below(paths: Iterable[Path]) -> Iterator[Path]:
    """Every file named, and every file in the folders named, in a stable order; hidden ones left out.

    Raises
    ------
    SettingsInvalid
        For a path that does not exist.
    """
    for path in paths:
        if path.is_dir():
            yield from sorted(item for item in path.rglob("*") if item.is_file() and not item.name.startswith("."))
        elif path.is_file():
            yield path
        else:
            raise SettingsInvalid((f"{path}: no such file or folder",), origin="command line")


def find_instances(paths: Iterable[Path]) -> list[FoundFile]:
    """Read the headers of all files; what is not DICOM is named on standard error and left out.

    Raises
    ------
    MammonodeError
        When nothing readable is there at all.
    """
    found: dict[str, FoundFile] = {}
    for path in tqdm(list(files_below(paths)), desc="reading headers", unit="file", leave=False, disable=None):
        try:
            dataset = read_header(path)
        except UnreadableInstance as error:
            typer.echo(f"left out: {path}: {error}", err=True)
            continue
        header = describe_mammogram(dataset)
        if not header.study_instance_uid or not header.sop_instance_uid:
            typer.echo(f"left out: {path}: no Study or SOP Instance UID", err=True)
            continue
        if header.sop_instance_uid in found:
            typer.echo(f"left out: {path}: the same SOP Instance UID came before", err=True)
            continue
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")) if hasattr(dataset, "file_meta") else ""
        found[header.sop_instance_uid] = FoundFile(
            study_instance_uid=header.study_instance_uid,
            instance=InstanceFile(
                path=path,
                sop_instance_uid=header.sop_instance_uid,
                sop_class_uid=header.sop_class_uid,
                transfer_syntax_uid=syntax,
            ),
        )
    if not found:
        raise MammonodeError("no DICOM file among the paths given")
    return list(found.values())


def analyse(
    paths: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    min_score: float | None,
    kinds: Sequence[str] | None = None,
    as_json: bool,
) -> None:
    """Analyse files and write the results; `kinds` None: those that a destination gets by default.

    Raises
    ------
    SettingsInvalid
        For a kind that does not exist.
    """
    variants = result_variants(kinds)
    studies: dict[str, list[InstanceFile]] = {}
    for found in find_instances(paths):
        studies.setdefault(found.study_instance_uid, []).append(found.instance)
    options = AnalysisOptions(
        created_at=datetime.now(UTC),
        station_name=settings.node.ae_title,
        min_score=settings.models.min_score if min_score is None else min_score,
        device=settings.queue.device,
        weights_dir=settings.models.weights_dir,
        results=variants,
        required_views=tuple(settings.completion.required_views),
        occasion="command_line",
    )
    out.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {"studies": []}
    for uid, instances in tqdm(studies.items(), desc="analysing", unit="study", disable=None):
        results = analyse_study(study_inputs(uid, 1, instances), options)
        values["studies"] += to_json(results, write_objects(out, results))["studies"]
    text = json.dumps(values, indent=2) + "\n"
    write_durably(out / "results.json", text.encode())
    typer.echo(text if as_json else summary(values, out))


def result_variants(kinds: Sequence[str] | None) -> frozenset[ResultVariant]:
    """Kinds by name as variants; None: the default ones.

    Raises
    ------
    SettingsInvalid
        For a kind that does not exist.
    """
    if kinds is None:
        return plain_variants(*DEFAULT_KINDS)
    known: dict[str, ResultKind] = {kind: kind for kind in get_args(ResultKind)}
    unknown = sorted(set(kinds) - set(known))
    if unknown:
        words = f"--results {', '.join(unknown)}: must be one of {', '.join(known)}"
        raise SettingsInvalid((words,), origin="command line")
    return plain_variants(*(known[kind] for kind in kinds))


def write_objects(out: Path, results: Iterable[PipelineResult]) -> dict[str, str]:
    """Write result objects below `out`; return the file name of each by SOP Instance UID, relative to `out`."""
    names: dict[str, str] = {}
    for result in results:
        views = {image.sop_instance_uid: f"{image.laterality or ''}{image.view or ''}" for image in result.images}
        taken: set[str] = set()
        for item in result.objects:
            view = views.get(item.referenced_sop_instance_uid or "", "")
            stem = f"{item.kind}_{view}" if view else item.kind
            name = next(name for name in _numbered(stem) if name not in taken)
            taken.add(name)
            names[item.sop_instance_uid] = f"{result.study_instance_uid}/{result.pipeline}/{name}.dcm"
            write_durably(out / names[item.sop_instance_uid], item.content)
    return names


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}_{number}"
        number += 1


def summary(values: Mapping[str, Any], out: Path) -> str:
    """What a person wants to read after `analyse`: a line a study, a breast and an image."""
    lines = []
    for study in values["studies"]:
        because = f": {study['reason']}" if study["reason"] else ""
        lines.append(f"study {study['study_instance_uid']}  {study['pipeline']}  {study['outcome']}{because}")
        for breast in study["breasts"]:
            sure = "" if breast["confidence"] is None else f" ({breast['confidence']:.2f})"
            why = f": {breast['reason']}" if breast["reason"] else ""
            lines.append(f"  breast {breast['laterality']}  {breast['status']}{sure}{why}")
        outlined = Counter(lesion["sop_instance_uid"] for lesion in study["lesions"])
        for image in study["images"]:
            uid = image["sop_instance_uid"]
            name = f"{image['laterality'] or '?'} {image['view']}" if image["view"] else uid
            found = f"{len(image['detections']) + outlined[uid]} findings" if image["outcome"] == "analysed" else ""
            lines.append(f"  image {name}  {image['outcome']}: {'; '.join(filter(None, (found, image['reason'])))}")
        lines += _biomarker_lines(study["biomarkers"])
        lines += [f"  wrote {out / name}" for name in study["objects"]]
    lines.append(f"wrote {out / 'results.json'}")
    return "\n".join(lines)


def _biomarker_lines(biomarkers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line a prediction; of those that lack, one for all models of a lesion with the same kind of reason."""
    left_out: dict[tuple[str, str], list[str]] = {}
    for found in biomarkers:
        label = next((region["label"] for region in found["roi"] if region["label"]), "unnamed")
        where = f'region "{label}" {found["laterality"] or "?"}'
        if found["value"] is None:
            left_out.setdefault((where, found["reason"].replace(f" ({found['model']})", "")), []).append(found["model"])
        else:
            probability = f"{found['probability']:.2f}"
            yield f"  {where}  {found['name']} predicted {found['value']} ({probability}, {found['model']})"
    for (where, reason), models in left_out.items():
        yield f"  {where}  {reason} ({', '.join(models)})"


def parse_peer(to: str, *, calling: str, timeout_s: float) -> Peer:
    """Read ``AE@host:port``.

    Raises
    ------
    SettingsInvalid
        When it is not of that form.
    """
    match = PEER_PATTERN.fullmatch(to)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise SettingsInvalid(
            (f"--to {to}: must be AE@host:port, for instance PACS@127.0.0.1:4242",), origin="command line"
        )
    return Peer(
        calling_ae_title=calling,
        called_ae_title=match["title"],
        host=match["host"].strip("[]"),
        port=int(match["port"]),
        timeout_s=timeout_s,
    )


def send(paths: Sequence[Path], to: str, *, calling: str, timeout_s: float) -> None:
    """Send files; ends with exit status 1 when not all were taken."""
    peer = parse_peer(to, calling=calling, timeout_s=timeout_s)
    files = [
        FileToSend(
            path=found.instance.path,
            sop_class_uid=found.instance.sop_class_uid,
            transfer_syntax_uid=found.instance.transfer_syntax_uid,
        )
        for found in find_instances(paths)
    ]
    try:
        with associated(peer, contexts_for(files)) as association:
            sent = _send_all(association, files)
    except NoAssociation as error:
        raise DeliveryError(f"{to}: {error}") from error
    typer.echo(f"{sent} of {len(files)} instances sent to {to}")
    if sent < len(files):
        raise typer.Exit(1)


def _send_all(association: Association, files: Sequence[FileToSend]) -> int:
    sent = 0
    for number, file in enumerate(tqdm(files, desc="sending", unit="file", leave=False, disable=None)):
        outcome = store(association, file, message_id=number % 65535 + 1)
        sent += outcome.fate == "sent"
        words = outcome.said or outcome.comment
        if outcome.fate != "sent" or words:
            status = "no status" if outcome.status is None else f"0x{outcome.status:04X}"
            typer.echo(f"{file.path}: {outcome.fate}, {status}, {words}", err=True)
    return sent


def write_phantom(out: Path, *, seed: int) -> None:
    """Write a generated study."""
    for path in write_study(out, seed):
        typer.echo(f"wrote {path}")

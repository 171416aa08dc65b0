"""The worker: claims a study, runs its pipelines, publishes the results. One study at a time, models resident."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy.exc import SQLAlchemyError

from node.analysis import analyse_study, overall, report_failure, study_inputs
from node.arrivals import REGIONS, UNROUTED
from node.ledger import ClaimedStudy, Ledger
from node.outbox import Fault, Outbox, no_fault
from node.settings import Settings
from pipelines import registry
from pipelines.contract import AnalysisOptions, InstanceFile, PipelineResult, Reason, StudyInput
from pipelines.reasons import REGION_IMAGES_DELETED, REGION_SET_ASIDE, REGIONS_TAKEN
from sr_templates.contract import ResultVariant

log = structlog.get_logger("worker")

TIME_LIMIT = Reason(code="time_limit", text="the analysis took longer than its time limit")
SET_ASIDE = Reason(code="set_aside", text="set aside: the analysis ended abnormally several times")


class Worker:
    """Analyses studies.

    Parameters
    ----------
    settings : Settings
        Lease, device, operating point, destinations' profiles.
    ledger, outbox
        Where studies come from and results go.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        outbox: Outbox,
        *,
        clock: Callable[[], float] = time.time,
        fault: Fault = no_fault,
    ) -> None:
        self._settings = settings
        self._queue = settings.queue
        self._ledger = ledger
        self._outbox = outbox
        self._clock = clock
        self._fault = fault
        self.profiles: dict[str, frozenset[ResultVariant]] = {
            destination.name: destination.variants for destination in settings.destination
        }

    def warm_up(self) -> None:
        """Load every pipeline's models and run them once, so that the first study of the day does not wait."""
        for name in registry.PIPELINES:
            registry.get(name).warm_up(self.options())

    def analyse(self, study_instance_uid: str) -> bool:
        """Claim a study, analyse it and publish the answer.

        Returns
        -------
        bool
            False when there was nothing to claim (a message that came twice), or the claim was lost.
        """
        claimed = self._ledger.claim(study_instance_uid, uuid4().hex, self._clock(), self._queue.lease_s)
        if claimed is None:
            return False
        self._fault("claimed")
        ended = False
        try:
            with self._lease(claimed):
                published = self._answer(claimed)
            ended = True
        finally:
            if not ended:  # an error of ours: back to the queue, one attempt poorer, and the error to Celery's log
                retry_at = self._clock() + self._queue.poll_s
                self._ledger.give_back(
                    claimed,
                    self._clock(),
                    retry_at=retry_at,
                    why="error in the pipeline",
                    max_deaths=self._queue.max_deaths,
                )
        return published

    def _answer(self, claimed: ClaimedStudy) -> bool:
        started = time.perf_counter()
        tries_left = claimed.tries_left(self._queue.max_deaths)
        try:
            results = self._analyse(claimed, tries_left) if tries_left > 0 else self._give_up(claimed, SET_ASIDE)
        except SoftTimeLimitExceeded:
            if claimed.has_regions and tries_left > 1:
                raise  # it may be theirs: the study is tried again, and in the end without them
            results = self._give_up(claimed, TIME_LIMIT)
        self._fault("analysed")
        seconds = {
            "pipelines_s": round(time.perf_counter() - started, 4),
            "models_s": round(sum(result.models_s for result in results), 4),
        }
        summary = overall(results)
        published = self._outbox.publish(
            claimed,
            [item for result in results for item in result.objects],
            self.profiles,
            self._clock(),
            outcome=summary.outcome,
            reason=summary.reason.text if summary.reason else None,
            quarantine=tries_left <= 0,
            detail=seconds | {"not_analysed": _count_reasons(results)},
        )
        self._fault("published")
        log.info(
            "study_finished" if published else "claim_lost",
            study_instance_uid=claimed.study_instance_uid,
            outcome=summary.outcome,
            **seconds,
        )
        return published

    def _analyse(self, claimed: ClaimedStudy, tries_left: int) -> list[PipelineResult]:
        """Analyse; on the last try without regions, which must not cost the study its answer."""
        left_out = REGION_SET_ASIDE if claimed.has_regions and tries_left == 1 else None
        if left_out is not None:
            log.warning("regions_set_aside", study_instance_uid=claimed.study_instance_uid, deaths=claimed.deaths)
        return analyse_study(_inputs(claimed, left_out), self.options())

    def _give_up(self, claimed: ClaimedStudy, reason: Reason) -> list[PipelineResult]:
        return report_failure(_inputs(claimed), self.options(), reason)

    def options(self) -> AnalysisOptions:
        """Return the options of a run that starts now."""
        wanted = frozenset(variant for variants in self.profiles.values() for variant in variants)
        defaults = AnalysisOptions(created_at=datetime.fromtimestamp(self._clock(), UTC))
        return AnalysisOptions(
            created_at=defaults.created_at,
            station_name=self._settings.node.ae_title,
            min_score=self._settings.models.min_score,
            device=self._queue.device,
            weights_dir=self._settings.models.weights_dir,
            results=wanted or defaults.results,
            profiles=frozenset(self.profiles.values()),
            required_views=tuple(self._settings.completion.required_views),
        )

    @contextmanager
    def _lease(self, claimed: ClaimedStudy) -> Iterator[None]:
        """Renew the lease from a thread of its own while the study is analysed."""
        stop = threading.Event()

        def renew() -> None:
            while not stop.wait(self._queue.lease_s / 4):
                until = self._clock() + self._queue.lease_s
                try:
                    is_held = self._ledger.renew(claimed.study_instance_uid, claimed.token, until)
                except SQLAlchemyError as error:  # it may be back before the lease runs out
                    log.warning("lease_not_renewed", study_instance_uid=claimed.study_instance_uid, error=str(error))
                    continue
                if not is_held:
                    log.warning("lease_lost", study_instance_uid=claimed.study_instance_uid)
                    return

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _inputs(claimed: ClaimedStudy, regions_left: Reason | None = None) -> dict[str, StudyInput]:
    """Inputs of the pipelines.

    The answer to a region whose images were deleted says so, and takes the place of no earlier answer.
    """
    has_images = any(item.routed_to not in {REGIONS, UNROUTED} for item in claimed.instances)
    without_images = claimed.has_regions and claimed.images_deleted and not has_images
    files = [
        InstanceFile(
            path=Path(item.path),
            sop_instance_uid=item.sop_instance_uid,
            sop_class_uid=item.sop_class_uid,
            transfer_syntax_uid=item.transfer_syntax_uid,
        )
        for item in claimed.instances
    ]
    marked = {item.sop_instance_uid for item in claimed.instances if item.routed_to == REGIONS}
    return study_inputs(
        claimed.study_instance_uid,
        claimed.revision,
        files,
        () if without_images else claimed.replaces,
        carries=lambda file: file.sop_instance_uid in marked,
        regions_left=REGION_IMAGES_DELETED if without_images else regions_left,
    )


def _count_reasons(results: list[PipelineResult]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for result in results:
        for image in result.images:
            if image.reason is not None and image.reason.code != REGIONS_TAKEN.code:
                counts[image.reason.code] = counts.get(image.reason.code, 0) + 1
    return counts

"""The storage commitment side of the PACS in this process: whom it answers, where, and with what, the test chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydicom import Dataset
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined] # made at import time

from tests.peers.processes import LOOPBACK, wait_until

WELL_KNOWN_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
NO_SUCH_INSTANCE: Final = 0x0112


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentAnswer:
    """What the PACS does with one request.

    Attributes
    ----------
    status : int
        Of the N-ACTION response; with a failure nothing is reported.
    where : {"same", "new", "nowhere"}
        The association of the report. With "nowhere" the test may call `FakeCommitment.report` when it wants to.
    times : int
        How often the report is sent.
    lost : frozenset of str
        Instances that are not there, whatever the PACS got.
    left_out : frozenset of str
        Instances of which the report says nothing.
    transaction_uid : str, optional
        In place of the right one.
    then : {"respond", "abort"}
        Answer the N-ACTION, or abort in place of it.
    """

    status: int = 0x0000
    where: Literal["same", "new", "nowhere"] = "same"
    times: int = 1
    lost: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()
    transaction_uid: str | None = None
    then: Literal["respond", "abort"] = "respond"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRequest:
    """An N-ACTION that arrived: the instances with their SOP classes, and the answer to it."""

    calling_ae_title: str
    action_type: int
    sop_instance_uid: str
    transaction_uid: str
    references: Mapping[str, str]
    answer: CommitmentAnswer


@dataclass(slots=True)
class FakeCommitment:
    """Storage Commitment Push Model SCP.

    Attributes
    ----------
    ae_title : str
        Its own, on new associations.
    holds : callable
        Whether it has an instance.
    is_offered : bool
        Whether the context is accepted; takes effect with the next start.
    answer : CommitmentAnswer
        For every request.
    node : tuple of str and int
        AE title and port to which reports on a new association go.
    requests : list of CommitmentRequest
    statuses : list of int or None
        Of the responses to its reports; None for none.
    """

    ae_title: str
    holds: Callable[[str], bool]
    is_offered: bool = True
    answer: CommitmentAnswer = field(default_factory=CommitmentAnswer)
    node: tuple[str, int] = ("MAMMONODE", 11112)
    requests: list[CommitmentRequest] = field(default_factory=list)
    statuses: list[int | None] = field(default_factory=list)
    _waiting: dict[int, CommitmentRequest] = field(default_factory=dict)

    @property
    def handlers(self) -> list[Any]:
        """For `AE.make_server`."""
        return [(evt.EVT_N_ACTION, self._on_action), (evt.EVT_PDU_SENT, self._on_sent)]

    def wait_for_reports(self, number: int, *, timeout_s: float = 30) -> list[int | None]:
        """Wait until so many reports were answered or failed; return `statuses`."""
        wait_until(lambda: len(self.statuses) >= number, timeout_s=timeout_s, what="answers to reports")
        return list(self.statuses)

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        action = event.request
        assert isinstance(action, N_ACTION)  # this event is its arrival
        information = event.action_information
        request = CommitmentRequest(
            calling_ae_title=event.assoc.requestor.ae_title.strip(),
            action_type=int(action.ActionTypeID or 0),
            sop_instance_uid=str(action.RequestedSOPInstanceUID),
            transaction_uid=str(information.TransactionUID),
            references={
                str(item.ReferencedSOPInstanceUID): str(item.ReferencedSOPClassUID)
                for item in information.ReferencedSOPSequence
            },
            answer=self.answer,
        )
        self.requests.append(request)
        if request.answer.then == "abort":
            event.assoc.abort(block=False)
        elif request.answer.status == 0x0000 and request.answer.where != "nowhere":
            self._waiting[id(event.assoc)] = request
        return request.answer.status, None

    def _on_sent(self, event: evt.Event) -> None:
        """The response to an N-ACTION is out: now the report may follow."""
        if not isinstance(event.pdu, P_DATA_TF):
            return
        request = self._waiting.pop(id(event.assoc), None)
        if request is not None:
            threading.Thread(target=self._report_by_itself, args=(request, event.assoc), daemon=True).start()

    def _report_by_itself(self, request: CommitmentRequest, association: Association) -> None:
        if request.answer.where == "new":
            self.report(request)
            return
        for _ in range(request.answer.times):
            self._send(association, *self.information(request))

    def information(self, request: CommitmentRequest, answer: CommitmentAnswer | None = None) -> tuple[int, Dataset]:
        """Event type and event information (PS3.4 table J.3-2) of a true report, or of what `answer` makes of it."""
        answer = answer or request.answer
        event = Dataset()
        event.TransactionUID = answer.transaction_uid or request.transaction_uid
        kept, failed = [], []
        for uid, sop_class in request.references.items():
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            if uid in answer.left_out:
                continue
            if uid in answer.lost or not self.holds(uid):
                item.FailureReason = NO_SUCH_INSTANCE
                failed.append(item)
            else:
                kept.append(item)
        if kept:
            event.ReferencedSOPSequence = kept
        if failed:
            event.FailedSOPSequence = failed
        return (2 if failed else 1), event

    def report(
        self,
        request: CommitmentRequest,
        answer: CommitmentAnswer | None = None,
        *,
        calling: str | None = None,
        proposes_role: bool = True,
        event: tuple[int, Dataset] | None = None,
    ) -> list[int | None]:
        """Report on an association of its own; return the statuses, one None when there was no association.

        Parameters
        ----------
        answer : CommitmentAnswer, optional
            In place of the request's.
        calling : str, optional
            In place of `ae_title`.
        proposes_role : bool
            Whether it proposes itself as SCP, as it must (PS3.7 D.3.3.4).
        event : tuple of int and pydicom.Dataset, optional
            Event type and event information, whatever they are.
        """
        answer = answer or request.answer
        title, port = self.node
        ae = AE(ae_title=calling or self.ae_title)
        ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 30
        roles = [build_role(StorageCommitmentPushModel, scp_role=True)] if proposes_role else []
        contexts = [build_context(StorageCommitmentPushModel)]
        association = ae.associate(LOOPBACK, port, contexts, ae_title=title, ext_neg=roles)  # type: ignore[arg-type] # a list of one kind of item
        if not association.is_established:
            self.statuses.append(None)
            return [None]
        if not proposes_role:
            for context in association.accepted_contexts:
                context._as_scp = True  # else pynetdicom sends nothing
        found = [self._send(association, *(event or self.information(request, answer))) for _ in range(answer.times)]
        if association.is_established:
            association.release()
        return found

    def _send(self, association: Association, event_type: int, information: Dataset) -> int | None:
        try:
            response, _ = association.send_n_event_report(
                information, event_type, StorageCommitmentPushModel, WELL_KNOWN_INSTANCE
            )
        except RuntimeError:  # pynetdicom's word for an association that has ended
            response = Dataset()
        status = response.get("Status")
        self.statuses.append(status)
        return status

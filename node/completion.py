"""When is a study complete? A pure decision over what has arrived and the time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedInstance:
    """One instance of a study.

    Attributes
    ----------
    view : str or None
        ``"L-CC"``-style name, only when it counts towards the required views.
    is_open_ended : bool
        Whether nobody can know how many more of its kind are to come: it goes to a pipeline without required views.
    """

    view: str | None
    received_at: float
    is_open_ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyState:
    """What is known of a study that is being assembled. Times in seconds since 1970.

    Attributes
    ----------
    is_late_request : bool
        Whether the study was answered before, and no image came since, but an object in which a person marked regions.
    """

    study_instance_uid: str
    calling_ae_title: str
    calling_host: str
    last_received_at: float
    instances: tuple[ArrivedInstance, ...]
    is_late_request: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionPolicy:
    """How long to wait, in seconds, and for what."""

    settle_s: float
    quiet_s: float
    required_views: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Analyse now."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Ask again at `until`, unless something arrives before."""

    until: float


def decide(study: StudyState, policy: CompletionPolicy, now: float) -> Ready | Wait:
    """Decide whether `study` is complete.

    With every required view present, a short settle time after the last arrival is enough: more images of the same
    acquisition come close together. Otherwise, or with ultrasound in it as well, the study must have been quiet for
    longer. An image that comes after the decision makes a new revision, so deciding early never loses one. A region
    that somebody marks in an answered study is answered after the settle time: there is nothing more to wait for.

    Parameters
    ----------
    study : StudyState
        What has arrived so far.
    policy : CompletionPolicy
        The settings in force for its sender.
    now : float
        Seconds since 1970.
    """
    present = {instance.view for instance in study.instances if instance.view is not None}
    is_open_ended = any(instance.is_open_ended for instance in study.instances)
    has_required = bool(policy.required_views) and policy.required_views <= present and not is_open_ended
    if study.is_late_request:
        wait_s, why = policy.settle_s, "regions"
    else:
        wait_s, why = (policy.settle_s, "required views") if has_required else (policy.quiet_s, "quiet")
    until = study.last_received_at + wait_s
    return Ready(why=why) if now >= until else Wait(until=until)

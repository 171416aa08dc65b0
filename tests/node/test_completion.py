"""When a study is complete: a table of what has arrived and how long ago, and a pure answer."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from node.completion import ArrivedInstance, CompletionPolicy, Ready, StudyState, Wait, decide
from node.peers import Peers, completion_policy
from node.settings import CompletionSettings, SourceSettings

FOUR = ("L-CC", "L-MLO", "R-CC", "R-MLO")
POLICY = CompletionPolicy(settle_s=2, quiet_s=30, required_views=frozenset(FOUR))


def study(*views: str | None, last: float = 100.0, uid: str = "1.2.3") -> StudyState:
    return StudyState(
        study_instance_uid=uid,
        calling_ae_title="MODALITY",
        calling_host="10.0.0.1",
        last_received_at=last,
        instances=tuple(ArrivedInstance(view=view, received_at=last) for view in views),
    )


@pytest.mark.parametrize(
    ("views", "now", "expected"),
    [
        pytest.param(FOUR, 100.0, Wait(until=102.0), id="all views, but more may be on their way"),
        pytest.param(FOUR, 101.999, Wait(until=102.0), id="all views, not yet settled"),
        pytest.param(FOUR, 102.0, Ready(why="required views"), id="all views, settled"),
        pytest.param((*FOUR, "L-ML", None), 102.0, Ready(why="required views"), id="more than the required views"),
        pytest.param((*FOUR, *FOUR), 102.0, Ready(why="required views"), id="each view twice"),
        pytest.param(FOUR[:3], 102.0, Wait(until=130.0), id="one view is missing"),
        pytest.param(FOUR[:3], 129.999, Wait(until=130.0), id="one view is missing, almost quiet"),
        pytest.param(FOUR[:3], 130.0, Ready(why="quiet"), id="one view is missing, quiet"),
        pytest.param((None, None, None, None), 102.0, Wait(until=130.0), id="four images of which none counts"),
        pytest.param((None,), 130.0, Ready(why="quiet"), id="an instance that is no image is answered, too"),
        pytest.param((), 130.0, Ready(why="quiet"), id="nothing is known of it"),
        pytest.param(FOUR, 50.0, Wait(until=102.0), id="a clock that was set back waits, and does not fail"),
    ],
)
def test_what_has_arrived_and_how_long_ago(views: tuple[str | None, ...], now: float, expected: Ready | Wait) -> None:
    assert decide(study(*views), POLICY, now) == expected


def test_ultrasound_beside_a_whole_exam_is_waited_for_until_it_is_quiet() -> None:
    sonogram = ArrivedInstance(view=None, received_at=100.0, is_open_ended=True)
    both = replace(study(*FOUR), instances=(*study(*FOUR).instances, sonogram))
    assert decide(both, POLICY, 102.0) == Wait(until=130.0)
    assert decide(both, POLICY, 130.0) == Ready(why="quiet")


def test_asking_again_at_the_time_it_named_is_enough() -> None:
    for views in (FOUR, FOUR[:2]):
        answer = decide(study(*views), POLICY, 100.0)
        assert isinstance(answer, Wait)
        assert isinstance(decide(study(*views), POLICY, answer.until), Ready)


def test_a_new_arrival_starts_the_wait_anew() -> None:
    assert decide(study(*FOUR, last=101.5), POLICY, 102.0) == Wait(until=103.5)


def test_no_required_views_means_quiet_and_never_at_once() -> None:
    policy = CompletionPolicy(settle_s=0, quiet_s=30, required_views=frozenset())
    assert decide(study(*FOUR), policy, 100.0) == Wait(until=130.0)


def test_a_source_overrides_only_what_it_names() -> None:
    completion = CompletionSettings(settle_s=2, quiet_s=30)
    one_breast = SourceSettings(ae_title="UNIT1", host="10.0.0.1", required_views=("R-CC", "R-MLO"), quiet_s=300)
    policy = completion_policy(completion, one_breast)
    assert policy == CompletionPolicy(settle_s=2, quiet_s=300, required_views=frozenset({"R-CC", "R-MLO"}))
    assert decide(study("R-CC", "R-MLO"), policy, 102.0) == Ready(why="required views")
    assert decide(study("L-CC", "L-MLO"), policy, 131.0) == Wait(until=400.0)
    assert completion_policy(completion, None) == POLICY


def test_a_source_may_set_a_time_to_zero() -> None:
    at_once = SourceSettings(ae_title="UNIT1", host="10.0.0.1", settle_s=0)
    policy = completion_policy(CompletionSettings(settle_s=2), at_once)
    assert decide(study(*FOUR), policy, 100.0) == Ready(why="required views")


def test_the_policy_is_that_of_the_sender() -> None:
    slow = SourceSettings(ae_title="SLOW", host="10.0.0.1", quiet_s=300)
    quick = SourceSettings(ae_title="QUICK", host="10.0.0.1", quiet_s=5)
    peers = Peers((slow, quick))
    waits = [
        completion_policy(CompletionSettings(), peers.source_of(title, "10.0.0.1")).quiet_s
        for title in ("SLOW", "QUICK", "UNKNOWN")
    ]
    assert waits == [300, 5, 30]


def test_interleaved_studies_do_not_touch_each_other() -> None:
    arrivals = [("A", "L-CC", 0.0), ("B", "L-CC", 1.0), ("A", "L-MLO", 2.0), ("B", "L-MLO", 3.0)]
    arrivals += [("A", "R-CC", 4.0), ("A", "R-MLO", 5.0), ("B", "R-CC", 6.0)]

    def as_of(uid: str) -> StudyState:
        own = [(view, at) for study_uid, view, at in arrivals if study_uid == uid]
        return study(*(view for view, _ in own), last=own[-1][1], uid=uid)

    assert decide(as_of("A"), POLICY, 7.0) == Ready(why="required views")
    assert decide(as_of("B"), POLICY, 8.0) == Wait(until=36.0)


def test_deciding_changes_nothing_and_says_the_same_again() -> None:
    state = study(*FOUR)
    assert decide(state, POLICY, 101.0) == decide(state, POLICY, 101.0)
    assert state == study(*FOUR)
    with pytest.raises(FrozenInstanceError):
        state.last_received_at = 0.0  # type: ignore[misc] # that is the point


def test_a_mark_in_an_answered_study_waits_for_no_view_that_it_lacks() -> None:
    late = replace(study("L-CC", None), is_late_request=True)
    assert decide(late, POLICY, 101.0) == Wait(until=102.0)
    assert decide(late, POLICY, 102.0) == Ready(why="regions")

"""What every run does alike: its learning rate, and a log that tells each step once."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.training.loop import append_row, learning_rate


def test_rows_come_one_after_the_other_below_their_names(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    for step in (20, 40):
        append_row(log, {"step": step, "loss": 1 / step})
    assert log.read_text().splitlines() == ["step,loss", "20,0.05", "40,0.025"]


def test_a_run_that_is_taken_up_again_tells_no_step_twice(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    for step, loss in ((20, 1.0), (40, 0.8), (60, 0.7), (40, 0.75)):
        append_row(log, {"step": step, "loss": loss})
    assert log.read_text().splitlines() == ["step,loss", "20,1.0", "40,0.75"]


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = [learning_rate(step, steps=100, highest=1e-3, warm_up_steps=10) for step in range(100)]
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[0] == pytest.approx(1e-4, rel=0.01)
    assert rates[10] == pytest.approx(1e-3, rel=0.03)
    assert 0 < rates[-1] < 1e-6

"""How long to wait before trying again."""

from __future__ import annotations


def backoff_s(attempts: int, first_s: float, most_s: float) -> float:
    """Return the wait after a failed attempt: `first_s`, doubled each time, at most `most_s`.

    Parameters
    ----------
    attempts : int
        Failed attempts before this one.
    """
    return float(min(most_s, first_s * 2 ** min(attempts, 32)))

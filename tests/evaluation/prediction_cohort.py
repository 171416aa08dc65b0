"""Simulated tables of predictions, covariates and features; run as a module, it writes them.

They are committed as CSV, since R reads them, too (`against_r.R`), and its figures are recorded for exactly these rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parent / "predictions"
SEED = 20231118
CASES = 160


def binary() -> pd.DataFrame:
    """Two models and a poor one on independent patients, with covariates of every kind."""
    random = np.random.default_rng(SEED)
    truth = random.random(CASES) < 0.4
    shared = random.normal(size=CASES)
    scores = {
        name: 1 / (1 + np.exp(-(gain * truth - gain / 2 + 0.6 * shared + 0.8 * random.normal(size=CASES))))
        for name, gain in (("network", 1.8), ("radiomics", 1.0), ("clinical-svm", 0.3))
    }
    grade = np.where(random.random(CASES) < 0.2 + 0.3 * truth, "III", np.where(random.random(CASES) < 0.5, "II", "I"))
    rare = np.where(random.random(CASES) < 0.03 + 0.05 * truth, "yes", "no")
    return pd.DataFrame(
        {
            "patient": [f"P{number:03d}" for number in range(CASES)],
            "lesion": "1",
            "outcome": np.where(truth, "positive", "negative"),
            "fold": np.arange(CASES) % 5 + 1,
            **{name: np.round(score, 4) for name, score in scores.items()},
            "age": np.round(random.normal(54, 9, CASES) + 2 * truth, 1),
            "clinical:size_mm": np.round(random.lognormal(3 + 0.25 * truth, 0.5), 1),
            "clinical:density": np.round(random.normal(20, 3, CASES) * np.where(truth, 1.6, 1) - 6 * truth, 2),
            "clinical:grade": grade,
            "clinical:palpable": (random.random(CASES) < 0.45 + 0.2 * truth).astype(int),
            "clinical:implant": rare,
        }
    )


def several() -> pd.DataFrame:
    """One model of three classes; some patients have two lesions."""
    random = np.random.default_rng(SEED + 1)
    classes = ("zero", "low", "positive")
    truth = random.integers(3, size=120)
    logits = random.normal(size=(120, 3)) + 1.3 * np.eye(3)[truth]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "patient": [f"P{number // 2 if number < 60 else number:03d}" for number in range(120)],
            "lesion": [str(number % 2 + 1) for number in range(120)],
            "outcome": [classes[number] for number in truth],
            **{f"network:{name}": np.round(shares[:, place], 4) for place, name in enumerate(classes)},
            "age": np.round(random.normal(50, 10, 120) + 3 * truth, 1),
        }
    )


def read_features() -> pd.DataFrame:
    """Features of 24 lesions by three readers, from stable to noise; some say the same."""
    random = np.random.default_rng(SEED + 2)
    lesions, readers = 24, 3
    base = random.normal(size=(lesions, 4))
    frame = {
        "patient": np.repeat([f"P{number:03d}" for number in range(lesions)], readers),
        "lesion": "1",
        "reader": np.tile(["A", "B", "C"], lesions),
    }
    for place, noise in enumerate((0.05, 0.2, 0.5, 1.5)):
        for copy in range(3):
            true = base[:, place] + 0.3 * copy * random.normal(size=lesions)
            read = np.repeat(true, readers) + np.tile(noise * random.normal(size=readers), lesions)
            name = f"feature_{place + 1}{'abc'[copy]}"
            frame[name] = np.round(read + noise * random.normal(size=lesions * readers), 4)
    return pd.DataFrame(frame)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, table in (("binary", binary()), ("several", several()), ("features", read_features())):
        table.to_csv(FOLDER / f"{name}.csv", index=False)

"""Tables of predictions, covariates and features: what is read, and every problem of every line without a cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.datasets.open_tables import numbers_or_words
from pipelines.datasets.prediction_table import read_features, read_predictions, with_clinical
from pipelines.errors import ManifestInvalid
from pipelines.prediction_evaluation import evaluate_tables, of_split

SECRET = "Doe^Jane"


def table(folder: Path, *lines: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def problems(error: pytest.ExceptionInfo[ManifestInvalid]) -> str:
    assert SECRET not in str(error.value)
    return "\n".join(error.value.problems)


def test_a_binary_table_is_read_with_gaps_and_covariates(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "patient,lesion,outcome,fold,split,network,age,clinical:grade,clinical:size",
        "A,1,1.0,0,Test,0.75,50,II,12.5",
        "A,2,0,0,test,,50,NA,n/a",
        "B,1,0,1,test,1e-3,,III,8",
    )
    read = read_predictions(path)
    found = read.predictions
    assert found.classes == ("0", "1") and found.truth == (1, 0, 0) and found.patients == ("A", "A", "B")
    assert found.scores["network"] == ((0.25, 0.75), None, (0.999, 0.001))
    assert found.folds == ("0", "0", "1") and found.splits == ("test",) * 3
    assert found.covariates == {"age": (50.0, 50.0, None), "grade": ("II", None, "III"), "size": (12.5, None, 8.0)}
    assert read.keys == (("A", "1"), ("A", "2"), ("B", "1"))


@pytest.mark.parametrize(
    ("outcomes", "positive", "classes"),
    [
        (("negative", "Positive"), None, ("negative", "Positive")),
        (("luminal", "non_luminal"), None, ("non_luminal", "luminal")),
        (("malignant", "benign"), None, ("benign", "malignant")),
        (("b", "a"), "B", ("a", "b")),
        (("1", "1"), None, ("0", "1")),
    ],
)
def test_the_positive_class_is_known_by_name_or_told(
    tmp_path: Path, outcomes: tuple[str, str], positive: str | None, classes: tuple[str, str]
) -> None:
    path = table(tmp_path, "patient,outcome,m", f"A,{outcomes[0]},0.2", f"B,{outcomes[1]},0.8")
    assert read_predictions(path, positive=positive).predictions.classes == classes


def test_several_classes_have_a_column_each_in_the_order_of_the_outcome(tmp_path: Path) -> None:
    header = "patient,outcome,m:positive,m:low,m:zero"
    found = read_predictions(table(tmp_path, header, "A,low,0.1,0.7,0.2", "B,ZERO,,,")).predictions
    assert found.classes == ("zero", "low", "positive") and found.truth == (1, 0)
    assert found.scores["m"] == ((0.2, 0.7, 0.1), None)


def test_two_classes_may_have_a_column_each(tmp_path: Path) -> None:
    header = "patient,outcome,m:positive,m:negative,other"
    found = read_predictions(table(tmp_path, header, "A,negative,0.1,0.9,0.4", "B,positive,0.5,0.5,0.6")).predictions
    assert found.scores["m"][0] == (0.9, 0.1) and found.scores["other"][1] == (0.4, 0.6)


def test_every_problem_of_every_line_is_told_at_once_without_a_cell(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "patient,lesion,outcome,fold,split,age,m:zero,m:low,m:positive",
        f"A,1,low,x,test,-3,{SECRET},0.5,0.5",
        "A,1,low,1,training,40,0.9,0.9,0.9",
        f"B,1,{SECRET},1,test,{SECRET},0.5,,0.5",
        ",1,,1,test,40,0.2,0.3,0.5",
        "C,1,zero,1,test,40,1.2,-0.1,-0.1",
    )
    with pytest.raises(ManifestInvalid) as error:
        read_predictions(path)
    told = problems(error)
    for said in (
        "line 2: fold: must be a whole number",
        "line 2: age: must be above 0",
        "line 2: m: must be a probability",
        "line 3: split: must be train, val, test",
        "line 3: the patient of line 2 in another fold or split",
        "line 3: this lesion is already in line 2",
        "line 3: m: the probabilities of the classes must add up to 1",
        "line 4: outcome: must be one of zero, low, positive",
        "line 4: age: must be a finite number",
        "line 4: m: probabilities of some classes only",
        "line 5: patient is empty",
        "line 5: outcome is empty",
        "line 6: m: must be a probability",
    ):
        assert said in told, said
    assert str(error.value).startswith("predictions: ")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("patient,m", "A,0.5"), "there is no column outcome"),
        ((f"{SECRET},1,0.5", "A,0,0.5"), "there is no column patient"),
        (("patient,outcome", "A,1"), "there is no model"),
        (("patient,outcome,m,m", "A,1,0.5,0.5"), "column m is there twice"),
        (("patient,outcome,m,", "A,1,0.5,3"), "column number 4 has no name"),
        (("patient,outcome,m", f"A,1,0.5,{SECRET}"), "line 2: more or fewer cells than columns"),
        (("patient,outcome,m",), "no rows"),
        (("patient,outcome,m", "A,a,0.5", "B,b,0.5"), "Name it by --positive"),
        (("patient,outcome,m", "A,a,0.5", "B,b,0.5", "C,c,0.5"), "3 different classes"),
        (("patient,outcome,m", "A,a,0.5"), "one class only"),
        (("patient,outcome,m:a,m:b,m:c,n", "A,a,0.5,0.5,0,1"), "model n has a column without a class"),
        (("patient,outcome,m:a,m:b,m:c,n:a", "A,a,0.5,0.5,0,1"), "model n lacks the classes b, c"),
        (("patient,outcome,m,age,clinical:age", "A,1,0.5,4,4"), "age and clinical:age are the same"),
    ],
)
def test_a_table_that_cannot_be_is_refused_with_what_to_do(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(ManifestInvalid) as error:
        read_predictions(table(tmp_path, *lines))
    assert said in problems(error)


@pytest.mark.parametrize("name", ["broken.csv", "broken.parquet", "missing.csv"])
def test_a_file_that_is_no_table_is_one_message(tmp_path: Path, name: str) -> None:
    if name.startswith("broken"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00broken" * 10)
    with pytest.raises(ManifestInvalid, match=r"no CSV in UTF-8|no Parquet|cannot be read"):
        read_predictions(tmp_path / name)


def test_parquet_reads_as_csv_does(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "patient": ["A", "B"],
            "outcome": [1, 0],
            "fold": [1.0, np.nan],
            "m": [0.7, np.nan],
            "clinical:flag": [True, False],
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    read = read_predictions(tmp_path / "t.parquet").predictions
    assert read.folds == ("1", None) and read.scores["m"][1] is None and read.covariates["flag"] == (1.0, 0.0)
    frame["fold"] = frame["fold"].astype("Int64")
    frame.drop(columns="clinical:flag").to_csv(tmp_path / "t.csv", index=False)
    assert read_predictions(tmp_path / "t.csv").predictions.scores == read.scores


def test_covariates_join_by_patient_or_by_lesion(tmp_path: Path) -> None:
    read = read_predictions(table(tmp_path, "patient,lesion,outcome,m", "A,1,1,0.5", "A,2,0,0.5", "B,1,0,0.5"))
    by_patient = with_clinical(read, table(tmp_path, "patient,age,stage", "A,50,II", "C,60,I", name="c.csv"))
    assert by_patient.covariates == {"age": (50.0, 50.0, None), "stage": ("II", "II", None)}
    by_lesion = with_clinical(read, table(tmp_path, "patient,lesion,size", "A,2,7", "B,1,9", name="c.csv"))
    assert by_lesion.covariates == {"size": (None, 7.0, 9.0)}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("patient,age", "A,50", "A,51"), "line 3: this patient is already in line 2"),
        (("patient,stage", f"{SECRET},II"), "no case of the predictions is here"),
        (("patient,age", f"A,{SECRET}"), "age: must be a finite number"),
        (("patient,grade", "A,II"), "column grade is in the predictions, too"),
    ],
)
def test_a_clinical_table_that_does_not_fit_is_refused(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    read = read_predictions(table(tmp_path, "patient,outcome,m,clinical:grade", "A,1,0.5,I", "B,0,0.5,I"))
    with pytest.raises(ManifestInvalid) as error:
        with_clinical(read, table(tmp_path, *lines, name="c.csv"))
    assert said in problems(error) and str(error.value).startswith("clinical table: ")


def test_features_are_read_by_lesion_and_reader(tmp_path: Path) -> None:
    found = read_features(table(tmp_path, "patient,reader,f,g", "A,x,1,2", "A,y,1.5,", "B,x,3,4"))
    assert found.names == ("f", "g") and found.readers == ("x", "y")
    expected = [[[1, 2], [1.5, np.nan]], [[3, 4], [np.nan, np.nan]]]
    np.testing.assert_array_equal(found.values, expected)
    with pytest.raises(ManifestInvalid) as error:
        read_features(table(tmp_path, "patient,reader,f", f"A,x,{SECRET}", "A,x,1", "B,,1"))
    told = problems(error)
    for said in ("line 2: f: must be a finite number", "line 3: this lesion of this reader", "line 4: reader is empty"):
        assert said in told


def test_a_column_is_numbers_only_when_every_cell_is_one() -> None:
    assert numbers_or_words(["1", "", "2.5"]) == (1.0, None, 2.5)
    assert numbers_or_words(["4", "4A", ""]) == ("4", "4A", None)
    assert numbers_or_words(["1", "inf"]) == ("1", "inf")


def test_the_test_split_is_evaluated_where_there_is_one(tmp_path: Path) -> None:
    lines = [f"P{number},{number % 2},{number / 40},{('train', 'test')[number // 2 % 2]}" for number in range(40)]
    path = table(tmp_path, "patient,outcome,m,split", *lines)
    found, _ = evaluate_tables(path, seed=1)
    assert found.cases == 20 and found.data == "table.csv, split test, 20 of 40 cases"
    assert of_split(read_predictions(path).predictions, "train").patients[:3] == ("P0", "P1", "P4")
    with pytest.raises(ManifestInvalid, match="no case is of the split val"):
        evaluate_tables(path, split="val")
    with pytest.raises(ManifestInvalid, match="--with-score names no model"):
        evaluate_tables(path, score_in_regression="other")

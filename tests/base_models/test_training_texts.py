import numpy as np
import pandas as pd
import pytest

from pipeline.base_models.training_texts import training_rows
from pipeline.errors import WaznError
from pipeline.files import write_parquet

SPLITS = np.array(["train", "test", "valid", "train", "train"])


@pytest.fixture
def path(tmp_path):
    """1,000 rows of which every five have three of the training split."""
    names = [f"{number:03}" for number in range(1000)]
    table = pd.DataFrame({"question": [f"س {number}" for number in range(1000)], "number": names})
    table["split"] = SPLITS[np.arange(1000) % 5]
    path = tmp_path / "pairs.parquet"
    write_parquet(path, table)
    return path


TRAINING = [f"{number:03}" for number in range(1000) if number % 5 in (0, 3, 4)]


@pytest.mark.parametrize("most", [600, 601, 10_000])
def test_all_rows_of_the_training_split_are_read_in_their_order(path, most):
    found = training_rows(path, ["question", "number"], most, seed=1)
    assert list(found.columns) == ["question", "number"]
    assert found["number"].tolist() == TRAINING
    assert found["question"].tolist() == [f"س {int(number)}" for number in TRAINING]
    assert found.index.tolist() == list(range(600))


@pytest.mark.parametrize("most", [1, 60, 599])
def test_of_more_rows_than_asked_for_a_random_choice_stays_in_order(path, most):
    found = training_rows(path, ["number"], most, seed=1)["number"].tolist()
    assert len(found) == len(set(found)) == most
    assert set(found) <= set(TRAINING)
    assert found == sorted(found)


def test_the_choice_is_even_and_is_the_seeds(path):
    first, again, other = (
        training_rows(path, ["number"], 300, seed)["number"].tolist() for seed in (1, 1, 2)
    )
    assert first == again
    # Two halves drawn apart share half of their rows.
    assert len(set(first) & set(other)) == pytest.approx(150, abs=35)
    draws = [training_rows(path, ["number"], 20, seed)["number"].astype(int).mean() for seed in range(40)]
    assert np.mean(draws) == pytest.approx(np.mean([int(number) for number in TRAINING]), abs=50)


def test_rows_are_chosen_alike_however_the_file_is_cut_into_row_groups(path, tmp_path):
    cut = tmp_path / "cut.parquet"
    pd.read_parquet(path).to_parquet(cut, index=False, row_group_size=7)
    for most in (100, 10_000):
        whole, found = (training_rows(name, ["number"], most, seed=5) for name in (path, cut))
        pd.testing.assert_frame_equal(found, whole)


def test_the_choice_is_of_the_whole_file_also_where_it_is_read_in_batches(tmp_path):
    path = tmp_path / "long.parquet"
    numbers = [f"{number:05}" for number in range(25_000)]
    table = pd.DataFrame({"number": numbers, "split": SPLITS[np.arange(25_000) % 5]})
    write_parquet(path, table)
    found = training_rows(path, ["number"], 3000, seed=1)["number"].astype(int)
    assert len(found) == 3000
    assert found.is_monotonic_increasing
    assert found.is_unique
    # A fifth of them is of each fifth of the file; the standard error is 22.
    np.testing.assert_allclose(np.bincount(found // 5000), 600, atol=100)


@pytest.mark.parametrize("rows", [0, 20])
def test_without_a_training_split_there_is_no_row(path, tmp_path, rows):
    other = tmp_path / "other.parquet"
    write_parquet(other, pd.read_parquet(path).assign(split="test").head(rows))
    found = training_rows(other, ["question"], 10, seed=1)
    assert list(found.columns) == ["question"]
    assert len(found) == 0


def test_a_file_that_is_not_there_or_is_no_parquet_is_one_sentence(tmp_path):
    with pytest.raises(WaznError, match=r"pairs\.parquet: no such file; run `dvc repro`"):
        training_rows(tmp_path / "pairs.parquet", ["question"], 10, seed=1)
    (tmp_path / "pairs.parquet").write_bytes(b"PAR1 of a disk that was full")
    with pytest.raises(WaznError, match=r"pairs\.parquet: not readable as Parquet; run `dvc repro`"):
        training_rows(tmp_path / "pairs.parquet", ["question"], 10, seed=1)

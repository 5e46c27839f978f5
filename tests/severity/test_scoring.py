"""Scoring by shards: order, provenance, and what is left after a kill."""

import json
import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import WaznError
from pipeline.severities import PROBABILITIES, SEVERITIES
from pipeline.severity.probabilities import provided, sharpened
from pipeline.severity.scoring import Checkpoint, Shards, fill, fingerprint, write_scored

ROWS = 103
PROVENANCE = {"source": "classifier", "rules": "abc"}


def by_length(texts, groups=None):
    """Probabilities that differ with the text, without a model."""
    logits = np.array([[len(text) % 7, len(text) % 5, len(text) % 3] for text in texts], dtype=float)
    found = np.exp(logits)
    return (found / found.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def table(pairs):
    """Normalised pairs as the stage before writes them; the probabilities are the source's own."""
    texts = [f"{pairs[row % len(pairs)][0]} {'آه ' * (row % 11)}" for row in range(ROWS)]
    own = np.random.default_rng(0).uniform(0.1, 1, (ROWS, 3)).astype("float32")
    return pa.table(
        {
            "source": ["own.csv"] * ROWS,
            "line": range(2, ROWS + 2),
            "id": [f"row-{row}" for row in range(ROWS)],
            "question": [f"{text}?" for text in texts],
            "answer": [pairs[row % len(pairs)][1] for row in range(ROWS)],
            "text": texts,
            "specialty": ["قلب" if row % 2 else None for row in range(ROWS)],
            "severity_human": pa.nulls(ROWS, pa.string()),
            **dict(zip(PROBABILITIES, own.T, strict=True)),
            "split": ["test" if row % 9 == 0 else "train" for row in range(ROWS)],
            "group": [f"{row:04x}" for row in range(ROWS)],
        }
    ).replace_schema_metadata({"wazn": json.dumps({"rules": "abc"})})


@pytest.fixture
def normalised(table, tmp_path):
    """Its file, whose row groups are none of the shards."""
    path = tmp_path / "normalised.parquet"
    pq.write_table(table, path, row_group_size=17)
    return path


def fold_of(groups):
    """One group in three is in no fold."""
    return np.array([int(group, 16) % 3 - 1 for group in groups])


@pytest.fixture
def score(normalised, tmp_path):
    """Score in shards of `rows`; how a call of it ends is on disk only."""

    def run(rows=10, compute=by_length, folder="kept", name="scored.parquet", temperature=1.0):
        shards, checkpoint = Shards(normalised, rows), Checkpoint(tmp_path / folder, compute)
        fill(shards, checkpoint, 0, 1)
        summary = write_scored(tmp_path / name, shards, checkpoint, fold_of, PROVENANCE, temperature)
        return tmp_path / name, summary

    return run


@pytest.mark.parametrize("rows", [1, 10, 17, 100, 103, 1000])
def test_shards_are_all_rows_in_order_whatever_the_row_groups(rows, normalised, table):
    shards = Shards(normalised, rows)
    found = list(shards(["text", "id"]))
    assert [len(shard) for shard in found[:-1]] == [rows] * (shards.count - 1)
    assert len(found) == shards.count
    assert pa.concat_tables(found).to_pydict() == table.select(["text", "id"]).to_pydict()
    assert shards.rules == "abc"


def test_a_label_that_people_gave_is_the_severity_and_changes_no_probability(score, table, normalised):
    labels = [SEVERITIES[row % 3] if row % 2 else None for row in range(ROWS)]
    place = table.column_names.index("severity_human")
    before = pq.read_table(score()[0])
    labelled = table.set_column(place, "severity_human", pa.array(labels, pa.string()))
    pq.write_table(labelled, normalised)
    after = pq.read_table(score()[0])
    guessed = before["severity"].to_pylist()
    expected = [label or guess for label, guess in zip(labels, guessed, strict=True)]
    assert after["severity"].to_pylist() == expected != guessed
    assert after["severity_human"].to_pylist() == labels
    assert all(after[name].equals(before[name]) for name in PROBABILITIES)


def test_the_fold_whose_model_scored_a_pair_stands_beside_it(score, table):
    found = pq.read_table(score()[0])["fold"].to_pylist()
    assert found == [None if row % 3 == 0 else row % 3 - 1 for row in range(ROWS)]


def test_spread_and_agreement_are_told_by_split(score, table, normalised):
    labels = [SEVERITIES[row % 3] if row % 2 else None for row in range(ROWS)]
    place = table.column_names.index("severity_human")
    pq.write_table(table.set_column(place, "severity_human", pa.array(labels, pa.string())), normalised)
    path, summary = score()
    scored = pq.read_table(path).to_pandas()
    assert list(summary["splits"]) == ["test", "train"]
    for split, figures in summary["splits"].items():
        rows = scored[scored["split"] == split]
        known = rows[rows["severity_human"].notna()]
        own = [row[f"p_{row['severity_human']}"] for _, row in known.iterrows()]
        expected = {
            "rows": len(rows),
            "contrast_std": (rows["p_critical"] - rows["p_non_critical"]).std(ddof=0),
            "labelled": len(known),
            "log_loss": -np.log(own).mean(),
            "p_critical": known["p_critical"].mean(),
            "critical": (known["severity_human"] == "critical").mean(),
        }
        assert figures == pytest.approx(expected, abs=2e-6)


def test_scored_table_has_the_pairs_in_their_order_with_their_probabilities(score, table):
    path, _ = score()
    scored = pq.read_table(path)
    columns = [
        "source",
        "line",
        "id",
        "question",
        "answer",
        "split",
        "specialty",
        "severity_human",
        "group",
    ]
    assert scored.column_names == [*columns, "severity", *PROBABILITIES, "fold"]
    for name in columns:
        assert scored[name].to_pylist() == table[name].to_pylist()
    expected = by_length(table["text"].to_pylist())
    found = np.column_stack([scored[name].to_numpy() for name in PROBABILITIES])
    np.testing.assert_array_equal(found, expected)
    assert scored["severity"].to_pylist() == [SEVERITIES[index] for index in expected.argmax(axis=1)]
    assert len(set(scored["severity"].to_pylist())) == 3


def test_a_shard_is_a_row_group_and_provenance_stands_in_the_metadata(score):
    file = pq.ParquetFile(score(rows=40)[0])
    assert [file.metadata.row_group(number).num_rows for number in range(3)] == [40, 40, 23]
    assert json.loads(file.schema_arrow.metadata[b"wazn"]) == PROVENANCE


def test_summary_is_that_of_the_table(score):
    path, summary = score()
    scored = pq.read_table(path).to_pandas()
    assert summary["rows"] == ROWS
    for severity in SEVERITIES:
        assert summary["share"][severity] == pytest.approx((scored["severity"] == severity).mean())
        mean = scored[f"p_{severity}"].astype("float64").mean()
        assert summary["mean_probability"][severity] == pytest.approx(mean, abs=1e-6)
    confidence = scored[list(PROBABILITIES)].max(axis=1).astype("float64").mean()
    assert summary["mean_confidence"] == pytest.approx(confidence, abs=1e-6)


def test_processes_share_the_shards_and_give_the_same_file(normalised, tmp_path, score):
    seen = []
    for rank in (2, 0, 1):
        calls = []
        checkpoint = Checkpoint(
            tmp_path / "shared", lambda texts, groups, calls=calls: _noted(calls, texts)
        )
        fill(Shards(normalised, 10), checkpoint, rank, 3)
        seen.append(len(calls))
    assert seen == [3, 4, 4]
    expected = score()[0].read_bytes()
    assert score(compute=_never, folder="shared", name="second.parquet")[0].read_bytes() == expected


def _noted(calls, texts):
    calls.append(len(texts))
    return by_length(texts)


def _never(texts, groups):
    raise AssertionError("computed again")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:40] + bytes([content[40] ^ 255]) + content[41:],
    ],
    ids=["cut off", "empty", "one byte changed"],
)
def test_damaged_shard_alone_is_computed_again(damage, score, tmp_path):
    expected = score()[0].read_bytes()
    shard = tmp_path / "kept/000003.parquet"
    shard.write_bytes(damage(shard.read_bytes()))
    calls = []
    assert score(compute=lambda texts, _: _noted(calls, texts))[0].read_bytes() == expected
    assert calls == [10]


def test_shard_of_other_rows_is_computed_again(score, tmp_path):
    expected = score()[0].read_bytes()
    kept = tmp_path / "kept"
    (kept / "000003.parquet").write_bytes((kept / "000004.parquet").read_bytes())
    assert score()[0].read_bytes() == expected


def test_killed_at_random_points_it_ends_with_the_same_bytes(score, tmp_path):
    expected = score(folder="uninterrupted", name="expected.parquet")[0].read_bytes()

    def slowly(texts, groups):
        time.sleep(0.01)
        return by_length(texts)

    fork, kills, target = multiprocessing.get_context("fork"), 0, tmp_path / "killed.parquet"
    moments = random.Random(5)
    for tries in range(100):
        child = fork.Process(target=score, kwargs={"compute": slowly, "name": target.name})
        child.start()
        # Longer and longer, so that a busy machine comes to the end too.
        child.join(moments.uniform(0.01, 0.08) * (1 + tries / 10))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.join()
        if child.exitcode == 0:
            break
        assert not target.exists() or target.read_bytes() == expected, "a file that is not whole"
    assert child.exitcode == 0, "never came to its end, so nothing was kept"
    assert kills > 1
    assert target.read_bytes() == expected


def test_output_that_is_not_finite_is_an_error_that_names_the_row(score):
    def diverged(texts, groups):
        found = by_length(texts)
        found[4] = np.nan
        return found

    with pytest.raises(WaznError, match="no finite probabilities for row row-4;"):
        score(compute=diverged)


def test_provided_probabilities_are_used_divided_by_their_sum(normalised, table, tmp_path):
    path = tmp_path / "scored.parquet"
    write_scored(path, Shards(normalised, 10), None, None, PROVENANCE, 1.0)
    scored = pq.read_table(path)
    own, found = (
        np.column_stack([source[name].to_numpy() for name in PROBABILITIES]) for source in (table, scored)
    )
    np.testing.assert_allclose(found, own / own.sum(axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert (scored.schema.field(PROBABILITIES[0]).type, scored["id"]) == (pa.float32(), table["id"])


@pytest.mark.parametrize("temperature", [0.5, 3.0])
@pytest.mark.parametrize("source", ["classifier", "provided"])
def test_sharpened_probabilities_are_powers_of_the_others_divided_by_their_sum(
    temperature, source, normalised, tmp_path, score
):
    def written(temperature, name):
        if source == "classifier":
            return score(name=name, temperature=temperature)
        given = (tmp_path / name, Shards(normalised, 10), None, None, PROVENANCE, temperature)
        return tmp_path / name, write_scored(*given)

    (plain, before), (sharp, after) = written(1.0, "plain"), written(temperature, "sharp")
    plain, sharp = pq.read_table(plain), pq.read_table(sharp)
    own, found = (
        np.column_stack([table[name].to_numpy() for name in PROBABILITIES]) for table in (plain, sharp)
    )
    powers = own.astype(np.float64) ** (1 / temperature)
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), rtol=1e-6)
    assert sharp["severity"].equals(plain["severity"])
    assert after["share"] == before["share"]
    assert before["splits_before_sharpening"] is None
    assert after["splits_before_sharpening"] == before["splits"]
    for split in ("train", "test"):
        stds = [figures["splits"][split]["contrast_std"] for figures in (before, after)]
        assert (stds[1] > stds[0]) == (temperature < 1)
    assert (after["mean_confidence"] > before["mean_confidence"]) == (temperature < 1)


def test_a_temperature_of_1_leaves_every_bit():
    found = by_length(["x" * length for length in range(100)])
    assert sharpened(found, 1.0) is found


def test_however_sharp_a_row_stays_a_distribution_and_can_be_taken_back():
    found = np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0], [0.4, 0.4, 0.2]], dtype=np.float32)
    expected = [[0, 0, 1], [0, 1, 0], [0.5, 0.5, 0]]
    np.testing.assert_allclose(sharpened(found, 1e-4), expected, atol=1e-7)
    np.testing.assert_allclose(sharpened(found, 1e6)[0], [1 / 3] * 3, atol=1e-5)
    np.testing.assert_allclose(sharpened(sharpened(found, 0.5), 2.0), found, atol=1e-6)


def test_even_where_all_become_alike_the_severity_is_that_of_the_plain_probabilities(score):
    plain, flat = (pq.read_table(score(temperature=t)[0])["severity"] for t in (1.0, 1e12))
    assert flat.equals(plain)
    assert len(set(plain.to_pylist())) == 3


@pytest.mark.parametrize("value", [None, float("nan"), -0.1, float("inf")])
def test_row_without_a_provided_probability_is_named(value, normalised):
    shard = pa.table({"id": ["a", "b"], **{name: pa.array([0.2, value]) for name in PROBABILITIES}})
    with pytest.raises(WaznError, match="row b came without usable probabilities"):
        provided(normalised, shard)


def test_pairs_that_cannot_be_read_are_named(tmp_path, table):
    path = tmp_path / "pairs.parquet"
    with pytest.raises(WaznError, match="no such file"):
        Shards(path, 10)
    path.write_bytes(b"id,text")
    with pytest.raises(WaznError, match="not readable as Parquet"):
        Shards(path, 10)
    pq.write_table(table.slice(0, 0), path)
    with pytest.raises(WaznError, match="has no rows"):
        Shards(path, 10)
    pq.write_table(table.drop_columns("specialty"), path)
    with pytest.raises(WaznError, match="no column 'specialty'"):
        next(Shards(path, 10)(["id", "specialty"]))


def test_fingerprint_follows_pairs_code_and_settings(normalised):
    first = fingerprint(normalised, "code", dtype="float32")
    assert first == fingerprint(normalised, "code", dtype="float32")
    assert first != fingerprint(normalised, "code", dtype="bfloat16")
    assert first != fingerprint(normalised, "other code", dtype="float32")
    normalised.write_bytes(normalised.read_bytes() + b"\0")
    assert first != fingerprint(normalised, "code", dtype="float32")

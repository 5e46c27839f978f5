import shutil
import sqlite3
from contextlib import closing

import pytest
from tables import SECRET, message, read


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "t"
    execute(found, "CREATE TABLE t (q, a)", "INSERT INTO t VALUES ('صداع', 1), (NULL, 2.5)")
    return found


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_table_is_chosen_by_name(path):
    execute(path, """CREATE TABLE "o'the""r" (q INTEGER PRIMARY KEY AUTOINCREMENT)""")
    execute(path, """INSERT INTO "o'the""r" VALUES (7)""")
    assert """set `table` to one of: o'the"r, t""" in message(path)
    assert """no table 'no_such'; set `table` to one of: o'the"r, t""" in message(path, table="no_such")
    assert read(path, table="""o'the"r""")["q"].tolist() == ["7"]
    assert read(path, table="T\u200f").to_numpy().tolist() == [["صداع", "1"], ["", "2.5"]]


def test_a_view_is_a_table(path):
    execute(path, "CREATE VIEW v AS SELECT a AS answer, q AS question FROM t WHERE q IS NOT NULL")
    assert read(path, table="v").to_dict("list") == {"answer": ["1"], "question": ["صداع"]}


def test_a_view_of_what_is_gone_is_one_sentence(path):
    execute(path, "CREATE VIEW v AS SELECT * FROM gone")
    assert "not readable as SQLite (OperationalError)" in message(path, table="v")


def test_a_broken_view_does_no_harm_to_a_table(path):
    execute(path, "CREATE VIEW v AS SELECT * FROM gone")
    assert len(read(path, table="t")) == 2


def test_a_database_without_tables_is_refused(tmp_path):
    execute(tmp_path / "e", "CREATE TABLE t (q)", "DROP TABLE t")
    assert "without a table" in message(tmp_path / "e")


def test_bytes_are_no_text(path):
    execute(path, "INSERT INTO t VALUES (X'D8D9', 3)")
    assert "row 3, column 1: expected a text, found bytes" in message(path)


def killed(path, folder, *statements, journal):
    """The files as they lie there when the program that writes them is killed in a transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute(f"PRAGMA journal_mode = {journal}")
        writer.execute("PRAGMA cache_size = 1")  # so that changed pages are written early
        for statement in statements:
            writer.execute(statement)
        writer.executemany("INSERT INTO t VALUES (?, 9)", [(f"{SECRET} {n}" * 99,) for n in range(200)])
        folder.mkdir()
        for file in path.parent.iterdir():
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
    return folder / path.name


def contents(folder):
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


@pytest.mark.parametrize("journal", ["DELETE", "PERSIST", "TRUNCATE"])
def test_rows_that_were_not_committed_are_not_read(path, tmp_path, journal):
    left = killed(path, tmp_path / "left", "BEGIN", journal=journal)
    assert left.stat().st_size > path.stat().st_size, "some are in the file already"
    before = contents(left.parent)
    assert read(left)["a"].tolist() == ["1", "2.5"]
    assert contents(left.parent) == before


def test_rows_in_a_log_are_read_as_far_as_they_were_committed(path, tmp_path):
    statements = "INSERT INTO t VALUES ('حمى', 3)", "BEGIN"
    left = killed(path, tmp_path / "left", *statements, journal="WAL")
    shared = left.with_name("t-shm")
    shared.unlink()
    before = contents(left.parent)
    assert read(left)["a"].tolist() == ["1", "2.5", "3"]
    assert contents(left.parent) == before


def test_a_link_to_a_database_is_read_with_its_log(path, tmp_path):
    left = killed(path, tmp_path / "left", "BEGIN", journal="DELETE")
    (tmp_path / "link").symlink_to(left)
    assert len(read(tmp_path / "link")) == 2


@pytest.mark.parametrize("log", [False, True])
def test_reading_changes_nothing_beside_the_file(path, tmp_path, log):
    with closing(sqlite3.connect(path)) as writer:
        if log:
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("INSERT INTO t VALUES ('new', 'in the log')")
            writer.commit()
        before = contents(tmp_path)
        assert len(read(path)) == 2 + log
        assert contents(tmp_path) == before

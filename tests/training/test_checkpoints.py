"""Checkpoints: whole or not used, the newest first, old ones gone."""

from pathlib import Path

import pytest
import torch

from pipeline.errors import WaznError
from pipeline.training.checkpoints import Checkpoints


def state(step):
    values = torch.arange(5000.0) + step
    optimiser = {"state": {"a.weight": {"step": torch.tensor(float(step)), "exp_avg": -values}}}
    best = {"nll": 1.5, "model": {"a.weight": values + 1}}
    return {
        "model": {"a.weight": values},
        "optimiser": optimiser,
        "schedule": {"last_epoch": step, "_last_lr": [0.1]},
        "history": [{"number": number, "loss": 0.1 + number, "valid": None} for number in range(step)],
        "best": best,
    }


@pytest.fixture
def kept(tmp_path):
    """Checkpoints of a folder that is not there yet."""
    return Checkpoints(tmp_path / "deep" / "run")


def paths(kept):
    return sorted(kept.folder.iterdir())


def test_what_was_saved_comes_back_to_the_last_bit(kept):
    assert kept.latest() is None
    kept.save(10, state(10))
    found, expected = kept.latest(), state(10)
    for part in ("schedule", "history"):
        assert found[part] == expected[part]
    assert found["best"]["nll"] == 1.5
    torch.testing.assert_close(found["model"], expected["model"], rtol=0, atol=0)
    torch.testing.assert_close(found["best"]["model"], expected["best"]["model"], rtol=0, atol=0)
    moments, wanted = (s["optimiser"]["state"]["a.weight"] for s in (found, expected))
    torch.testing.assert_close(moments, wanted, rtol=0, atol=0)


def test_newest_two_are_kept_and_nothing_else(kept):
    for step in (90, 100, 110, 1000):
        kept.save(step, state(step))
    assert [path.name[:14] for path in paths(kept)] == ["step-000000110", "step-000001000"]
    assert kept.latest()["schedule"]["last_epoch"] == 1000


def test_same_state_is_the_same_file(kept, tmp_path):
    again = Checkpoints(tmp_path / "again")
    for checkpoints in (kept, again):
        checkpoints.save(10, state(10))
    [one], [other] = paths(kept), paths(again)
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()


def damaged(path, damage):
    content = path.read_bytes()
    if damage == "renamed":
        path.rename(path.with_name(path.name[:15] + "0" * 64 + ".pt"))
    else:
        path.write_bytes({"cut off": content[:-1], "longer": content + b"x", "empty": b""}[damage])


@pytest.mark.parametrize("damage", ["cut off", "longer", "empty", "renamed"])
def test_damaged_one_is_passed_over_for_the_one_before(damage, kept, capsys):
    for step in (10, 20):
        kept.save(step, state(step))
    damaged(paths(kept)[1], damage)
    assert kept.latest()["schedule"]["last_epoch"] == 10
    [line] = capsys.readouterr().out.splitlines()
    assert line == f"{paths(kept)[1]}: damaged or cut off, so it is passed over"
    damaged(paths(kept)[0], damage)
    assert kept.latest() is None


def test_what_is_no_checkpoint_is_left_alone(kept):
    kept.save(10, state(10))
    for name in (".step-000000020.part", "step-000000030", "step-5.pt", "notes.txt"):
        (kept.folder / name).write_bytes(b"half")
    kept.save(20, state(20))
    assert kept.latest()["schedule"]["last_epoch"] == 20
    assert (kept.folder / "notes.txt").read_bytes() == b"half"
    assert not (kept.folder / ".step-000000020.part").exists(), "what a killed run left of it"


def test_full_disk_is_one_sentence_and_leaves_the_one_before(kept):
    kept.save(10, state(10))
    before = paths(kept)
    # /dev/full takes nothing.
    (kept.folder / ".step-000000020.part").symlink_to("/dev/full")
    with pytest.raises(
        WaznError, match=r"step-000000020: could not be written \(No space left on device\)"
    ) as caught:
        kept.save(20, state(20))
    assert "\n" not in str(caught.value)
    assert paths(kept) == before
    assert kept.latest()["schedule"]["last_epoch"] == 10


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(WaznError, match="could not be written"):
        Checkpoints(Path(tmp_path / "taken" / "run")).save(1, state(1))

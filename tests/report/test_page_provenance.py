import re
import sys

from pipeline.code_hashes import code_hash, stage_names
from pipeline.report import provenance


def test_the_code_of_every_stage_is_named():
    hashes = provenance.stage_hashes()
    assert list(hashes) == stage_names()
    assert hashes["finetune"] == code_hash("finetune")[:12]


def test_versions_name_what_computes():
    versions = provenance.versions()
    assert {"Python", "torch", "transformers", "bert-score", "sacrebleu"} <= set(versions)
    assert all(re.match(r"\d+\.\d+", number) for number in versions.values())


def test_another_patch_release_of_python_is_no_other_version():
    """It changes no figure, and a clone must not differ by it."""
    assert provenance.versions()["Python"] == f"3.{sys.version_info.minor}"

import pytest
from gguf_files import write_gguf


@pytest.fixture
def local(tmp_path):
    """A folder as base_model.folder."""
    folder = tmp_path / "local"
    folder.mkdir()
    return folder


@pytest.fixture
def good(local, decoder, tokenizer):
    """A good file in that folder."""
    return write_gguf(local / "good.gguf", decoder("qwen2"), tokenizer)

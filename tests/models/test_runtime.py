"""A model is never given more tokens than it reads."""

import pytest
import torch

from pipeline.errors import WaznError
from pipeline.models.runtime import load_decoder


def test_a_sequence_longer_than_the_context_is_refused_with_both_lengths(built):
    folder = built("gpt2")
    context = load_decoder(folder, torch.float32, 8).config.max_position_embeddings
    with pytest.raises(WaznError, match=rf"reads at most {context} tokens, {context + 1} are asked for"):
        load_decoder(folder, torch.float32, context + 1)

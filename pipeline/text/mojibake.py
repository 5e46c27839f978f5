"""D1: please overwrite this whole file (placeholder by the lead so that others can import it)."""


def is_mojibake(text: str) -> bool:
    """Whether the text was decoded wrongly."""
    return "\ufffd" in text

"""Characters of data that would turn text around, or that nobody sees, shown by name."""

from typing import Any

from markupsafe import Markup

# Characters that change the direction of text, or are invisible, and the name that is shown instead. White
# space stays.
CONTROLS = {
    **{code: f"[U+{code:04X}]" for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x200B)},
    **dict(zip(range(0x202A, 0x202F), ("[LRE]", "[RLE]", "[PDF]", "[LRO]", "[RLO]"), strict=True)),
    **dict(zip(range(0x2066, 0x206A), ("[LRI]", "[RLI]", "[FSI]", "[PDI]"), strict=True)),
    **{0x200E: "[LRM]", 0x200F: "[RLM]", 0x061C: "[ALM]"},
}


def visible(value: Any) -> Any:
    """A text with the characters of `CONTROLS` shown by name; markup and numbers as they are."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else value.translate(CONTROLS)

"""What a model card says of the base model's licence."""

import json
import re


def licence_head(licence: str | None) -> str:
    """The lines on it in the card's YAML head; none where it is not known.

    An identifier, such as Apache-2.0, stands there as the Hub writes it, in lower case; of a name in words
    the Hub wants `other`, and a name of lower-case letters, digits, hyphens and dots.
    """
    if licence is None:
        return ""
    if re.fullmatch(r"[A-Za-z0-9.+-]+", licence):
        return f"license: {licence.lower()}\n"
    name = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-.") or "other"
    return f"license: other\nlicense_name: {json.dumps(name)}\n"


def licence_sentence(licence: str | None) -> str:
    """The same for the reader."""
    if licence is None:
        return "The licence of the base model is that of its source."
    return f"The base model is licensed under {licence}; what is trained from it too."

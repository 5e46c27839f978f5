"""What an HTML file carries: data for its scripts, and what its content security policy calls a script."""

import base64
import hashlib
import json
from typing import Any

from markupsafe import Markup


def script_json(value: Any) -> Markup:
    """JSON that can stand in a `<script>`: it has no `<`, `>` or `&`, so no element ends or opens in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def policy_hash(text: str) -> str:
    """What a content security policy calls a script or style that the page may have."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

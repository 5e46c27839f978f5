"""The prompt of training as a chat template, so that other tools ask a model as training did."""

import json
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from pipeline.models.prompt import encode_prompt, prompt

# Texts by which a template is tried: what is cut into tokens in several ways.
_PROBES = (
    "عندي صداع منذ يومين",
    "حرارته 39.5 منذ 3 أيام، وأخذ Paracetamol 500 mg؛ هل أزيد الجرعة؟",
    "1",
    "(دوخة) عند الوقوف!\nوضغطي 90/60",
)

_TEMPLATE = """\
{%- if messages | length != 1 or messages[0]['role'] != 'user' -%}
{{- raise_exception('This model answers one complaint at a time: send one message, with the role user.') -}}
{%- elif messages[0]['content'] is not string -%}
{{- raise_exception('This model reads text only: send the complaint as a text.') -}}
{%- endif -%}
{{- """


def chat_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """A template (Jinja) that makes of one message of a user the token ids of `encode_prompt`.

    It writes the start-of-text that the tokenizer puts before a prompt, since what comes of a template is
    encoded without. A system message or a second turn, which training never saw, is an error with a
    sentence. The answer cue is always there, whether a generation prompt is asked for or not.

    A special token that a complaint spells out is text in training; here a tool may read it as the token.

    Returns:
        None where this tokenizer reads a rendered prompt in another way than training did.
    """
    before, after = prompt("\0").split("\0")
    start = "".join(tokenizer.convert_ids_to_tokens(_start(tokenizer)))
    # JSON's escapes are Jinja's too.
    opening, closing = (json.dumps(part, ensure_ascii=False) for part in (start + before, after))
    template = f"{_TEMPLATE}{opening} + (messages[0]['content'] | trim) + {closing} -}}}}"
    for text in _PROBES:
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], chat_template=template, return_dict=False
        )
        if list(rendered) != encode_prompt(tokenizer, text):
            return None
    return template


def response_template(ends: Sequence[str]) -> dict[str, Any]:
    """How a tool finds the answer in what a model wrote: after the answer cue, up to one of the end tokens.

    Without it `transformers serve` goes by the architecture, whose chat models mark a turn of their own: it
    finds no such mark and takes the prompt for a part of the answer.
    """
    return {
        "defaults": {"role": "assistant"},
        "start_anchor": prompt("\0").split("\0")[1],
        "fields": {"content": {"content": "text", "close": list(ends)}},
    }


def _start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids that the tokenizer puts before a prompt; none where it does not just put some there."""
    whole = encode_prompt(tokenizer, _PROBES[0])
    text = prompt(_PROBES[0])
    bare = list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
    return whole[: len(whole) - len(bare)] if whole[len(whole) - len(bare) :] == bare else []

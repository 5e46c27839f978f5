"""The lines of Python with which a reader of the card has the model answer, and what they need."""

import json
import os
from pathlib import Path

from transformers import GenerationConfig, PreTrainedTokenizerBase

from pipeline.models.origin import Origin
from pipeline.models.prompt import prompt

# "I have had a headache for two days"; normalised text, as all that the models were trained on.
_QUESTION = "عندي صداع منذ يومين"

_LINES = """\
{imports}
tokenizer = AutoTokenizer.from_pretrained(".")
question = "{question}"
tokens = tokenizer(f{prompt}, split_special_tokens=True, return_tensors="pt")["input_ids"]
{open}written = model.generate(tokens, attention_mask=tokens.new_ones(tokens.shape))[0, tokens.shape[1] :]
print(tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip())"""

_ADAPTER = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

base = AutoModelForCausalLM.from_pretrained({base}, dtype="float32")
base.generation_config = GenerationConfig.from_pretrained(".")
model = PeftModel.from_pretrained(base, ".")"""
_QUANTISED = """\
import json
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig

four_bits = BitsAndBytesConfig.from_dict(json.load(open("quantization_config.json")))
made_from = four_bits.bnb_4bit_compute_dtype
base = AutoModelForCausalLM.from_pretrained({base}, dtype=made_from, quantization_config=four_bits)
base.generation_config = GenerationConfig.from_pretrained(".")
model = PeftModel.from_pretrained(base, ".")"""
_WHOLE = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".", dtype="float32")"""
# Some tokenizers close every text; a prompt must stay open.
_OPEN = "tokens = tokens[:, :-1]  # without the end-of-text that this tokenizer puts after every text\n"

_OF_THE_HUB = """\
Run in the folder that this card lies in, here or on another machine; the base model comes from the Hub
(`{name}`, commit `{commit}`), where `adapter_config.json` looks for it too."""
_OF_A_FOLDER = """\
Run in the folder that this card lies in. The base model is on no Hub: it is the folder `{name}` of the
project, which `adapter_config.json` names as seen from the project's folder. On another machine, copy it
too, and write its path in place of `{relative}`."""
_ALONE = "Run in the folder that this card lies in, here or on another machine."


def usage(
    folder: Path,
    base: Origin,
    tokenizer: PreTrainedTokenizerBase,
    settings: GenerationConfig,
    *,
    method: str,
) -> str:
    """The card's section on use, in Markdown.

    Args:
        folder: of the card, as seen from the project's.
        base: where an adapter's base model is found.
        tokenizer, settings: which lie beside the card.
        method: `full`, so that the folder has the whole model; else it has an adapter, which is put on
            4-bit weights if it is `qlora`.
    """
    relative = Path(os.path.relpath(base.name, folder)).as_posix()
    adapter = _QUANTISED if method == "qlora" else _ADAPTER
    if method == "full":
        imports, where = _WHOLE, _ALONE
    elif base.commit:
        named = f'"{base.name}", revision="{base.commit}"'
        imports, where = adapter.format(base=named), _OF_THE_HUB.format(**base._asdict())
    else:
        imports = adapter.format(base=json.dumps(relative, ensure_ascii=False))
        where = _OF_A_FOLDER.format(name=base.name, relative=relative)
    closes = tokenizer("")["input_ids"][-1:] == [tokenizer.eos_token_id]
    lines = _LINES.format(
        imports=imports,
        question=_QUESTION,
        prompt=json.dumps(prompt("{question}"), ensure_ascii=False),
        open=_OPEN if closes else "",
    )
    ends = ", ".join(f"`{tokenizer.convert_ids_to_tokens(end)}` ({end})" for end in settings.eos_token_id)
    return f"""\
{where}

```python
{lines}
```

The settings are those of `generation_config.json`: the likeliest token each time, until {ends} or
{settings.max_length} tokens of question and answer, the longest that it was trained on. `wazn ask` and
greedy evaluation use the same, with the limits of `params.yaml`, once they have normalised the question."""

"""The card's section on use: lines that answer as `wazn ask` does, in Python and by a server."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.commands.exporting.exported import Exported
from pipeline.models.prompt import prompt

if TYPE_CHECKING:
    from pipeline.config.evaluation import EvaluateConfig

# "I have had a headache for two days"; normalised text, as all that the models were trained on.
_QUESTION = "عندي صداع منذ يومين"

_MERGED = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".", dtype="auto")"""
_ADAPTER = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

base = AutoModelForCausalLM.from_pretrained({base}, revision={revision}, dtype="float32")
base.generation_config = GenerationConfig.from_pretrained(".")
model = PeftModel.from_pretrained(base, ".")"""
_QUANTISED = """\
import json
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig

four_bits = BitsAndBytesConfig.from_dict(json.load(open("quantization_config.json")))
made_from = four_bits.bnb_4bit_compute_dtype
base = AutoModelForCausalLM.from_pretrained(
    {base}, revision={revision}, dtype=made_from, quantization_config=four_bits
)
base.generation_config = GenerationConfig.from_pretrained(".")
model = PeftModel.from_pretrained(base, ".")"""
_BY_TEMPLATE = """\
tokenizer = AutoTokenizer.from_pretrained(".")
complaint = [{{"role": "user", "content": "{question}"}}]
tokens = tokenizer.apply_chat_template(
    complaint, add_generation_prompt=True, return_tensors="pt", return_dict=True
)["input_ids"]"""
_BY_PROMPT = """\
tokenizer = AutoTokenizer.from_pretrained(".")
tokens = tokenizer({prompt}, split_special_tokens=True, return_tensors="pt")["input_ids"]"""
_ANSWER = """\
written = model.generate(tokens, attention_mask=tokens.new_ones(tokens.shape))[0, tokens.shape[1] :]
print(tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip())"""
_SERVED = """\
As a server that speaks OpenAI's protocol (`pip install "transformers[serving]"`), here on port 8000:

```sh
transformers serve --port 8000
```

```sh
curl http://localhost:8000/v1/chat/completions -H "Content-Type: application/json" -d '{{
  "model": "'"$PWD"'", "max_tokens": {tokens},
  "messages": [{{"role": "user", "content": "{question}"}}]
}}'
```

Name `max_tokens` in each request: that server does not take it from `generation_config.json`."""

_NOTE = """\
`generation_config.json` says: the likeliest token each time, at most {tokens} tokens. `wazn ask` and greedy
evaluation do the same, once they have normalised the complaint. Training saw normalised Arabic only (no
diacritics, no stretched letters, placeholders for personal details, and so on), which no template can
do: `Normaliser` in `pipeline/text/normalise.py` of wazn does. And they drop the beginning of a complaint of
more than {length} tokens."""


def use(exported: Exported, evaluate: "EvaluateConfig", method: str) -> Iterator[str]:
    """The section, paragraph by paragraph.

    Args:
        method: by which it was trained; an adapter by `qlora` is put on weights in 4 bits.
    """
    if exported.dtype is None:
        base, revision = map(json.dumps, exported.origin)
        model = (_QUANTISED if method == "qlora" else _ADAPTER).format(base=base, revision=revision)
    else:
        model = _MERGED
    asked = _BY_TEMPLATE.format(question=_QUESTION)
    if not exported.has_template:
        asked = _BY_PROMPT.format(prompt=json.dumps(prompt(_QUESTION), ensure_ascii=False))
    yield f"Run in the folder of this card:\n\n```python\n{model}\n{asked}\n{_ANSWER}\n```\n"
    if not exported.has_template:
        yield "There is no chat template: this tokenizer would read one otherwise than in training.\n"
    elif exported.dtype is not None:
        yield _SERVED.format(tokens=evaluate.max_new_tokens, question=_QUESTION) + "\n"
    yield _NOTE.format(tokens=evaluate.max_new_tokens, length=evaluate.max_length)
    if evaluate.max_new_words is not None:
        yield f"They also end an answer after {evaluate.max_new_words} words, which no setting can say."
    if exported.has_template:
        yield "The template takes one message, the user's; a system message or a second turn is an error."
    if exported.dtype not in (None, "float32"):
        yield f"Weights rounded to {exported.dtype} may answer otherwise than `wazn ask` does."

"""The tokenizer's files as `AutoTokenizer` wants them: `tokenizer.json` with our prompt protocol, and its settings.

Why: a PrefixLM that gets its prompt without `token_type_ids = 1` silently runs causal. The post-processor written here
adds begin and end of the question and marks both and the prompt as type 1, so that
`model.generate(**tokenizer(prompt, return_tensors="pt"))` is right without knowing any of this. Only text and
dictionaries: Transformers is not needed.
"""

from __future__ import annotations

import json
from typing import Any

from hrm_codegen.config.schema import Config
from hrm_codegen.data import Tokenizer

_PROMPT, _ANSWER = 1, 0  # token types: prompt tokens see each other in both directions
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] + 'EOA' }}"
    "{% else %}{{ 'BOQ' + message['content'] + 'EOQ' }}{% endif %}"
    "{% endfor %}"
)


def tokenizer_files(tokenizer: Tokenizer, config: Config) -> dict[str, dict[str, Any]]:
    """Returns the contents of `tokenizer.json` and `tokenizer_config.json`.

    `tokenizer(prompt)` gives `[boq] conditions prompt [eoq]`, all of type 1; `tokenizer(prompt, answer)` a training
    example, `[boq] conditions prompt [eoq] answer [eoa]`, the answer of type 0.

    Args:
      tokenizer: The model's.
      config: For the mask, the conditions and the longest sequence.
    """
    prefix_lm = config.model.mask == "prefix_lm"
    opening = [tokenizer.boq_id, *tokenizer.condition_ids(config.data.condition)]
    tree = json.loads(tokenizer.to_json())
    tree["post_processor"] = _template(tokenizer, opening)
    boq, eoq, eoa = (tokenizer.spell(i) for i in (tokenizer.boq_id, tokenizer.eoq_id, tokenizer.eoa_id))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": boq,
        "eos_token": eoa,
        "pad_token": tokenizer.spell(tokenizer.pad_id),
        "model_max_length": config.model.max_seq_len,
        # A causal model has no use for types, and Transformers would warn.
        "model_input_names": ["input_ids", *(["token_type_ids"] if prefix_lm else []), "attention_mask"],
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
    }
    if not prefix_lm:  # a chat template gives no types: under PrefixLM it would silently be causal
        template = _CHAT_TEMPLATE.replace("BOQ", "".join(tokenizer.spell(i) for i in opening))
        settings["chat_template"] = template.replace("EOQ", eoq).replace("EOA", eoa)
    return {"tokenizer.json": tree, "tokenizer_config.json": settings}


def generation_config(tokenizer: Tokenizer, config: Config) -> dict[str, Any]:
    """Returns the content of `generation_config.json`: how the configuration draws answers."""
    sample = config.sample
    drawing = {"temperature": sample.temperature, "top_p": sample.top_p, "top_k": sample.top_k}
    return {
        "bos_token_id": tokenizer.boq_id,
        "eos_token_id": tokenizer.eoa_id,
        "pad_token_id": tokenizer.pad_id,
        "max_new_tokens": sample.max_tokens,
        "do_sample": sample.temperature > 0,
        **(drawing if sample.temperature > 0 else {}),
    }


def _template(tokenizer: Tokenizer, opening: list[int]) -> dict[str, Any]:
    def special(token_id: int, kind: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": tokenizer.spell(token_id), "type_id": kind}}

    def sequence(name: str, kind: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": kind}}

    prompt = [*(special(i, _PROMPT) for i in opening), sequence("A", _PROMPT), special(tokenizer.eoq_id, _PROMPT)]
    used = {tokenizer.spell(i): i for i in (*opening, tokenizer.eoq_id, tokenizer.eoa_id)}
    return {
        "type": "TemplateProcessing",
        "single": prompt,
        "pair": [*prompt, sequence("B", _ANSWER), special(tokenizer.eoa_id, _ANSWER)],
        "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in used.items()},
    }

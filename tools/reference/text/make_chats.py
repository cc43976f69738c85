"""Writes crates/text/tests/fixtures/chats.json: chat templates, and the prompts that `transformers` renders with them.

    python tools/reference/text/make_chats.py crates/text/tests/fixtures/chats.json

The templates are ours: each uses what templates in model files use.
"""

import json
import sys
from datetime import datetime, timezone

import transformers
from transformers.utils import chat_template_utils

DATE = datetime(2026, 2, 3, tzinfo=timezone.utc)
CHATS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "Why is the sky blue?  "}],
    [
        {"role": "user", "content": "<b>&'\"</b> é 😀 {{ x }} {% y %}"},
        {"role": "assistant", "content": "<think>well</think>\n\nYes."},
        {"role": "user", "content": "\nAnd\tthen?\n"},
    ],
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells <the> weather's state & more: été",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"enum": [1, 2.5, None, True]}}},
        },
    }
]
TEMPLATES = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "blocks": "{{ bos_token }}\n{%- set found = namespace(system=none) %}\n{%- for message in messages %}\n"
    "    {%- if message.role == 'system' %}\n        {%- set found.system = message.content | trim %}\n"
    "    {%- else %}\n        {{- '[' ~ message['role'] ~ ']' }}\n        {{- message['content'].strip() + eos_token }}\n"
    "    {%- endif %}\n{%- endfor %}\n{%- if found.system is not none %}\n    {{- '(' + found.system + ')' }}\n{%- endif %}\n",
    "white space": "  {% if messages %}\n  a\n    {% for m in messages %}\n  {{ loop.index0 }}{{ loop.first }}{{ loop.last }} {{ m.role }}\n"
    "    {% endfor %}\n{% endif %}\n  {#- gone -#}  \n\nend\n\n",
    "tools": "{% if tools %}{{ tools | tojson }}|{{ tools | tojson(indent=2) }}|{% for tool in tools %}{{ tool['function']['name'] }}: "
    "{{ tool.function.parameters.properties.keys() | list | join(',') }}{% for k, v in tool.function.parameters.properties.items() %}"
    "{{ k }}={{ v | tojson }};{% endfor %}{% endfor %}{% else %}no tools{% endif %}{{ messages[-1].content }}",
    "python": "{% for m in messages %}{% set parts = m.content.split('</think>') %}{{ parts[-1].lstrip('\n').rstrip() }}|{{ m.role.upper() }}|"
    "{{ m.role.title() }}|{{ m.content.startswith('<') }}|{{ m.content.replace('e', 'E') }}|{{ m['content'][:3] }}|{{ m.content | length }}"
    "{% if m.content is string and m.tool_calls is not defined %}.{% endif %}{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}",
    "date": "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}{{ date_string }}"
    "{{ strftime_now('%Y-%m-%d %B') }}",
    "macros": "{%- macro turn(role, text) -%}<{{ role }}>{{ text }}</{{ role }}>{%- endmacro -%}{% for m in messages %}"
    "{% if m.role == 'system' %}{% continue %}{% endif %}{{ turn(m.role, m.content | trim) }}{% if loop.index == 2 %}{% break %}{% endif %}"
    "{% endfor %}{{ messages | map(attribute='role') | join('/') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}{%- generation -%} {{ m.content }} {% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}",
    "refusal": "{% if messages[0].role == 'system' %}{{ raise_exception('No system message, please') }}{% endif %}{{ messages[0].content }}",
    "arithmetic": "{% set ns = namespace(n=0, last=-1) %}{% for m in messages %}{% set ns.n = ns.n + m.content | length %}"
    "{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{{ ns.n }} {{ ns.last }} {{ ns.n // 7 }} {{ ns.n % 7 }} "
    "{{ (messages | length) * 2 }} {{ messages[::-1][0].role }} {{ range(3) | list }} {{ 'x' in messages[0].content }} {{ none }} {{ true }}",
}


def render(source, messages, tools, generation):
    template = chat_template_utils._compile_jinja_template(source)
    template.globals["strftime_now"] = DATE.strftime
    template.environment.globals["strftime_now"] = DATE.strftime
    try:
        return template.render(
            messages=messages, tools=tools, documents=None, add_generation_prompt=generation, bos_token="<s>", eos_token="</s>"
        )
    except Exception as error:  # a refusal is an expected answer
        return {"error": str(error)}


def main(path):
    cases = []
    for name, source in TEMPLATES.items():
        for messages in CHATS:
            for tools, generation in ((None, True), (TOOLS, False)):
                prompt = render(source, messages, tools, generation)
                cases.append({"name": name, "messages": messages, "tools": tools, "generation": generation, "prompt": prompt})
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"date": "2026-02-03", "templates": TEMPLATES, "cases": cases}, file, ensure_ascii=False, indent=1)
        file.write("\n")
    print("transformers", transformers.__version__, len(cases), "cases")


if __name__ == "__main__":
    main(*sys.argv[1:])

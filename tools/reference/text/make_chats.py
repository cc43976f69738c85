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


def call(name, arguments, id):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


# Content is null where an answer is calls alone.
TOOL_CHATS = [
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Z\u00fcrich?"},
        {"role": "assistant", "content": None, "tool_calls": [call("weather", {"city": "Z\u00fcrich \"<b>\"\n", "days": [1, 2.5, None]}, "abcdefghi")]},
        {"role": "tool", "content": "{\"rain\": true}", "tool_call_id": "abcdefghi", "name": "weather"},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "Thanks"},
    ],
    [
        {"role": "user", "content": "Both?", "name": "Ada"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call("weather", {"z": 1, "a": {"y": "2", "b": []}}, "aaaaaaaaa"), call("now", {}, "bbbbbbbbb")]},
        {"role": "tool", "content": "rain", "tool_call_id": "aaaaaaaaa"},
        {"role": "tool", "content": "noon", "tool_call_id": "bbbbbbbbb"},
    ],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "No"}],
]
# In the manner of the families whose formats of calls the grammar crate knows.
TOOL_TEMPLATES = {
    "hermes calls": "{%- if tools %}\n    {{- '<|im_start|>system\\n' }}\n    {%- if messages[0].role == 'system' %}\n"
    "        {{- messages[0].content + '\\n\\n' }}\n    {%- endif %}\n    {{- \"# Tools\\n<tools>\" }}\n    {%- for tool in tools %}\n"
    "        {{- \"\\n\" }}\n        {{- tool | tojson }}\n    {%- endfor %}\n    {{- \"\\n</tools>\\n<tool_call>\\n{\\\"name\\\": <name>, "
    "\\\"arguments\\\": <object>}\\n</tool_call><|im_end|>\\n\" }}\n{%- elif messages[0].role == 'system' %}\n"
    "    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}\n{%- endif %}\n{%- for message in messages %}\n"
    "    {%- if message.role == 'user' or (message.role == 'assistant' and not message.tool_calls) %}\n"
    "        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n"
    "    {%- elif message.role == 'assistant' %}\n        {{- '<|im_start|>' + message.role }}\n        {%- if message.content %}\n"
    "            {{- '\\n' + message.content }}\n        {%- endif %}\n        {%- for tool_call in message.tool_calls %}\n"
    "            {%- if tool_call.function is defined %}\n                {%- set tool_call = tool_call.function %}\n            {%- endif %}\n"
    "            {{- '\\n<tool_call>\\n{\"name\": \"' }}\n            {{- tool_call.name }}\n            {{- '\", \"arguments\": ' }}\n"
    "            {{- tool_call.arguments if tool_call.arguments is string else tool_call.arguments | tojson }}\n"
    "            {{- '}\\n</tool_call>' }}\n        {%- endfor %}\n        {{- '<|im_end|>\\n' }}\n    {%- elif message.role == 'tool' %}\n"
    "        {%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}\n            {{- '<|im_start|>user' }}\n        {%- endif %}\n"
    "        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}\n"
    "        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}\n            {{- '<|im_end|>\\n' }}\n        {%- endif %}\n"
    "    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}",
    "llama calls": "{{- bos_token }}{% if not tools is defined %}{% set tools = none %}{% endif %}{% if tools is not none %}"
    "{{ 'Environment: ipython\n{\"name\": function name, \"parameters\": dictionary}\n' }}{% for t in tools %}{{ t | tojson(indent=4) }}{% endfor %}"
    "{% endif %}{% for message in messages %}{% if not (message.role == 'tool' or 'tool_calls' in message) %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% elif 'tool_calls' in message %}{% if message.tool_calls | length != 1 %}"
    "{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}{% set call = message.tool_calls[0].function %}"
    "{{ '{\"name\": \"' + call.name + '\", \"parameters\": ' }}{{ call.arguments | tojson }}{{ '}<|eot_id|>' }}{% else %}"
    "{{ '<|start_header_id|>ipython<|end_header_id|>\n\n' }}{% if message.content is mapping or message.content is iterable %}"
    "{{ message.content | tojson }}{% else %}{{ message.content }}{% endif %}{{ '<|eot_id|>' }}{% endif %}{% endfor %}",
    "mistral calls": "{% set user_messages = messages | selectattr('role', 'equalto', 'user') | list %}{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'user' %}{% if tools is not none and message == user_messages[-1] %}{{ '[AVAILABLE_TOOLS][' }}{% for tool in tools %}"
    "{% set tool = tool.function %}{{ '{\"type\": \"function\", \"function\": {' }}{% for key, val in tool.items() if key != 'return' %}"
    "{% if val is string %}{{ '\"' + key + '\": \"' + val + '\"' }}{% else %}{{ '\"' + key + '\": ' + val | tojson }}{% endif %}"
    "{% if not loop.last %}{{ ', ' }}{% endif %}{% endfor %}{{ '}}' }}{% if not loop.last %}{{ ', ' }}{% else %}{{ ']' }}{% endif %}{% endfor %}"
    "{{ '[/AVAILABLE_TOOLS]' }}{% endif %}{{ '[INST]' + message.content + '[/INST]' }}"
    "{% elif message.tool_calls is defined and message.tool_calls is not none %}{{ '[TOOL_CALLS][' }}{% for tool_call in message.tool_calls %}"
    "{% set out = tool_call.function | tojson %}{{ out[:-1] }}{% if not tool_call.id is defined or tool_call.id | length != 9 %}"
    "{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{% endif %}{{ ', \"id\": \"' + tool_call.id + '\"}' }}"
    "{% if not loop.last %}{{ ', ' }}{% else %}{{ ']' + eos_token }}{% endif %}{% endfor %}{% elif message.role == 'assistant' %}"
    "{{ message.content + eos_token }}{% elif message.role == 'tool' %}{{ '[TOOL_RESULTS]{\"content\": ' + message.content | string + ', ' }}"
    "{{ '\"call_id\": \"' + message.tool_call_id + '\"}[/TOOL_RESULTS]' }}{% endif %}{% endfor %}",
    "newer mistral calls": "{% for message in messages %}{% if message.tool_calls is defined %}{{ message.content if message.content else '' }}"
    "{% for call in message['tool_calls'] %}{{ '[TOOL_CALLS]' + call['function']['name'] + '[ARGS]' + call['function']['arguments'] | tojson }}"
    "{% endfor %}{% else %}{{ message.content }}{% endif %}{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}",
    "call fields": "{% for m in messages %}{{ m.keys() | list | join(',') }};{{ m.content is none }};{{ m.name }};{{ m.tool_calls is defined }};"
    "{{ m.get('tool_call_id', '-') }}{% for c in m.tool_calls %}{{ c.keys() | list | join(',') }}{{ c.type }}{{ c.function.arguments is mapping }}"
    "{{ c.function.arguments.items() | list | length }}{% endfor %}|{% endfor %}",
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
    for name, source in TOOL_TEMPLATES.items():
        for messages in TOOL_CHATS:
            for tools, generation in ((None, True), (TOOLS, True)):
                prompt = render(source, messages, tools, generation)
                cases.append({"name": name, "messages": messages, "tools": tools, "generation": generation, "prompt": prompt})
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"date": "2026-02-03", "templates": {**TEMPLATES, **TOOL_TEMPLATES}, "cases": cases}, file, ensure_ascii=False, indent=1)
        file.write("\n")
    print("transformers", transformers.__version__, len(cases), "cases")


if __name__ == "__main__":
    main(*sys.argv[1:])

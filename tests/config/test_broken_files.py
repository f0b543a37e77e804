"""Promise P7: every wrong setting is an error that names file, line, place and the nearest right name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from llm_gateway.config.load import load_configuration
from llm_gateway.config.presets import shipped_presets
from llm_gateway.errors import ConfigurationError

GOOD_KEYS = '{"virtual_keys": {"vk_one": {"provider": "openai", "api_key": "sk-one"}}}'
GOOD_SERVICES = '{"openai": "https://api.openai.com/v1/chat/completions"}'
HASH_OF_VK_ONE = hashlib.sha256(b"vk_one").hexdigest()

FIELDS_OF_A_KEY = (
    "known fields: api_key, credentials, expires, group, labels, limits, models, name, on_disconnect, on_unpriced, "
    "on_unsupported, operations, provider"
)
FIELDS_OF_KEYS = "nown fields: credentials, groups, label_from, limits, virtual_keys"
FIELDS_OF_A_PROVIDER = (
    "known fields: api_version, apis, ask_usage, auth, base_url, breaking, dialect, dialects, forward_beta, "
    "forward_headers, headers, health, limits, location, models, on_unsupported, preset, project, region, resource, "
    "retry_reserve, retry_share, timeouts, url"
)
TOKENS = "must be a whole number of tokens from 1 to 1000000000"
SECONDS = "must be a number of seconds above 0 and not above 86400"


@attrs.frozen
class Broken:
    """Two files, one or both wrong, and all that is said about them."""

    name: str
    says: str
    """One line for each problem."""
    keys: str | bytes | None = GOOD_KEYS
    services: str | bytes | None = GOOD_SERVICES
    environ: Mapping[str, str] = attrs.field(factory=dict)
    files: Mapping[str, str] = attrs.field(factory=dict)


def key_with(api_key: str) -> str:
    return f'{{"virtual_keys": {{"vk_one":\n {{"provider": "openai",\n "api_key": {api_key}}}}}}}'


PRESETS = f"known presets: {', '.join(sorted(shipped_presets().presets))}"


def openai_with(fields: str) -> str:
    return f'{{"openai": {{"url": "https://api.openai.com/v1/chat/completions",\n{fields}}}}}'


def openai_at(url: str) -> str:
    return f'{{\n"openai": "{url}"}}'


def key_and(fields: str) -> str:
    return f'{{"virtual_keys": {{"vk_one": {{"provider": "openai", "api_key": "sk-one",\n{fields}}}}}}}'


def mine(fields: str) -> str:
    """A provider that is no preset."""
    return f'{{"openai": "https://api.openai.com/v1/chat/completions",\n"mine": {{{fields}}}}}'


def header_with(value: str) -> str:
    return openai_with(f'"headers": {{\n"X-Team": {value}}}')


WHOLE_FILES = [
    Broken(
        "keys-file-missing",
        "keys.json: does not exist; make one with `cp keys.example.json keys.json` and put your keys in it, or name "
        "another with KEYS_FILE or --keys",
        keys=None,
    ),
    Broken(
        "aiservices-file-missing",
        "aiservices.json: does not exist; name another with AISERVICES_FILE or --aiservices, or neither to use the one "
        "that is built in",
        services=None,
    ),
    Broken("keys-file-empty", "keys.json: is empty", keys=" \n"),
    Broken("keys-file-not-utf8", "keys.json:2: is not UTF-8 text", keys=b'{\n"\xff": 1}'),
    Broken(
        "aiservices-file-with-byte-order-mark",
        "aiservices.json:1: begins with a byte order mark; save it as UTF-8 without one",
        services=b"\xef\xbb\xbf{}",
    ),
    Broken("keys-file-a-list", "keys.json:2: top level: must be an object, not a list", keys="\n[]"),
    Broken("aiservices-file-a-string", "aiservices.json:1: top level: must be an object, not a string", services='"x"'),
    Broken(
        "files-swapped",
        "keys.json:1: top level: this looks like aiservices.json: are the two files swapped?\n"
        "aiservices.json:1: top level: this looks like keys.json: are the two files swapped?",
        keys=GOOD_SERVICES,
        services=GOOD_KEYS,
    ),
    Broken(
        "virtual-key-among-the-providers",
        "aiservices.json:1: top level: this looks like keys.json: are the two files swapped?",
        services='{"vk_one": {"provider": "openai", "api_key": "sk-one"}}',
    ),
]

SYNTAX = [
    Broken(
        "keys-comma-missing",
        'keys.json:3: column 1: not JSON: expected "," or "}" inside the object opened on line 1',
        keys='{"virtual_keys":\n {}\n"x": 1}',
    ),
    Broken(
        "keys-comma-too-many",
        'keys.json:2: column 47: not JSON: a "," stands before "}" with nothing after it',
        keys='{"virtual_keys": {"vk_one":\n {"provider": "openai", "api_key": "sk-canary",}}}',
    ),
    Broken(
        "keys-closing-brace-missing",
        "keys.json:3: column 1: not JSON: the text ends inside the object opened on line 1",
        keys='{"virtual_keys": {\n}\n',
    ),
    Broken(
        "keys-with-comment",
        "keys.json:2: column 3: not JSON: expected a name in double quotes inside the object opened on line 1; "
        "JSON has no comments",
        keys='{\n  // mine\n "virtual_keys": {}}',
    ),
    Broken(
        "keys-in-single-quotes",
        "keys.json:1: column 2: not JSON: expected a name in double quotes inside the object opened on line 1; "
        "single quotes do not count",
        keys="{'virtual_keys': {}}",
    ),
    Broken(
        "keys-string-not-closed",
        "keys.json:3: column 13: not JSON: a string is not closed on its line",
        keys=key_with('"sk-one\n'),
    ),
    Broken(
        "keys-unknown-escape",
        "keys.json:3: column 20: not JSON: a backslash in a string begins no escape that JSON knows",
        keys=key_with(r'"sk-one\x"'),
    ),
    Broken(
        "keys-tab-in-string",
        "keys.json:3: column 20: not JSON: a control character in a string must be written as an escape",
        keys=key_with('"sk-one\t"'),
    ),
    Broken(
        "keys-half-surrogate",
        "keys.json:3: column 13: not JSON: a string holds half of a surrogate pair",
        keys=key_with(r'"\ud83d"'),
    ),
    Broken(
        "aiservices-bare-word",
        "aiservices.json:1: column 12: not JSON: expected a value: a string in double quotes, a number, true, false, "
        "null, {...} or [...]",
        services='{"openai": None}',
    ),
    Broken(
        "aiservices-colon-missing",
        'aiservices.json:1: column 11: not JSON: expected a ":" after the name inside the object opened on line 1',
        services='{"openai" "https://api.openai.com"}',
    ),
    Broken(
        "aiservices-number-with-leading-zero",
        "aiservices.json:2: column 27: not JSON: a number is not written as JSON writes them",
        services=openai_with('"timeouts": {"connect_s": 05}'),
    ),
    Broken(
        "aiservices-two-documents",
        "aiservices.json:2: column 1: not JSON: something follows the end of the document",
        services="{}\n{}",
    ),
    Broken(
        "aiservices-too-deep",
        "aiservices.json:1: column 43: not JSON: nested more than 32 deep",
        services='{"openai": ' + "[" * 100 + "]" * 100 + "}",
    ),
]

KEYS = [
    Broken("virtual-keys-missing", 'keys.json:1: top level: needs a field "virtual_keys"', keys="{}"),
    Broken(
        "virtual-keys-misspelt",
        'keys.json:1: top level: needs a field "virtual_keys"\n'
        'keys.json:2: top level: unknown field; did you mean "virtual_keys"? K' + FIELDS_OF_KEYS,
        keys='{\n"virtual_kesy": {}}',
    ),
    Broken(
        "virtual-keys-a-list", "keys.json:2: virtual_keys: must be an object, not a list", keys='{\n"virtual_keys": []}'
    ),
    Broken(
        "virtual-keys-twice",
        "keys.json:2: virtual_keys: is given twice; first on line 1",
        keys='{"virtual_keys": {"vk_one": {"provider": "openai", "api_key": "sk-one"}},\n"virtual_keys": {}}',
    ),
    Broken(
        "virtual-key-outside-of-virtual-keys",
        "keys.json:2: top level: unknown field; k" + FIELDS_OF_KEYS,
        keys='{"virtual_keys": {"vk_one": {"provider": "openai", "api_key": "sk-one"}},\n'
        '"team-b": {"provider": "openai", "api_key": "sk-two"}}',
    ),
    Broken(
        "virtual-key-only-a-string",
        'keys.json:2: virtual_keys[1]: must be an object with "provider" and "api_key", or with "credentials", not a '
        "string",
        keys='{"virtual_keys": {\n"vk_one": "sk-one"}}',
    ),
    Broken(
        "virtual-key-without-provider",
        'keys.json:2: virtual_keys[1]: needs a field "provider"',
        keys='{"virtual_keys": {\n"vk_one": {"api_key": "sk-one"}}}',
    ),
    Broken(
        "virtual-key-with-nothing",
        'keys.json:3: virtual_keys[2]: needs the fields "provider" and "api_key", or "credentials"',
        keys='{"virtual_keys": {"vk_one": {"provider": "openai", "api_key": "sk-one"},\n\n"vk_two": {}}}',
    ),
    Broken(
        "field-of-a-key-misspelt",
        'keys.json:1: virtual_keys[1]: needs a field "api_key"\n'
        'keys.json:3: virtual_keys[1]: unknown field; did you mean "api_key"? '
        f"{FIELDS_OF_A_KEY.capitalize()}",
        keys='{"virtual_keys": {"vk_one":\n {"provider": "openai",\n "apikey": "sk-one"}}}',
    ),
    Broken(
        "field-of-a-key-unknown",
        f"keys.json:3: virtual_keys[1]: unknown field; {FIELDS_OF_A_KEY}",
        keys='{"virtual_keys": {"vk_one": {"provider": "openai", "api_key": "sk-one",\n\n"budget": 5}}}',
    ),
    Broken(
        "field-of-a-key-twice",
        "keys.json:3: virtual_keys[1].api_key: is given twice; first on line 2",
        keys='{"virtual_keys": {"vk_one": {"provider": "openai",\n"api_key": "sk-one",\n"api_key": "sk-two"}}}',
    ),
    Broken(
        "same-virtual-key-twice",
        "keys.json:3: virtual_keys[2]: is the same virtual key as virtual_keys[1]; first on line 2",
        keys='{"virtual_keys": {\n"vk_one": {"provider": "openai", "api_key": "sk-one"},\n'
        '"vk_\\u006fne": {"provider": "openai", "api_key": "sk-two"}}}',
    ),
    Broken(
        "virtual-key-and-its-own-hash",
        "keys.json:3: virtual_keys[2]: is the same virtual key as virtual_keys[1] (a key and its SHA-256 count as "
        "one); first on line 2",
        keys='{"virtual_keys": {\n"vk_one": {"provider": "openai", "api_key": "sk-one"},\n'
        f'"sha256:{HASH_OF_VK_ONE}": {{"provider": "openai", "api_key": "sk-two"}}}}}}',
    ),
    Broken(
        "hash-too-short",
        'keys.json:2: virtual_keys[1]: "sha256:" must be followed by 64 hexadecimal digits',
        keys=f'{{"virtual_keys": {{\n"sha256:{HASH_OF_VK_ONE[:-1]}": {{"provider": "openai", "api_key": "sk-one"}}}}}}',
    ),
    Broken(
        "hash-of-nothing",
        "keys.json:2: virtual_keys[1]: is the SHA-256 of no key at all",
        keys=f'{{"virtual_keys": {{\n"sha256:{hashlib.sha256().hexdigest()}": '
        '{"provider": "openai", "api_key": "sk-one"}}}',
    ),
    Broken(
        "virtual-key-empty",
        "keys.json:1: virtual_keys[1]: a virtual key must be of visible ASCII characters: it is sent in a header",
        keys='{"virtual_keys": {"": {"provider": "openai", "api_key": "sk-one"}}}',
    ),
    Broken(
        "virtual-key-with-space",
        "keys.json:1: virtual_keys[1]: a virtual key must be of visible ASCII characters: it is sent in a header",
        keys='{"virtual_keys": {"vk one": {"provider": "openai", "api_key": "sk-one"}}}',
    ),
    Broken(
        "virtual-key-from-the-environment",
        'keys.json:1: virtual_keys[1]: a virtual key itself must stand here, or "sha256:" and its digest; only api_key '
        "may point elsewhere",
        keys='{"virtual_keys": {"${VK}": {"provider": "openai", "api_key": "sk-one"}}}',
        environ={"VK": "vk_one"},
    ),
    Broken(
        "provider-a-number",
        "keys.json:2: virtual_keys[1].provider: must be a string, not a number",
        keys='{"virtual_keys": {"vk_one": {"provider":\n 7, "api_key": "sk-one"}}}',
    ),
    Broken(
        "provider-with-space",
        'keys.json:2: virtual_keys[1].provider: must be the name of a provider: 1 to 64 letters, digits, ".", "_" '
        'or "-"',
        keys='{"virtual_keys": {"vk_one": {\n"provider": "open ai", "api_key": "sk-one"}}}',
    ),
    Broken(
        "provider-and-key-swapped",
        'keys.json:1: virtual_keys[1].provider: "provider" and "api_key" seem to be swapped',
        keys='{"virtual_keys": {"vk_one": {"provider": "sk-one", "api_key": "openai"}}}',
    ),
    Broken(
        "provider-is-a-key",
        "keys.json:1: virtual_keys[1].provider: must be the name of a provider, and looks like a key",
        keys='{"virtual_keys": {"vk_one": {"provider": "sk-one", "api_key": "sk-one"}}}',
    ),
    Broken(
        "name-is-the-key",
        "keys.json:1: virtual_keys[1].name: must not hold a key: logs show it",
        keys='{"virtual_keys": {"letmein": {"provider": "openai", "api_key": "sk-one", "name": "letmein"}}}',
    ),
    Broken(
        "name-empty",
        "keys.json:1: virtual_keys[1].name: must be 1 to 64 printable characters, with no space at either end",
        keys='{"virtual_keys": {"vk_one": {"provider": "openai", "api_key": "sk-one", "name": ""}}}',
    ),
    Broken(
        "name-null",
        "keys.json:1: virtual_keys[1].name: must be a string, not null",
        keys='{"virtual_keys": {"vk_one": {"provider": "openai", "api_key": "sk-one", "name": null}}}',
    ),
]

SECRETS = [
    Broken(
        "key-a-number", "keys.json:3: virtual_keys[1].api_key: must be a string, not a number", keys=key_with("123")
    ),
    Broken(
        "key-an-object", "keys.json:3: virtual_keys[1].api_key: must be a string, not an object", keys=key_with("{}")
    ),
    Broken("key-empty", "keys.json:3: virtual_keys[1].api_key: must not be empty", keys=key_with('""')),
    Broken(
        "key-with-line-end",
        "keys.json:3: virtual_keys[1].api_key: must not hold white space or control characters",
        keys=key_with('"sk-one\\n"'),
    ),
    Broken(
        "key-with-bearer",
        'keys.json:3: virtual_keys[1].api_key: must not begin with "Bearer": the gateway adds that itself',
        keys=key_with('"Bearer sk-one"'),
    ),
    Broken(
        "key-beyond-latin-1",
        "keys.json:3: virtual_keys[1].api_key: must not hold characters beyond Latin-1: a header cannot carry them",
        keys=key_with('"sk-\u2026"'),
    ),
    Broken(
        "variable-not-set",
        "keys.json:3: virtual_keys[1].api_key: the environment variable OPENAI_KEY is not set",
        keys=key_with('"${OPENAI_KEY}"'),
    ),
    Broken(
        "variable-empty",
        "keys.json:3: virtual_keys[1].api_key: the environment variable OPENAI_KEY is empty",
        keys=key_with('"sk-${OPENAI_KEY}"'),
        environ={"OPENAI_KEY": ""},
    ),
    Broken(
        "variable-with-line-end",
        "keys.json:3: virtual_keys[1].api_key: the environment variable OPENAI_KEY must not hold white space or "
        "control characters",
        keys=key_with('"${OPENAI_KEY}"'),
        environ={"OPENAI_KEY": "sk-one\n"},
    ),
    Broken(
        "variable-not-closed",
        'keys.json:3: virtual_keys[1].api_key: "${" begins no environment variable: write ${NAME}, or $${ for the two '
        "characters",
        keys=key_with('"${OPENAI_KEY"'),
    ),
    Broken(
        "variable-without-braces",
        "keys.json:3: virtual_keys[1].api_key: an environment variable is written with braces: ${NAME}",
        keys=key_with('"$OPENAI_KEY"'),
    ),
    Broken(
        "secret-file-missing",
        "keys.json:3: virtual_keys[1].api_key: the secret file secrets/openai does not exist",
        keys=key_with('"file:secrets/openai"'),
    ),
    Broken(
        "secret-file-empty",
        "keys.json:3: virtual_keys[1].api_key: the secret file openai.key is empty",
        keys=key_with('"file:openai.key"'),
        files={"openai.key": "\n"},
    ),
    Broken(
        "secret-file-a-directory",
        "keys.json:3: virtual_keys[1].api_key: the secret file . is a directory, not a file",
        keys=key_with('"file:."'),
    ),
    Broken(
        "secret-file-of-two-lines",
        "keys.json:3: virtual_keys[1].api_key: the secret file openai.key must not hold white space or control "
        "characters",
        keys=key_with('"file:openai.key"'),
        files={"openai.key": "sk-one\nsk-two\n"},
    ),
    Broken(
        "secret-file-too-large",
        "keys.json:3: virtual_keys[1].api_key: the secret file openai.key is larger than 16 KiB",
        keys=key_with('"file:openai.key"'),
        files={"openai.key": "k" * 16_385},
    ),
    Broken(
        "secret-file-without-path",
        'keys.json:3: virtual_keys[1].api_key: "file:" must be followed by the path of a file',
        keys=key_with('"file:"'),
    ),
    Broken(
        "key-itself-after-file",
        "keys.json:3: virtual_keys[1].api_key: the secret file does not exist",
        keys=key_with('"file:sk-one"'),
    ),
    Broken(
        "header-variable-not-set",
        "aiservices.json:3: openai.headers.X-Team: the environment variable TEAM is not set",
        services=header_with('"team ${TEAM}"'),
    ),
    Broken(
        "header-with-line-end",
        "aiservices.json:3: openai.headers.X-Team: must not hold line ends or other control characters",
        services=header_with('"a\\r\\nX-Evil: b"'),
    ),
    Broken(
        "header-with-space-at-its-end",
        "aiservices.json:3: openai.headers.X-Team: must not begin or end with white space",
        services=header_with('"a "'),
    ),
]

PROVIDERS = [
    Broken(
        "provider-null", "aiservices.json:1: openai: must be a URL or an object, not null", services='{"openai": null}'
    ),
    Broken(
        "provider-twice",
        "aiservices.json:2: openai: is given twice; first on line 1",
        services='{"openai": "https://a.example/chat/completions",\n"openai": "https://b.example/chat/completions"}',
    ),
    Broken(
        "provider-name-with-slash",
        'aiservices.json:2: open/ai: a provider\'s name is 1 to 64 letters, digits, ".", "_" or "-"',
        services='{"openai": "https://a.example/chat/completions",\n"open/ai": "https://a.example/chat/completions"}',
    ),
    Broken(
        "provider-name-of-two-dots",
        'aiservices.json:1: ..: a provider\'s name is 1 to 64 letters, digits, ".", "_" or "-"',
        services='{"..": "https://a.example/chat/completions", "openai": "https://a.example/chat/completions"}',
    ),
    Broken(
        "provider-without-url",
        'aiservices.json:1: mine: is no preset, so that it needs a field "url", "base_url", "dialects" or "preset"; '
        f"{PRESETS}",
        services='{"mine": {"dialect": "openai"}}',
    ),
    Broken(
        "field-of-a-provider-misspelt",
        'aiservices.json:2: openai: unknown field "time_outs"; did you mean "timeouts"? '
        f"{FIELDS_OF_A_PROVIDER.capitalize()}",
        services=openai_with('"time_outs": {}'),
    ),
    Broken(
        "field-of-a-provider-unknown",
        f'aiservices.json:2: openai: unknown field "budget"; {FIELDS_OF_A_PROVIDER}',
        services=openai_with('"budget": 5'),
    ),
    Broken(
        "dialect-misspelt",
        'aiservices.json:2: openai.dialect: unknown dialect "antropic"; did you mean "anthropic"? '
        "Known dialects: anthropic, gemini, openai",
        services=openai_with('"dialect": "antropic"'),
    ),
    Broken(
        "auth-misspelt",
        'aiservices.json:2: openai.auth: unknown auth style "Bearer"; did you mean "bearer"? '
        "Known auth styles: api-key, bearer, none, x-api-key, x-goog-api-key",
        services=openai_with('"auth": "Bearer"'),
    ),
    Broken(
        "auth-null", "aiservices.json:2: openai.auth: must be a string, not null", services=openai_with('"auth": null')
    ),
    Broken(
        "timeouts-a-number",
        "aiservices.json:2: openai.timeouts: must be an object, not a number",
        services=openai_with('"timeouts": 30'),
    ),
    Broken(
        "timeout-without-unit",
        'aiservices.json:2: openai.timeouts: unknown field "connect"; did you mean "connect_s"? '
        "Known fields: connect_s, first_byte_s, idle_s, total_s",
        services=openai_with('"timeouts": {"connect": 3}'),
    ),
    Broken(
        "timeout-zero",
        f"aiservices.json:3: openai.timeouts.connect_s: {SECONDS}",
        services=openai_with('"timeouts": {\n"connect_s": 0}'),
    ),
    Broken(
        "timeout-true",
        f"aiservices.json:2: openai.timeouts.idle_s: {SECONDS}, not true",
        services=openai_with('"timeouts": {"idle_s": true}'),
    ),
    Broken(
        "timeout-a-string",
        f"aiservices.json:2: openai.timeouts.idle_s: {SECONDS}, not a string",
        services=openai_with('"timeouts": {"idle_s": "30"}'),
    ),
    Broken(
        "timeout-infinite",
        f"aiservices.json:2: openai.timeouts.total_s: {SECONDS}",
        services=openai_with('"timeouts": {"total_s": 1e999}'),
    ),
    Broken(
        "timeout-in-milliseconds",
        f"aiservices.json:2: openai.timeouts.first_byte_s: {SECONDS}",
        services=openai_with('"timeouts": {"first_byte_s": 600000}'),
    ),
    Broken(
        "health-off-as-a-word",
        "aiservices.json:2: openai.health: must be an object, not false",
        services=openai_with('"health": false'),
    ),
    Broken(
        "health-enabled-a-string",
        "aiservices.json:2: openai.health.enabled: must be true or false, not a string",
        services=openai_with('"health": {"enabled": "no"}'),
    ),
    Broken(
        "health-method-that-may-be-billed",
        'aiservices.json:2: openai.health.method: unknown method "POST"; known methods: GET, HEAD',
        services=openai_with('"health": {"method": "POST"}'),
    ),
    Broken(
        "health-url-without-scheme",
        'aiservices.json:2: openai.health.url: must begin with "http://" or "https://"',
        services=openai_with('"health": {"url": "/models"}'),
    ),
    Broken(
        "headers-a-list",
        "aiservices.json:2: openai.headers: must be an object, not a list",
        services=openai_with('"headers": ["X-Team: a"]'),
    ),
    Broken(
        "header-a-number",
        "aiservices.json:3: openai.headers.X-Team: must be a string, not a number",
        services=header_with("7"),
    ),
    Broken(
        "header-name-with-colon",
        "aiservices.json:2: openai.headers.X-Team:: is not a name that a header can have",
        services=openai_with('"headers": {"X-Team:": "a"}'),
    ),
    Broken(
        "header-of-the-connection",
        'aiservices.json:2: openai.headers.Connection: "connection" may not be set or passed on: it belongs to the '
        "connection, the client or the key",
        services=openai_with('"headers": {"Connection": "close"}'),
    ),
    Broken(
        "header-host",
        'aiservices.json:2: openai.headers.host: "host" may not be set or passed on: it belongs to the connection, the '
        "client or the key",
        services=openai_with('"headers": {"host": "a.example"}'),
    ),
    Broken(
        "header-of-the-key",
        'aiservices.json:2: openai.headers.Authorization: is what "auth" sends the key in; with "auth": "none" it can '
        "be set here",
        services=openai_with('"headers": {"Authorization": "Bearer x"}'),
    ),
    Broken(
        "header-twice-in-different-capitals",
        "aiservices.json:3: openai.headers.x-team: is given twice in different capitals",
        services=openai_with('"headers": {"X-Team": "a",\n"x-team": "b"}'),
    ),
    Broken(
        "forwarded-header-with-the-virtual-key",
        'aiservices.json:2: openai.forward_headers[2]: "x-api-key" may not be set or passed on: it belongs to the '
        "connection, the client or the key",
        services=openai_with('"forward_headers": ["x-trace", "X-Api-Key"]'),
    ),
    Broken(
        "forwarded-header-of-an-account",
        'aiservices.json:2: openai.forward_headers[1]: "anthropic-workspace-id" may not be passed on: which account '
        "pays is not for the client to say",
        services=openai_with('"forward_headers": ["Anthropic-Workspace-Id"]'),
    ),
    Broken(
        "forwarded-header-cookie",
        'aiservices.json:2: openai.forward_headers[1]: "cookie" may not be set or passed on: it belongs to the '
        "connection, the client or the key",
        services=openai_with('"forward_headers": ["Cookie"]'),
    ),
    Broken(
        "forwarded-headers-with-wildcard",
        'aiservices.json:2: openai.forward_headers[1]: must be whole names: "*" stands for nothing here',
        services=openai_with('"forward_headers": ["x-team-*"]'),
    ),
    Broken(
        "forwarded-header-twice",
        "aiservices.json:3: openai.forward_headers[2]: is listed twice",
        services=openai_with('"forward_headers": ["x-team",\n"X-Team"]'),
    ),
    Broken(
        "forwarded-headers-a-string",
        "aiservices.json:2: openai.forward_headers: must be a list, not a string",
        services=openai_with('"forward_headers": "x-team"'),
    ),
    Broken(
        "schema-reference-a-number",
        "aiservices.json:1: $schema: must be a string, not a number",
        services='{"$schema": 1, "openai": "https://api.openai.com/v1/chat/completions"}',
    ),
]

URLS = [
    Broken("url-empty", 'aiservices.json:2: openai: must begin with "http://" or "https://"', services=openai_at("")),
    Broken(
        "url-without-scheme",
        'aiservices.json:2: openai: must begin with "http://" or "https://"',
        services=openai_at("api.openai.com/v1/chat/completions"),
    ),
    Broken(
        "url-of-another-scheme",
        'aiservices.json:2: openai: must begin with "http://" or "https://"',
        services=openai_at("ftp://api.openai.com"),
    ),
    Broken(
        "url-without-host",
        "aiservices.json:2: openai: must name a host after the scheme",
        services=openai_at("https:///v1"),
    ),
    Broken(
        "url-with-bad-host", "aiservices.json:2: openai: must name a valid host", services=openai_at("https://a..b/v1")
    ),
    Broken(
        "url-with-bad-address",
        "aiservices.json:2: openai: must name a valid host",
        services=openai_at("http://300.1.1.1"),
    ),
    Broken(
        "url-with-bad-ipv6", "aiservices.json:2: openai: must name a valid host", services=openai_at("http://[::g]/v1")
    ),
    Broken(
        "url-with-port-too-high",
        "aiservices.json:2: openai: must have a port from 1 to 65535",
        services=openai_at("http://localhost:65536/v1"),
    ),
    Broken(
        "url-with-port-in-letters",
        "aiservices.json:2: openai: must have a port from 1 to 65535",
        services=openai_at("http://localhost:http/v1"),
    ),
    Broken(
        "url-with-password",
        "aiservices.json:2: openai: must not hold a user name or password: keys belong in keys.json",
        services=openai_at("https://me:hunter2@api.openai.com/v1"),
    ),
    Broken(
        "url-with-key",
        "aiservices.json:2: openai: must not hold a key in its query: keys belong in keys.json",
        services=openai_at("https://a.example/v1/chat/completions?Key=abc"),
    ),
    Broken(
        "url-with-fragment",
        'aiservices.json:2: openai: must not hold a fragment ("#...")',
        services=openai_at("https://a.example/v1#top"),
    ),
    Broken(
        "url-with-space",
        "aiservices.json:2: openai: must not hold white space or other characters that a URL does not have; write them "
        "as %XX",
        services=openai_at("https://a.example/v1/chat completions"),
    ),
    Broken(
        "url-beyond-ascii",
        "aiservices.json:2: openai: must not hold white space or other characters that a URL does not have; write them "
        "as %XX",
        services=openai_at("https://bücher.example/v1"),
    ),
    Broken(
        "url-with-broken-escape",
        'aiservices.json:2: openai: must have two hexadecimal digits after each "%"',
        services=openai_at("https://a.example/v1/%zz"),
    ),
    Broken(
        "url-from-the-environment",
        "aiservices.json:2: openai: must be written out: environment variables are filled in only in api_key and "
        "headers",
        services=openai_at("${OPENAI_URL}"),
    ),
    Broken(
        "url-a-number",
        "aiservices.json:1: openai.url: must be a string, not a number",
        services='{"openai": {"url": 1}}',
    ),
    Broken(
        "base-url-with-query",
        'aiservices.json:2: openai.base_url: must not hold a query ("?...")',
        services=openai_with('"base_url": "https://a.example/v1?api-version=1"'),
    ),
    Broken(
        "base-url-with-chat-path",
        'aiservices.json:2: openai.base_url: must stop before the chat path: the whole URL belongs in "url"',
        services=openai_with('"base_url": "https://a.example/v1/chat/completions/"'),
    ),
]

SEVERAL = [
    Broken(
        "everything-at-once",
        'keys.json:2: virtual_keys[1]: unknown field; did you mean "provider"? '
        f"{FIELDS_OF_A_KEY.capitalize()}\n"
        'keys.json:2: virtual_keys[1]: needs a field "provider"\n'
        "keys.json:2: virtual_keys[1].api_key: the environment variable A is not set\n"
        "keys.json:3: virtual_keys[2].api_key: must not be empty\n"
        f'aiservices.json:2: openai: unknown field "timeout"; did you mean "timeouts"? '
        f"{FIELDS_OF_A_PROVIDER.capitalize()}\n"
        'aiservices.json:2: openai.url: must begin with "http://" or "https://"\n'
        "aiservices.json:3: other: must be a URL or an object, not true",
        keys='{"virtual_keys": {\n"vk_one": {"provder": "openai", "api_key": "${A}"},\n'
        '"vk_two": {"provider": "openai", "api_key": ""}}}',
        services='{\n"openai": {"url": "x", "timeout": 3},\n"other": true}',
    ),
    Broken(
        "key-of-a-faulty-provider-is-not-blamed",
        'aiservices.json:2: openai: must begin with "http://" or "https://"',
        services=openai_at("x"),
    ),
]

KEY_MODELS = [
    Broken(
        "models-of-a-key-a-string",
        "keys.json:2: virtual_keys[1].models: must be a list of names or an object, not a string",
        keys=key_and('"models": "gpt-5"'),
    ),
    Broken(
        "models-of-a-key-empty",
        "keys.json:2: virtual_keys[1].models: must not be empty; without it, the key may call every model",
        keys=key_and('"models": []'),
    ),
    Broken(
        "models-of-a-key-an-empty-object",
        "keys.json:2: virtual_keys[1].models: must not be empty; without it, the key may call every model",
        keys=key_and('"models": {}'),
    ),
    Broken(
        "model-of-a-key-a-number",
        "keys.json:3: virtual_keys[1].models[2]: must be a string, not a number",
        keys=key_and('"models": ["gpt-5",\n5]'),
    ),
    Broken(
        "model-of-a-key-empty",
        "keys.json:2: virtual_keys[1].models[1]: the name of a model is 1 to 256 printable characters, with no space "
        "at either end",
        keys=key_and('"models": [""]'),
    ),
    Broken(
        "model-of-a-key-twice",
        "keys.json:3: virtual_keys[1].models[2]: is listed twice",
        keys=key_and('"models": ["gpt-5",\n"gpt-5"]'),
    ),
    Broken(
        "model-of-a-key-false",
        "keys.json:2: virtual_keys[1].models[1]: must be the name of a model, or true for the same name, not false",
        keys=key_and('"models": {"gpt-5": false}'),
    ),
    Broken(
        "alias-of-a-key-an-object",
        "keys.json:2: virtual_keys[1].models[1]: must be the name of a model, or true for the same name, not an object",
        keys=key_and('"models": {"fast": {"upstream_name": "gpt-5"}}'),
    ),
    Broken(
        "alias-of-a-key-twice",
        "keys.json:3: virtual_keys[1].models[2]: is the same model as virtual_keys[1].models[1]; first on line 2",
        keys=key_and('"models": {"fast": "gpt-5",\n"fast": "gpt-6"}'),
    ),
    Broken(
        "alias-with-a-star-of-its-own",
        'keys.json:2: virtual_keys[1].models[1]: may have one "*" and only where the name that it replaces has one: '
        "it stands for the same there",
        keys=key_and('"models": {"fast": "gpt-*"}'),
    ),
    Broken(
        "policy-of-a-key-misspelt",
        'keys.json:2: virtual_keys[1].on_unsupported: unknown policy "dorp"; did you mean "drop"? Known policies: '
        "drop, pass, reject",
        keys=key_and('"on_unsupported": "dorp"'),
    ),
]

DIALECTS_AND_MODELS = [
    Broken(
        "preset-misspelt",
        f'aiservices.json:2: mine.preset: unknown preset "azzure"; did you mean "azure"? {PRESETS.capitalize()}',
        services=mine('"preset": "azzure"'),
    ),
    Broken(
        "preset-misspelt-in-the-name-of-its-provider",
        'aiservices.json:1: openruter: is no preset, so that it needs a field "url", "base_url", "dialects" or '
        f'"preset"; did you mean "openrouter"? {PRESETS.capitalize()}',
        services='{"openruter": {}, "openai": {}}',
    ),
    Broken(
        "preset-in-place-of-a-url",
        'aiservices.json:2: mine: is the name of a preset and no URL; write {"preset": "groq"}',
        services='{"openai": {},\n"mine": "groq"}',
    ),
    Broken(
        "preset-without-what-it-needs",
        'aiservices.json:2: mine: needs a field "resource": the name of the resource, as in '
        "https://NAME.openai.azure.com",
        services=mine('"preset": "azure"'),
    ),
    Broken(
        "preset-with-the-place-of-another",
        'aiservices.json:2: mine.region: "groq" is in one place only: it takes no "region"',
        services=mine('"preset": "groq", "region": "eu-west-1"'),
    ),
    Broken(
        "place-beside-a-url",
        'aiservices.json:2: mine.resource: says where the provider is, and so does "base_url"',
        services=mine('"preset": "azure", "base_url": "https://a.example", "resource": "contoso"'),
    ),
    Broken(
        "place-that-is-a-host",
        'aiservices.json:2: mine.resource: must be of letters, digits and "-"',
        services=mine('"preset": "azure", "resource": "contoso.openai.azure.com"'),
    ),
    Broken(
        "dialect-that-a-preset-does-not-speak",
        'aiservices.json:2: mine.dialect: "groq" does not speak it; its dialects: openai',
        services=mine('"preset": "groq", "dialect": "gemini"'),
    ),
    Broken(
        "version-of-a-preset-that-has-none",
        'aiservices.json:2: mine.api_version: "groq" has no versions to choose from',
        services=mine('"preset": "groq", "api_version": "2024-10-21"'),
    ),
    Broken(
        "version-that-is-none",
        'aiservices.json:2: mine.api_version: must be a date such as 2024-10-21, perhaps with "-preview" behind it',
        services=mine('"preset": "azure", "resource": "contoso", "api_version": "latest"'),
    ),
    Broken(
        "version-of-the-newer-api",
        "aiservices.json:2: mine.api_version: is of Azure's older API, whose base URL ends in /openai",
        services=mine('"base_url": "https://a.example/openai/v1", "api_version": "2024-10-21"'),
    ),
    Broken(
        "dialects-a-list",
        "aiservices.json:2: mine.dialects: must be an object, not a list",
        services=mine('"dialects": ["openai"]'),
    ),
    Broken(
        "dialects-empty",
        "aiservices.json:2: mine.dialects: must hold a dialect and its base URL",
        services=mine('"dialects": {}'),
    ),
    Broken(
        "dialect-among-several-misspelt",
        'aiservices.json:2: mine.dialects: unknown dialect "antropic"; did you mean "anthropic"? '
        "Known dialects: anthropic, gemini, openai",
        services=mine('"dialects": {"openai": "https://a.example/v1", "antropic": "https://a.example/v1"}'),
    ),
    Broken(
        "dialect-among-several-a-number",
        "aiservices.json:2: mine.dialects.openai: must be a base URL or an object, not a number",
        services=mine('"dialects": {"openai": 1}'),
    ),
    Broken(
        "dialect-among-several-with-a-chat-path",
        'aiservices.json:2: mine.dialects.openai: must stop before the chat path: the whole URL belongs in "url"',
        services=mine('"dialects": {"openai": "https://a.example/v1/chat/completions"}'),
    ),
    Broken(
        "dialect-among-several-without-base-url",
        'aiservices.json:2: mine.dialects.openai: needs a field "base_url"',
        services=mine('"dialects": {"openai": {"url": "https://a.example/chat"}}'),
    ),
    Broken(
        "dialect-among-several-with-unknown-field",
        'aiservices.json:2: mine.dialects.openai: unknown field "baseurl"; did you mean "base_url"? Known fields: '
        'auth, base_url, models, url\naiservices.json:2: mine.dialects.openai: needs a field "base_url"',
        services=mine('"dialects": {"openai": {"baseurl": "https://a.example/v1"}}'),
    ),
    Broken(
        "dialect-among-several-whose-models-are-no-list",
        "aiservices.json:2: mine.dialects.openai.models: must be a list of names, not a string",
        services=mine('"dialects": {"openai": {"base_url": "https://a.example/v1", "models": "gpt-*"}}'),
    ),
    Broken(
        "dialect-among-several-with-a-model-twice",
        "aiservices.json:2: mine.dialects.openai.models[2]: is listed twice",
        services=mine('"dialects": {"openai": {"base_url": "https://a.example/v1", "models": ["m", "m"]}}'),
    ),
    Broken(
        "own-dialect-twice",
        'aiservices.json:2: mine.dialects: "openai" has its URL beside it already',
        services=mine('"base_url": "https://a.example/v1", "dialects": {"openai": "https://b.example/v1"}'),
    ),
    Broken(
        "dialect-that-is-not-among-them",
        'aiservices.json:2: mine.dialect: is not among its "dialects"',
        services=mine('"dialect": "gemini", "dialects": {"openai": "https://b.example/v1"}'),
    ),
    Broken(
        "header-of-the-key-of-another-dialect",
        'aiservices.json:2: mine.headers.X-Api-Key: is what "auth" sends the key in; with "auth": "none" it can be set '
        "here",
        services=mine(
            '"base_url": "https://a.example/v1", "dialects": {"anthropic": "https://b.example/v1"}, '
            '"headers": {"X-Api-Key": "x"}'
        ),
    ),
    Broken(
        "api-misspelt",
        'aiservices.json:2: openai.apis[1]: unknown API "response"; did you mean "responses"? Known APIs: chat, '
        "responses",
        services=openai_with('"apis": ["response"]'),
    ),
    Broken("apis-empty", "aiservices.json:2: openai.apis: must not be empty", services=openai_with('"apis": []')),
    Broken(
        "models-a-string",
        "aiservices.json:2: openai.models: must be a list of names or an object, not a string",
        services=openai_with('"models": "gpt-5"'),
    ),
    Broken(
        "model-a-string",
        "aiservices.json:3: openai.models.fast: must be an object, not a string",
        services=openai_with('"models": {\n"fast": "gpt-5"}'),
    ),
    Broken(
        "model-with-space-at-its-end",
        "aiservices.json:2: openai.models[1]: the name of a model is 1 to 256 printable characters, with no space at "
        "either end",
        services=openai_with('"models": ["gpt-5 "]'),
    ),
    Broken(
        "model-with-unknown-field",
        'aiservices.json:2: openai.models.fast: unknown field "max_tokens"; did you mean "max_output_tokens"? Known '
        "fields: context_window, inputs, max_output_tokens, operations, outputs, prices, reasoning, sampling, title, "
        "upstream_name",
        services=openai_with('"models": {"fast": {"max_tokens": 5}}'),
    ),
    Broken(
        "tokens-of-a-model-zero",
        f"aiservices.json:2: openai.models.fast.max_output_tokens: {TOKENS}",
        services=openai_with('"models": {"fast": {"max_output_tokens": 0}}'),
    ),
    Broken(
        "tokens-of-a-model-a-fraction",
        f"aiservices.json:2: openai.models.fast.context_window: {TOKENS}",
        services=openai_with('"models": {"fast": {"context_window": 0.5}}'),
    ),
    Broken(
        "tokens-of-a-model-a-string",
        f"aiservices.json:2: openai.models.fast.context_window: {TOKENS}, not a string",
        services=openai_with('"models": {"fast": {"context_window": "1M"}}'),
    ),
    Broken(
        "medium-of-a-model-misspelt",
        'aiservices.json:2: openai.models.fast.inputs[1]: unknown medium "images"; did you mean "image"? Known media: '
        "audio, image, pdf, text, video",
        services=openai_with('"models": {"fast": {"inputs": ["images"]}}'),
    ),
    Broken(
        "upstream-name-with-a-star-of-its-own",
        'aiservices.json:2: openai.models.fast.upstream_name: may have one "*" and only where the name that it '
        "replaces has one: it stands for the same there",
        services=openai_with('"models": {"fast": {"upstream_name": "gpt-*"}}'),
    ),
    Broken(
        "policy-misspelt",
        'aiservices.json:2: openai.on_unsupported: unknown policy "refuse"; known policies: drop, pass, reject',
        services=openai_with('"on_unsupported": "refuse"'),
    ),
    Broken(
        "beta-features-a-string",
        "aiservices.json:2: openai.forward_beta: must be true, false or a list of names, not a string",
        services=openai_with('"forward_beta": "all"'),
    ),
    Broken(
        "beta-feature-a-number",
        "aiservices.json:2: openai.forward_beta[1]: must be a string, not a number",
        services=openai_with('"forward_beta": [1]'),
    ),
    Broken(
        "beta-features-in-one-string",
        "aiservices.json:2: openai.forward_beta[1]: is not a name that a beta feature can have",
        services=openai_with('"forward_beta": ["a-1, b-2"]'),
    ),
]

ALL = KEY_MODELS + DIALECTS_AND_MODELS + WHOLE_FILES + SYNTAX + KEYS + SECRETS + PROVIDERS + URLS + SEVERAL


def write(path: str, content: str | bytes | None) -> None:
    if content is not None:
        Path(path).write_bytes(content.encode() if isinstance(content, str) else content)


def said_of(broken: Broken) -> str:
    """:return: what is said about the files, written into the current folder, when they are loaded."""
    write("keys.json", broken.keys)
    write("aiservices.json", broken.services)
    for name, content in broken.files.items():
        write(name, content)
    with pytest.raises(ConfigurationError) as caught:
        load_configuration("keys.json", "aiservices.json", broken.environ)
    return str(caught.value)


@pytest.mark.parametrize("broken", [pytest.param(broken, id=broken.name) for broken in ALL])
def test_broken_file_is_explained(broken: Broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake is told with its file, its line, its place and what would be right, all mistakes at once."""
    monkeypatch.chdir(tmp_path)
    assert said_of(broken) == broken.says


def test_good_files_of_the_table_are_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the table breaks was right before: no case fails for another reason than its own."""
    monkeypatch.chdir(tmp_path)
    write("keys.json", GOOD_KEYS)
    write("aiservices.json", GOOD_SERVICES)
    configuration = load_configuration("keys.json", "aiservices.json", {})
    assert [key.provider for key in configuration.keys.values()] == ["openai"]
    assert configuration.warnings == ()


def test_directory_is_not_a_file(tmp_path: Path) -> None:
    """A folder in place of a file is told as such."""
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(str(tmp_path), None, {})
    assert str(caught.value) == f"{tmp_path}: is a directory, not a file"


def test_forbidden_file_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the process may not read is not taken for a missing one."""

    def forbid(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("llm_gateway.config.files.os.open", forbid)
    with pytest.raises(ConfigurationError) as caught:
        load_configuration("keys.json", "aiservices.json", {})
    assert str(caught.value) == (
        "keys.json: may not be read: permission denied\naiservices.json: may not be read: permission denied"
    )


def test_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    """A named pipe without a writer does not hold up the process."""
    pipe = tmp_path / "keys.json"
    os.mkfifo(pipe)
    with pytest.raises(ConfigurationError, match=r"keys\.json: is not a regular file$"):
        load_configuration(str(pipe), None, {})

"""Promise P7 for credentials and for what is said of routing: every wrong setting is told with what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_gateway.config.routing_formats import LEADS_ON
from tests.config.test_broken_files import SECONDS, Broken, openai_with, said_of

NAMES = '1 to 64 letters, digits, ".", "_" or "-"'
COUNT = "must be a whole number from 1 to 1000000"
COUNT_FROM_0 = "must be a whole number from 0 to 1000000"
WEIGHT = "must be a number from 0 to 1000000"


def credentials(entries: str, uses: str = '["main"]') -> str:
    """``keys.json`` with the credentials on line 2 and the virtual key on line 3."""
    return f'{{"credentials": {{\n{entries}}},\n"virtual_keys": {{"vk_one": {{"credentials": {uses}}}}}}}'


def uses(written: str) -> str:
    return credentials(
        '"main": {"provider": "openai", "api_key": "sk-one"}, "spare": {"provider": "openai", "api_key": "sk-two"}',
        written,
    )


def routing(fields: str) -> str:
    """``aiservices.json`` with these fields on line 3."""
    return f'{{"openai": "https://api.openai.com/v1/chat/completions",\n"$routing": {{\n{fields}}}}}'


def model(fields: str) -> str:
    return routing(f'"models": {{"fast": {{{fields}}}, "smart": {{"targets": ["openai/gpt-5.5"]}}}}')


CREDENTIALS = [
    Broken(
        "credentials-a-list",
        "keys.json:1: credentials: must be an object, not a list",
        keys='{"credentials": [],\n"virtual_keys": {"vk_one": {"credentials": ["main"]}}}',
    ),
    Broken(
        "credential-a-string",
        'keys.json:2: credentials.main: must be an object with "provider" and "api_key", not a string',
        keys=credentials('"main": "sk-one"'),
    ),
    Broken(
        "credential-without-provider",
        'keys.json:2: credentials.main: needs a field "provider"',
        keys=credentials('"main": {"api_key": "sk-one"}'),
    ),
    Broken(
        "credential-with-unknown-field",
        'keys.json:2: credentials.main: unknown field; did you mean "in_flight"? Known fields: api_key, in_flight, '
        "limits, provider",
        keys=credentials('"main": {"provider": "openai", "api_key": "sk-one", "in_fligth": 5}'),
    ),
    Broken(
        "credential-with-no-call-in-flight",
        f"keys.json:2: credentials.main.in_flight: {COUNT}",
        keys=credentials('"main": {"provider": "openai", "api_key": "sk-one", "in_flight": 0}'),
    ),
    Broken(
        "credential-variable-not-set",
        "keys.json:2: credentials.main.api_key: the environment variable OPENAI_KEY is not set",
        keys=credentials('"main": {"provider": "openai", "api_key": "${OPENAI_KEY}"}'),
    ),
    Broken(
        "credential-provider-and-key-swapped",
        'keys.json:2: credentials.main.provider: "provider" and "api_key" seem to be swapped',
        keys=credentials('"main": {"provider": "sk-one", "api_key": "openai"}'),
    ),
    Broken(
        "credential-name-with-space",
        f"keys.json:2: credentials[1]: a credential's name is {NAMES}",
        keys=credentials('"my main": {"provider": "openai", "api_key": "sk-one"}', '["my main"]'),
    ),
    Broken(
        "credential-name-made-up",
        f"keys.json:2: credentials[1]: a credential's name is {NAMES}",
        keys=credentials('"real:0a1b2c3d": {"provider": "openai", "api_key": "sk-one"}', '["real:0a1b2c3d"]'),
    ),
    Broken(
        "credential-name-holds-its-key",
        "keys.json:2: credentials[1]: the name of a credential must not hold a key: logs show it",
        keys=credentials('"main-hunter22": {"provider": "openai", "api_key": "hunter22"}', '["main-hunter22"]'),
    ),
    Broken(
        "credential-name-is-a-virtual-key",
        "keys.json:2: credentials[1]: the name of a credential must not hold a key: logs show it",
        keys='{"credentials": {\n"letmein": {"provider": "openai", "api_key": "sk-one"}},\n'
        '"virtual_keys": {"letmein": {"credentials": ["letmein"]}}}',
    ),
    Broken(
        "credential-twice",
        "keys.json:3: credentials[2]: is the same credential as credentials[1]; first on line 2",
        keys=credentials(
            '"main": {"provider": "openai", "api_key": "sk-one"},\n"main": {"provider": "openai", "api_key": "sk-two"}'
        ),
    ),
]

USES = [
    Broken(
        "uses-beside-a-provider",
        'keys.json:3: virtual_keys[1].credentials: stands in place of "provider" and "api_key": a key has either those '
        "or this",
        keys=credentials(
            '"main": {"provider": "openai", "api_key": "sk-one"}', '["main"], "provider": "openai", "api_key": "sk-one"'
        ),
    ),
    Broken(
        "uses-a-string",
        "keys.json:3: virtual_keys[1].credentials: must be a list of names or objects, not a string",
        keys=credentials('"main": {"provider": "openai", "api_key": "sk-one"}', '"main"'),
    ),
    Broken("uses-none", "keys.json:3: virtual_keys[1].credentials: must not be empty", keys=uses("[]")),
    Broken(
        "use-a-number",
        "keys.json:3: virtual_keys[1].credentials[2]: must be the name of a credential or an object, not a number",
        keys=uses('["main", 2]'),
    ),
    Broken(
        "use-misspelt",
        'keys.json:4: virtual_keys[1].credentials[2]: there is no such credential; did you mean "spare"? Known '
        "credentials: main, spare",
        keys=uses('["main",\n"sparre"]'),
    ),
    Broken(
        "use-misspelt-in-an-object",
        'keys.json:4: virtual_keys[1].credentials[2].name: there is no such credential; did you mean "spare"? Known '
        "credentials: main, spare",
        keys=uses('["main",\n{"name": "spar"}]'),
    ),
    Broken(
        "use-without-any-credential",
        "keys.json:1: virtual_keys[1].credentials[1]: there is no such credential; known credentials: none",
        keys='{"virtual_keys": {"vk_one": {"credentials": ["main"]}}}',
    ),
    Broken(
        "use-twice",
        "keys.json:3: virtual_keys[1].credentials[2]: is listed twice",
        keys=uses('["main", {"name": "main", "order": 1}, "spare"]'),
    ),
    Broken(
        "use-without-name",
        'keys.json:3: virtual_keys[1].credentials[1]: needs a field "name"',
        keys=uses('[{"order": 1}, "main", "spare"]'),
    ),
    Broken(
        "use-with-unknown-field",
        'keys.json:3: virtual_keys[1].credentials[1]: unknown field; did you mean "weight"? Known fields: name, order, '
        "weight",
        keys=uses('[{"name": "main", "wieght": 1}, "spare"]'),
    ),
    Broken(
        "order-of-a-use-below-zero",
        f"keys.json:3: virtual_keys[1].credentials[1].order: {COUNT_FROM_0}",
        keys=uses('[{"name": "main", "order": -1}, "spare"]'),
    ),
    Broken(
        "order-of-a-use-a-fraction",
        f"keys.json:3: virtual_keys[1].credentials[1].order: {COUNT_FROM_0}",
        keys=uses('[{"name": "main", "order": 0.5}, "spare"]'),
    ),
    Broken(
        "weight-of-a-use-below-zero",
        f"keys.json:3: virtual_keys[1].credentials[1].weight: {WEIGHT}",
        keys=uses('[{"name": "main", "weight": -0.1}, "spare"]'),
    ),
    Broken(
        "weight-of-a-use-infinite",
        f"keys.json:3: virtual_keys[1].credentials[1].weight: {WEIGHT}",
        keys=uses('[{"name": "main", "weight": 1e999}, "spare"]'),
    ),
    Broken(
        "name-is-the-key-of-a-credential",
        "keys.json:2: virtual_keys[1].name: must not hold a key: logs show it",
        keys='{"credentials": {"main": {"provider": "openai", "api_key": "hunter22"}},\n'
        '"virtual_keys": {"vk_one": {"credentials": ["main"], "name": "hunter22"}}}',
    ),
]

OF_A_PROVIDER = [
    Broken(
        "limits-a-number",
        "aiservices.json:2: openai.limits: must be an object, not a number",
        services=openai_with('"limits": 5'),
    ),
    Broken(
        "limits-misspelt",
        'aiservices.json:2: openai.limits: unknown field "inflight"; did you mean "in_flight"? Known fields: '
        "in_flight, queue, wait_s",
        services=openai_with('"limits": {"inflight": 5}'),
    ),
    Broken(
        "limit-zero",
        f"aiservices.json:2: openai.limits.in_flight: {COUNT}",
        services=openai_with('"limits": {"in_flight": 0}'),
    ),
    Broken(
        "limit-null",
        f"aiservices.json:2: openai.limits.in_flight: {COUNT}, not null",
        services=openai_with('"limits": {"in_flight": null}'),
    ),
    Broken(
        "queue-below-zero",
        f"aiservices.json:2: openai.limits.queue: {COUNT_FROM_0}",
        services=openai_with('"limits": {"queue": -1}'),
    ),
    Broken(
        "wait-of-nothing",
        f"aiservices.json:2: openai.limits.wait_s: {SECONDS}",
        services=openai_with('"limits": {"wait_s": 0}'),
    ),
    Broken(
        "breaking-misspelt",
        'aiservices.json:2: openai.breaking: unknown field "failure"; did you mean "failures"? Known fields: '
        "cooling_s, dead_share, enabled, failure_share, failures, longest_cooling_s, longest_open_s, "
        "longest_refused_open_s, open_s, probes, ramp_from, ramp_s, refusals, refused_open_s, trial_s, "
        "trials, volume, window_s",
        services=openai_with('"breaking": {"failure": 5}'),
    ),
    Broken(
        "breaking-share-in-percent",
        "aiservices.json:2: openai.breaking.failure_share: must be a number above 0 and not above 1",
        services=openai_with('"breaking": {"failure_share": 50}'),
    ),
    Broken(
        "breaking-longer-than-the-longest",
        'aiservices.json:3: openai.breaking.open_s: must not be above "longest_open_s", which is 30',
        services=openai_with('"breaking": {\n"open_s": 60}'),
    ),
    Broken(
        "breaking-longest-below-the-first",
        'aiservices.json:3: openai.breaking.longest_cooling_s: must not be below "cooling_s", which is 1',
        services=openai_with('"breaking": {\n"longest_cooling_s": 0.5}'),
    ),
    Broken(
        "retry-share-above-one",
        "aiservices.json:2: openai.retry_share: must be a number from 0 to 1",
        services=openai_with('"retry_share": 2'),
    ),
    Broken(
        "retry-reserve-a-fraction",
        f"aiservices.json:2: openai.retry_reserve: {COUNT_FROM_0}",
        services=openai_with('"retry_reserve": 0.5'),
    ),
]

FOR_ALL = [
    Broken(
        "routing-misspelt",
        'aiservices.json:2: top level: unknown field "$ruoting"; did you mean "$routing"? Known fields: $routing, '
        "$schema",
        services='{"openai": "https://api.openai.com/v1/chat/completions",\n"$ruoting": {}}',
    ),
    Broken(
        "routing-a-url",
        "aiservices.json:2: $routing: must be an object, not a string",
        services='{"openai": "https://api.openai.com/v1/chat/completions",\n"$routing": "https://a.example"}',
    ),
    Broken(
        "routing-twice",
        "aiservices.json:2: $routing: is given twice; first on line 1",
        services='{"$routing": {}, "openai": "https://api.openai.com/v1/chat/completions",\n"$routing": {}}',
    ),
    Broken(
        "routing-with-unknown-field",
        'aiservices.json:3: $routing: unknown field "retry"; did you mean "retries"? Known fields: explore, hedging, '
        "models, retries, sticky, strategy, usual_s",
        services=routing('"retry": {}'),
    ),
    Broken(
        "strategy-misspelt",
        'aiservices.json:3: $routing.strategy: unknown strategy "least_bussy"; did you mean "least_busy"? Known '
        "strategies: cheapest, fastest, in_order, least_busy, weighted",
        services=routing('"strategy": "least_bussy"'),
    ),
    Broken(
        "sticky-a-string",
        "aiservices.json:3: $routing.sticky: must be true or false, not a string",
        services=routing('"sticky": "yes"'),
    ),
    Broken(
        "explore-in-percent",
        "aiservices.json:3: $routing.explore: must be a number from 0 to 1",
        services=routing('"explore": 5'),
    ),
    Broken(
        "attempts-beyond-reason",
        "aiservices.json:3: $routing.retries.attempts: must be a whole number from 1 to 20",
        services=routing('"retries": {"attempts": 21}'),
    ),
    Broken(
        "attempts-none",
        "aiservices.json:3: $routing.retries.attempts: must be a whole number from 1 to 20",
        services=routing('"retries": {"attempts": 0}'),
    ),
    Broken(
        "again-beyond-reason",
        "aiservices.json:3: $routing.retries.again: must be a whole number from 0 to 10",
        services=routing('"retries": {"again": 11}'),
    ),
    Broken(
        "patience-below-zero",
        "aiservices.json:3: $routing.retries.patience_s: must be a number of seconds from 0 to 86400",
        services=routing('"retries": {"patience_s": -1}'),
    ),
    Broken(
        "repeat-misspelt",
        'aiservices.json:3: $routing.retries.repeat: unknown policy "generation"; did you mean "generations"? Known '
        "policies: all, generations, safe",
        services=routing('"retries": {"repeat": "generation"}'),
    ),
    Broken(
        "first-wait-longer-than-the-longest",
        'aiservices.json:4: $routing.retries.first_wait_s: must not be above "longest_wait_s", which is 8',
        services=routing('"retries": {\n"first_wait_s": 9}'),
    ),
    Broken(
        "hedging-without-a-time",
        'aiservices.json:3: $routing.hedging: needs a field "after_s"',
        services=routing('"hedging": {"share": 0.1}'),
    ),
    Broken(
        "hedging-of-nothing",
        "aiservices.json:3: $routing.hedging.share: must be a number above 0 and not above 1",
        services=routing('"hedging": {"after_s": 1, "share": 0}'),
    ),
]

MODELS = [
    Broken(
        "routed-models-a-list",
        "aiservices.json:3: $routing.models: must be an object, not a list",
        services=routing('"models": ["fast"]'),
    ),
    Broken(
        "routed-model-a-string",
        "aiservices.json:3: $routing.models.fast: must be an object, not a string",
        services=routing('"models": {"fast": "openai/gpt-5.4-mini"}'),
    ),
    Broken(
        "routed-model-says-nothing",
        'aiservices.json:3: $routing.models.fast: says nothing: give it "targets", "fallbacks", "strategy" or "sticky"',
        services=model(""),
    ),
    Broken(
        "routed-model-with-star",
        'aiservices.json:3: $routing.models.gpt-*: must be a whole name: "*" stands for nothing here',
        services=routing('"models": {"gpt-*": {"sticky": true}}'),
    ),
    Broken(
        "routed-model-with-space-at-its-end",
        "aiservices.json:3: $routing.models.fast : the name of a model is 1 to 256 printable characters, with no space "
        "at either end",
        services=routing('"models": {"fast ": {"sticky": true}}'),
    ),
    Broken(
        "routed-model-twice",
        "aiservices.json:4: $routing.models.fast: is given twice; first on line 3",
        services=routing('"models": {"fast": {"sticky": true},\n"fast": {"sticky": false}}'),
    ),
    Broken(
        "routed-model-with-unknown-field",
        'aiservices.json:3: $routing.models.fast: unknown field "target"; did you mean "targets"? Known fields: '
        "fallbacks, sticky, strategy, targets",
        services=model('"target": "openai/gpt-5.4-mini"'),
    ),
    Broken(
        "targets-a-string",
        "aiservices.json:3: $routing.models.fast.targets: must be a list of targets, not a string",
        services=model('"targets": "openai/gpt-5.4-mini"'),
    ),
    Broken(
        "targets-none",
        "aiservices.json:3: $routing.models.fast.targets: must not be empty",
        services=model('"targets": []'),
    ),
    Broken(
        "target-without-provider",
        'aiservices.json:4: $routing.models.fast.targets[2]: must be "provider/model", or an object',
        services=model('"targets": ["openai/gpt-5.4-mini",\n"gpt-5.4-nano"]'),
    ),
    Broken(
        "target-a-number",
        'aiservices.json:3: $routing.models.fast.targets[1]: must be "provider/model" or an object, not a number',
        services=model('"targets": [5]'),
    ),
    Broken(
        "target-of-an-unknown-provider",
        'aiservices.json:3: $routing.models.fast.targets[1]: unknown provider "opnai"; did you mean "openai"? Known '
        "providers: openai",
        services=model('"targets": ["opnai/gpt-5.4-mini"]'),
    ),
    Broken(
        "target-of-a-misspelt-preset",
        'aiservices.json:3: $routing.models.fast.targets[1].provider: unknown provider "anthropc"; did you mean '
        '"anthropic"? Known providers: openai',
        services=model('"targets": [{"provider": "anthropc", "model": "claude-haiku-5-5"}]'),
    ),
    Broken(
        "target-of-a-preset-that-lacks-something",
        'aiservices.json:3: $routing.models.fast.targets[1]: "bedrock" needs "region" (the AWS region, such as '
        "us-east-1) in aiservices.json",
        services=model('"targets": ["bedrock/claude"]'),
    ),
    Broken(
        "target-without-model",
        'aiservices.json:3: $routing.models.fast.targets[1]: needs a field "model"',
        services=model('"targets": [{"provider": "openai"}]'),
    ),
    Broken(
        "target-with-star",
        'aiservices.json:3: $routing.models.fast.targets[1]: must be a whole name: "*" stands for nothing here',
        services=model('"targets": ["openai/gpt-*"]'),
    ),
    Broken(
        "target-twice",
        "aiservices.json:3: $routing.models.fast.targets[2]: is listed twice",
        services=model('"targets": ["openai/gpt", {"provider": "openai", "model": "gpt", "order": 1}]'),
    ),
    Broken(
        "weight-of-a-target-below-zero",
        f"aiservices.json:3: $routing.models.fast.targets[1].weight: {WEIGHT}",
        services=model('"targets": [{"provider": "openai", "model": "gpt", "weight": -1}]'),
    ),
    Broken(
        "fallbacks-a-string",
        "aiservices.json:3: $routing.models.fast.fallbacks: must be a list of fallbacks, not a string",
        services=model('"fallbacks": "smart"'),
    ),
    Broken(
        "fallbacks-none",
        "aiservices.json:3: $routing.models.fast.fallbacks: must not be empty",
        services=model('"fallbacks": []'),
    ),
    Broken(
        "fallback-a-number",
        "aiservices.json:3: $routing.models.fast.fallbacks[1]: must be the name of a model or an object, not a number",
        services=model('"fallbacks": [5]'),
    ),
    Broken(
        "fallback-to-itself",
        "aiservices.json:3: $routing.models.fast.fallbacks[2]: is the model itself",
        services=model('"fallbacks": ["smart", "fast"]'),
    ),
    Broken(
        "fallback-twice",
        "aiservices.json:3: $routing.models.fast.fallbacks[2]: is listed twice for the same outcomes",
        services=model('"fallbacks": ["smart", {"to": "smart", "on": ["silent"]}]'),
    ),
    Broken(
        "fallback-without-name",
        'aiservices.json:3: $routing.models.fast.fallbacks[1]: needs a field "to"',
        services=model('"fallbacks": [{"on": ["silent"]}]'),
    ),
    Broken(
        "fallback-on-a-misspelt-outcome",
        'aiservices.json:3: $routing.models.fast.fallbacks[1].on[2]: unknown outcome for a fallback "overlaoded"; did '
        f'you mean "overloaded"? Known outcomes for a fallback: {", ".join(sorted(LEADS_ON))}',
        services=model('"fallbacks": [{"to": "smart", "on": ["silent", "overlaoded"]}]'),
    ),
    Broken(
        "fallback-on-what-leads-nowhere",
        'aiservices.json:3: $routing.models.fast.fallbacks[1].on[1]: unknown outcome for a fallback "client_gone"; '
        f"known outcomes for a fallback: {', '.join(sorted(LEADS_ON))}",
        services=model('"fallbacks": [{"to": "smart", "on": ["client_gone"]}]'),
    ),
    Broken(
        "fallback-on-nothing",
        "aiservices.json:3: $routing.models.fast.fallbacks[1].on: must not be empty; without it, another model is "
        "asked where another candidate would be",
        services=model('"fallbacks": [{"to": "smart", "on": []}]'),
    ),
    Broken(
        "fallback-on-the-same-twice",
        "aiservices.json:3: $routing.models.fast.fallbacks[1].on[2]: is listed twice",
        services=model('"fallbacks": [{"to": "smart", "on": ["silent", "silent"]}]'),
    ),
    Broken(
        "strategy-of-a-model-misspelt",
        'aiservices.json:3: $routing.models.fast.strategy: unknown strategy "random"; known strategies: cheapest, '
        "fastest, in_order, least_busy, weighted",
        services=model('"strategy": "random"'),
    ),
]

ROUTING = CREDENTIALS + USES + OF_A_PROVIDER + FOR_ALL + MODELS


@pytest.mark.parametrize("broken", [pytest.param(broken, id=broken.name) for broken in ROUTING])
def test_wrong_setting_of_routing_is_explained(broken: Broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake is told with its file, its line, its place and what would be right."""
    monkeypatch.chdir(tmp_path)
    assert said_of(broken) == broken.says

"""A virtual key with several real ones: what becomes of its calls when one of these is refused."""

from __future__ import annotations

from pathlib import Path

from tests.real.provider import Exchange, answer_bytes, answer_ok, running_provider
from tests.real.routing.stage import CHAT, stage

REFUSED = answer_bytes(
    b'{"error":{"message":"Incorrect API key.","code":"invalid_api_key"}}', status="401 Unauthorized"
)
ALERT = "somebody has to mend it"
CALLS = 12


def test_refused_real_key_costs_no_call_and_is_told_of_once(bin_dir: Path, tmp_path: Path) -> None:
    """The other one of the provider is asked; after three refusals the first is left alone, until somebody mends it."""

    def mind_the_key(exchange: Exchange) -> None:
        if exchange.request.value("authorization") == "Bearer sk-real-revoked":
            exchange.send(REFUSED)
        else:
            answer_ok(exchange)

    with (
        running_provider(mind_the_key) as provider,
        stage(
            bin_dir,
            tmp_path,
            providers={"main": {"url": f"{provider.url}{CHAT}"}},
            credentials={name: {"provider": "main"} for name in ("revoked", "valid")},
            keys={"vk_two": ["revoked", "valid"], "vk_none": ["revoked"]},
        ) as staged,
    ):
        answers = staged.calls(CALLS, "vk_two")
        assert [answer.status for answer in answers] == [200] * CALLS
        assert [answer.value("x-gw-attempts") for answer in answers] == ["2"] * 3 + ["1"] * (CALLS - 3)
        refused = [seen for seen in provider.seen if seen.value("authorization") == "Bearer sk-real-revoked"]
        assert len(refused) == 3
        staged.told("credential revoked is left alone, and somebody has to mend it: 3 times in a row: key refused")
        assert len(staged.lines_with(ALERT)) == 1

        shown = staged.health("main")
        assert shown["state"] == "closed"
        assert [(each["credential"], each["model"], each["state"]) for each in shown["out"]] == [
            ("revoked", None, "open")
        ]
        shown = staged.page("/v1/gateway/route?model=m-1", "vk_two")["candidates"]
        revoked, valid = sorted(shown, key=lambda each: each["credential"])
        assert (revoked["in"], valid["in"]) == (False, True)
        assert "key refused" in revoked["reason"]

        # So far it is one virtual key's failures. The first call of another shows that it is not the caller.
        assert staged.call("vk_none").status == 401
        # Now whoever has only that one is refused without asking anybody.
        sent = len(provider.seen)
        answer = staged.call("vk_none")
        assert (answer.status, answer.value("x-gw-error"), len(provider.seen)) == (503, "no_provider_available", sent)

        # Somebody mends it: what was learnt of the old real key does not count for the new one.
        file = tmp_path / "keys.json"
        file.write_text(file.read_text().replace("sk-real-revoked", "sk-real-mended"))
        staged.reload()
        assert staged.call("vk_none").status == 200
        assert provider.seen[-1].value("authorization") == "Bearer sk-real-mended"
        assert staged.health("main")["out"] == []

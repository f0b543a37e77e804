"""Opening the account of a call. It is loaded where calls are counted, with all that reads what they use."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING

from twisted.web.server import Request

from llm_gateway.core.usage.foreseen import Foreseen, foreseen
from llm_gateway.core.usage.kinds import Kind, kind_of
from llm_gateway.web.allowances import ToldLimits
from llm_gateway.web.call_account import CallAccount
from llm_gateway.web.context import CallContext
from llm_gateway.web.grants import Grant
from llm_gateway.web.request_body import RequestBody

if TYPE_CHECKING:
    from llm_gateway.web.accounts import Books
    from llm_gateway.web.routes import Plan

__all__ = ["ToldLimits", "opened"]

_KEPT_BYTES = 16_384
"""Of a request, which is kept until its answer has come, in case that this does not say how many tokens it had."""

_UNSEEN = Foreseen(0)
"""Of an upload."""

_TEXTS = frozenset({Kind.TEXT, Kind.READING})

_BYTES_PER_TOKEN = 3


def opened(
    books: Books, request: Request, context: CallContext, grant: Grant, plan: Plan, body: RequestBody
) -> CallAccount:
    """
    :raises GatewayError: a limit does not let the call in, or nobody knows what it would cost.
    """
    whole = body.look()
    expected, readable = _UNSEEN, True
    if whole is not None:
        api, method = context.route.asked.api, request.method
        expected = foreseen(whole, api, context.dialect.name, method=method, path=context.path)
    if not expected.input and expected.output is None:
        expected, readable = _by_weight(request, context, whole), False
    labels = books.labels.of(request, whole, grant.key.labels)
    kept = whole if readable and isinstance(whole, bytes) and len(whole) <= _KEPT_BYTES else None
    background = bool(grant.budgeted or books.of_credentials) and body.in_background()
    account = CallAccount(books, context, grant, plan, expected, labels, kept, background=background)
    if grant.limits:
        account.reserve(body)
    return account


def _by_weight(request: Request, context: CallContext, whole: Sized | None) -> Foreseen:
    """
    Of what cannot be read, since it is compressed, in another encoding than JSON's, or passed on while it comes: it is
    not free for that.
    """
    if kind_of(request.method, context.route.asked.api, context.path) not in _TEXTS:
        return _UNSEEN
    said = request.getHeader(b"content-length") or b""
    size = len(whole) if whole is not None else int(said) if said.isdigit() else 0
    return Foreseen(size // _BYTES_PER_TOKEN)

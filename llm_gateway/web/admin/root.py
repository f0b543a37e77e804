"""The admin API at an address of its own."""

from __future__ import annotations

from typing import cast

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.core.record import OK
from llm_gateway.issuing.faults import NothingThere
from llm_gateway.web.access_log import AccessLog
from llm_gateway.web.admin.app import PATH, refuse
from llm_gateway.web.context import context_of
from llm_gateway.web.front import FrontResource
from llm_gateway.web.grants import GrantBook
from llm_gateway.web.health import livez_page

__all__ = ["admin_root"]


def admin_root(admin: IResource, grants: GrantBook, clock: IReactorTime, log: AccessLog | None) -> IResource:
    """
    :param admin: an ``AdminResource``.
    :return: the root of a site that has nothing else but ``/livez``.
    """
    only = _OnlyAdmin(admin)
    return FrontResource(only, only, grants, clock, log)


class _OnlyAdmin(Resource):
    isLeaf = True

    def __init__(self, admin: IResource) -> None:
        super().__init__()
        self._admin = admin

    def render(self, request: Request) -> bytes | int:
        context = context_of(request)
        if is_admin_path(context.path):
            return cast(int, self._admin.render(request))
        if context.path == b"/livez" and request.method in (b"GET", b"HEAD"):
            body = livez_page(request)
            context.record.status = 200
            context.settle(OK)
            return body
        refuse(request, NothingThere("There is nothing at this path. This address is for the admin API alone."))
        return NOT_DONE_YET


def is_admin_path(path: bytes) -> bool:
    """:return: whether the path is below ``/admin/v1``, or that itself."""
    return path == PATH.encode() or path.startswith(PATH.encode() + b"/")

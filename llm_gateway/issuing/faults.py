"""Why a key cannot be made or changed, or the admin API not be used, and how that looks on the wire.

::

    Fault
    |-- BadQuestion         400, the request makes no sense
    |   |-- TooLarge        413
    |   `-- NotJson         415
    |-- NotAdmitted         401, no admin key, or none that is known
    |-- InvalidEntry        400, such an entry would not do in keys.json either
    |-- NothingThere        404
    |   `-- NoSuchKey       404
    |-- WrongMethod         405
    |-- Conflict            409, things are not as they would have to be
    |   |-- KeptInFile      409, the key stands in keys.json, which its author edits
    |   |-- NameInUse       409
    |   |-- Revoked         409
    |   |-- StillWorking    409
    |   `-- FilesRefused    409, the files cannot be used as they are now
    |-- Changed             412, somebody else was faster
    |-- Unavailable         503, the database does not answer
    `-- Broken              500, a fault of ours

None of these is answered to a caller of models; those are in ``llm_gateway.errors``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "BadQuestion",
    "Broken",
    "Changed",
    "Conflict",
    "Fault",
    "FilesRefused",
    "InvalidEntry",
    "KeptInFile",
    "NameInUse",
    "NoSuchKey",
    "NotAdmitted",
    "NotJson",
    "NothingThere",
    "Revoked",
    "StillWorking",
    "TooLarge",
    "Unavailable",
    "WrongMethod",
]


class Fault(Exception):
    """Something that an operator asked for was not done. Nothing was changed."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal_error"
    """The body's ``code`` and the header ``x-gw-error``."""
    type: ClassVar[str] = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        """
        :param message: what is wrong and what to do about it; holds no key.
        :param param: the field or parameter that is at fault.
        :param headers: of the answer.
        """
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers = dict(headers or {})


class BadQuestion(Fault):
    """The request cannot be understood."""

    status = 400
    kind = "bad_request"


class TooLarge(BadQuestion):
    """Its body is over the limit."""

    status = 413
    kind = "request_too_large"


class NotJson(BadQuestion):
    """Its body is of another type than JSON."""

    status = 415
    kind = "unsupported_media_type"


class NotAdmitted(Fault):
    """No admin key was sent, or one that is not known. Virtual keys are not."""

    status = 401
    kind = "invalid_admin_key"
    type = "authentication_error"


class InvalidEntry(Fault):
    """The entry of a virtual key is wrong. The message holds all that is."""

    status = 400
    kind = "invalid_entry"


class NothingThere(Fault):
    """There is nothing at this path."""

    status = 404
    kind = "not_found"


class NoSuchKey(NothingThere):
    """No virtual key has this id."""

    kind = "key_not_found"


class WrongMethod(Fault):
    """The path exists and does not take this method."""

    status = 405
    kind = "method_not_allowed"


class Conflict(Fault):
    """Things are not as they would have to be."""

    status = 409
    kind = "conflict"


class KeptInFile(Conflict):
    """The key stands in ``keys.json``, and nobody but its author changes that file."""

    kind = "key_of_file"


class NameInUse(Conflict):
    """Another key has this name, here or in ``keys.json``."""

    kind = "name_taken"


class Revoked(Conflict):
    """The key is revoked, for good."""

    kind = "key_revoked"


class StillWorking(Conflict):
    """The key is not revoked, and must be before it is deleted."""

    kind = "key_not_revoked"


class FilesRefused(Conflict):
    """The files cannot be used as they are now; what was read before stays in use."""

    kind = "configuration_refused"


class Changed(Fault):
    """The key is of another version than the one that was meant to be changed."""

    status = 412
    kind = "version_changed"


class Unavailable(Fault):
    """The database cannot be reached, or is busy for too long. The same may work in a moment."""

    status = 503
    kind = "database_unavailable"
    type = "server_error"


class Broken(Fault):
    """A fault of the gateway's own. The log has the details under the request id."""

    type = "server_error"

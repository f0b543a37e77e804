"""What an operator may have done where more than one thing is right."""

from __future__ import annotations

from enum import Enum

__all__ = ["OnDisconnect", "OnUnpriced"]


class OnDisconnect(Enum):
    """What is done where the client leaves before the end of an answer."""

    ABORT_AND_ESTIMATE = "abort_and_estimate"
    """The provider's connection is closed at once; what it has written is estimated."""
    DRAIN_AND_BILL = "drain_and_bill"
    """The answer is read to its end, within bounds, so that the provider's own numbers are known."""


class OnUnpriced(Enum):
    """What becomes of a call for a model without a price where a budget counts."""

    REFUSE = "refuse"
    ALLOW = "allow"
    """It is made, and counted as free of charge."""

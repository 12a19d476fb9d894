# SPDX-License-Identifier: Apache-2.0
"""Client of the Buckler content-safety daemon."""

from ._aio import AsyncClient
from ._client import Client
from ._errors import (
    BucklerError,
    DisconnectedError,
    InvalidRequestError,
    NoReplyError,
    ProtocolError,
    RefusedError,
)
from ._wire import Part, Score, Verdict

__all__ = [
    "AsyncClient",
    "BucklerError",
    "Client",
    "DisconnectedError",
    "InvalidRequestError",
    "NoReplyError",
    "Part",
    "ProtocolError",
    "RefusedError",
    "Score",
    "Verdict",
]

# SPDX-License-Identifier: Apache-2.0
"""What can go wrong. None of these is a verdict: treat each as "not allowed"."""


class BucklerError(Exception):
    """Base of all errors of this package."""


class InvalidRequestError(BucklerError, ValueError):
    """The request breaks a rule of the protocol; nothing was sent."""


class NoReplyError(BucklerError, TimeoutError):
    """No reply, or no connection, in time."""


class DisconnectedError(BucklerError, ConnectionError):
    """The connection broke again and again while the request was out."""


class RefusedError(BucklerError, PermissionError):
    """The daemon does not know this client: its uid or key is not listed."""


class ProtocolError(BucklerError):
    """A reply that no Buckler daemon sends."""

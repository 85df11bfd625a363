"""h2 as we use it: what it checks, what it tells clients of us, and where it is kept from walking in circles."""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from tidegate.gateway.grpc.settings import GrpcSettings
from tidegate.protocol.limits import Limits

_CONFIG = H2Configuration(
    client_side=False,
    header_encoding=False,  # headers as bytes: decoding them is what ends other servers
    validate_inbound_headers=False,  # a call's head is checked where it can be answered
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)
_WINDOW = 65_535
"""Bytes that a connection's window begins with, which can only be widened (RFC 9113, section 6.9.2)."""
_WALK = 64
"""New streams after which h2 drops the closed ones."""


class _H2(H2Connection):
    """h2 walks through all streams of a connection at each new one, to count the open ones and to drop the closed.

    Open ones are counted by the transport, so that the walk is needed only now and then: with a thousand calls open
    it took a millisecond for each new one.
    """

    _unwalked = 0

    @property
    def open_inbound_streams(self) -> int:
        self._unwalked += 1
        if self._unwalked >= _WALK:
            self._unwalked = 0
            return super().open_inbound_streams
        return 0


def introduced(settings: GrpcSettings, limits: Limits) -> H2Connection:
    """A connection that tells the client our settings, and enforces others where we answer a breach ourselves."""
    h2 = _H2(config=_CONFIG)
    told = {
        SettingCodes.MAX_CONCURRENT_STREAMS: settings.max_concurrent_streams,
        SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_bytes,
        SettingCodes.MAX_FRAME_SIZE: settings.max_frame_bytes,
        SettingCodes.INITIAL_WINDOW_SIZE: settings.window_bytes,
    }
    h2.local_settings = Settings(client=False, initial_values=told)
    h2.max_inbound_frame_size = settings.max_frame_bytes
    h2.initiate_connection()
    if settings.window_bytes > _WINDOW:
        h2.increment_flow_control_window(settings.window_bytes - _WINDOW)
    # A client may open more streams before it has read our settings; h2 would end the connection for it, where we
    # refuse the one stream. A header list somewhat too big is answered too.
    h2.local_settings = Settings(client=False, initial_values={**told, SettingCodes.MAX_CONCURRENT_STREAMS: 2**31 - 1})
    h2.decoder.max_header_list_size = largest_block(limits)
    return h2


def largest_block(limits: Limits) -> int:
    """Bytes of a call's headers, packed or unpacked, beyond which the connection ends instead of the call."""
    return 4 * limits.max_header_bytes

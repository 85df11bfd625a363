"""v2 over gRPC: bytes to values and back. The transport that carries the bytes is the gateway's and the client's.

Outside of this package only gateway and client touch the generated messages: the small ones of health and reflection.
"""

from tidegate.protocol.generated import descriptor_set
from tidegate.protocol.grpc.documents import (
    check_empty_request,
    decode_model_metadata,
    decode_model_ready,
    decode_model_request,
    decode_server_live,
    decode_server_metadata,
    decode_server_ready,
    encode_model_metadata,
    encode_model_ready,
    encode_model_request,
    encode_server_live,
    encode_server_metadata,
    encode_server_ready,
    parse_message,
)
from tidegate.protocol.grpc.infer import (
    ParsedRequest,
    decode_infer_request,
    decode_infer_response,
    decode_parsed_request,
    decode_stream_response,
    encode_infer_request,
    encode_infer_response,
    encode_stream_error,
    encode_stream_response,
    parse_infer_request,
)
from tidegate.protocol.grpc.repository import (
    decode_index,
    decode_index_request,
    decode_repository_request,
    encode_configuration,
    encode_index,
    encode_index_request,
    encode_load_request,
    encode_repository_response,
    encode_unload_request,
)
from tidegate.protocol.grpc.retry_info import decode_retry_delay
from tidegate.protocol.grpc.statistics import (
    decode_statistics,
    decode_statistics_request,
    encode_statistics,
    encode_statistics_request,
)

__all__ = [
    "ParsedRequest",
    "check_empty_request",
    "decode_index",
    "decode_index_request",
    "decode_infer_request",
    "decode_infer_response",
    "decode_model_metadata",
    "decode_model_ready",
    "decode_model_request",
    "decode_parsed_request",
    "decode_repository_request",
    "decode_retry_delay",
    "decode_server_live",
    "decode_server_metadata",
    "decode_server_ready",
    "decode_statistics",
    "decode_statistics_request",
    "decode_stream_response",
    "descriptor_set",
    "encode_configuration",
    "encode_index",
    "encode_index_request",
    "encode_infer_request",
    "encode_infer_response",
    "encode_load_request",
    "encode_model_metadata",
    "encode_model_ready",
    "encode_model_request",
    "encode_repository_response",
    "encode_server_live",
    "encode_server_metadata",
    "encode_server_ready",
    "encode_statistics",
    "encode_statistics_request",
    "encode_stream_error",
    "encode_stream_response",
    "encode_unload_request",
    "parse_infer_request",
    "parse_message",
]

"""Asking a server of the Open Inference Protocol v2 from Python, over HTTP or gRPC, with one vocabulary for both."""

from tidegate.client.answers import ConnectionLost, ServerUnreachable
from tidegate.client.asynchronous import AsyncClient
from tidegate.client.blocking import Client
from tidegate.client.result import InferResult
from tidegate.client.retry import NO_RETRIES, RetryPolicy
from tidegate.client.settings import ClientSettings

__all__ = [
    "NO_RETRIES",
    "AsyncClient",
    "Client",
    "ClientSettings",
    "ConnectionLost",
    "InferResult",
    "RetryPolicy",
    "ServerUnreachable",
]

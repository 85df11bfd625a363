"""Asking a server from Python: its models over the Open Inference Protocol v2, by HTTP or gRPC with one vocabulary for
both (Client, AsyncClient), and what it serves as resources (Resources, AsyncResources)."""

from tidegate.client.answers import ConnectionLost, ServerUnreachable
from tidegate.client.async_resources import AsyncResources
from tidegate.client.asynchronous import AsyncClient
from tidegate.client.blocking import Client
from tidegate.client.resource_calls import Listing, LogLine, ResourceChange, Selection, Tried, Written
from tidegate.client.resource_type import ResourceType
from tidegate.client.resources import Resources
from tidegate.client.result import InferResult
from tidegate.client.retry import NO_RETRIES, RetryPolicy
from tidegate.client.settings import ClientSettings
from tidegate.client.status import Cause, Rejected

__all__ = [
    "NO_RETRIES",
    "AsyncClient",
    "AsyncResources",
    "Cause",
    "Client",
    "ClientSettings",
    "ConnectionLost",
    "InferResult",
    "Listing",
    "LogLine",
    "Rejected",
    "ResourceChange",
    "ResourceType",
    "Resources",
    "RetryPolicy",
    "Selection",
    "ServerUnreachable",
    "Tried",
    "Written",
]

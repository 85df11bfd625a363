"""Asking a server of the Open Inference Protocol v2 from Python, over HTTP or gRPC, with one vocabulary for both."""

from tidegate.client.grpc import GrpcClient
from tidegate.client.http import HttpClient

__all__ = ["GrpcClient", "HttpClient"]

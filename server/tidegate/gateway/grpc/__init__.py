"""The listener for gRPC: HTTP/2 frames to calls, calls to answers, health and reflection."""

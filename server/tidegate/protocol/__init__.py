"""The wire, without I/O: tensors, messages, codecs of v2 (JSON, binary, gRPC) and v1, limits and the error tree.

Bytes go in, values come out, and the other way round. Nothing here knows a socket, a task, a clock or a
model. Every transport and every process of tidegate speaks in these words.
"""

"""Message classes of the gRPC services, built from a serialized descriptor set instead of generated code.

They live in a pool of their own: tritonclient and KServe's client register messages of the same names in protobuf's
default pool, and one process may hold both. Nor is there a version stamp: the set is read by every protobuf runtime.

``scripts/generate-protocol`` makes ``open_inference.binpb`` and the ``.pyi`` files from the ``.proto`` files here.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass


@cache
def descriptor_set() -> bytes:
    """The serialized FileDescriptorSet of every file here."""
    return (files(__package__) / "open_inference.binpb").read_bytes()


@cache
def pool() -> DescriptorPool:
    """The pool that holds them, made on first use."""
    made = DescriptorPool()
    for file in FileDescriptorSet.FromString(descriptor_set()).file:
        made.Add(file)
    return made


def messages(file: str) -> dict[str, type[Message]]:
    """The top-level message classes of one ``.proto`` file, by name."""
    found = pool().FindFileByName(file).message_types_by_name
    return {name: GetMessageClass(descriptor) for name, descriptor in found.items()}

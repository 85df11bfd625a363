"""gRPC's server reflection: what services there are, and the descriptors that grpcurl and its kin build calls from.

v1 and v1alpha differ in their name alone. Source: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from tidegate.gateway.grpc.calls import Call, Methods, Streaming
from tidegate.protocol.errors import GrpcStatus, shown
from tidegate.protocol.generated import reflection as pb
from tidegate.protocol.grpc import descriptor_set, parse_message
from tidegate.protocol.tensors import Buffer


class Reflection:
    """Answers from the descriptor set that the messages themselves are built from."""

    def __init__(self) -> None:
        files = FileDescriptorSet.FromString(descriptor_set()).file
        self._files = {file.name: file.SerializeToString() for file in files}
        self._symbols = {symbol: file.name for file in files for symbol in symbols(file)}
        self._services = sorted(f"{file.package}.{service.name}" for file in files for service in file.service)

    def methods(self) -> Methods:
        versions = (b"v1", b"v1alpha")
        path = b"/grpc.reflection.%s.ServerReflection/ServerReflectionInfo"
        return {path % version: Streaming(self.info) for version in versions}

    async def info(self, messages: AsyncIterator[Buffer], call: Call) -> AsyncGenerator[bytes, None]:
        """One answer per question; a question that cannot be answered does not end the stream."""
        async for message in messages:
            request = parse_message(pb.ServerReflectionRequest, message)
            response = self._answer(request)
            response.valid_host = request.host
            response.original_request.CopyFrom(request)
            yield response.SerializeToString()

    def _answer(self, request: pb.ServerReflectionRequest) -> pb.ServerReflectionResponse:
        kind = request.WhichOneof("message_request")
        if kind == "list_services":
            services = [pb.ServiceResponse(name=name) for name in self._services]
            return pb.ServerReflectionResponse(list_services_response=pb.ListServiceResponse(service=services))
        if kind == "file_by_filename":
            return self._file(request.file_by_filename, request.file_by_filename)
        if kind == "file_containing_symbol":
            symbol = request.file_containing_symbol
            return self._file(self._symbols.get(symbol.lstrip("."), ""), symbol)
        if kind == "all_extension_numbers_of_type":
            name = request.all_extension_numbers_of_type
            if name in self._symbols:  # proto3 has no extensions, so that every type of ours has none
                numbers = pb.ExtensionNumberResponse(base_type_name=name)
                return pb.ServerReflectionResponse(all_extension_numbers_response=numbers)
            return refused(GrpcStatus.NOT_FOUND, f"'{shown(name)}' is not found")
        if kind == "file_containing_extension":
            name = request.file_containing_extension.containing_type
            return refused(GrpcStatus.NOT_FOUND, f"'{shown(name)}' has no extensions")
        return refused(GrpcStatus.INVALID_ARGUMENT, "the reflection request asks nothing")

    def _file(self, name: str, wanted: str) -> pb.ServerReflectionResponse:
        file = self._files.get(name)
        if file is None:
            return refused(GrpcStatus.NOT_FOUND, f"'{shown(wanted)}' is not found")
        found = pb.FileDescriptorResponse(file_descriptor_proto=[file])
        return pb.ServerReflectionResponse(file_descriptor_response=found)


def refused(status: GrpcStatus, text: str) -> pb.ServerReflectionResponse:
    error = pb.ErrorResponse(error_code=status.value, error_message=text)
    return pb.ServerReflectionResponse(error_response=error)


def symbols(file: FileDescriptorProto) -> Iterator[str]:
    """The full names of a file's services, methods, messages, fields and enums."""
    for service in file.service:
        name = f"{file.package}.{service.name}"
        yield name
        yield from (f"{name}.{method.name}" for method in service.method)
    yield from _within(file.package, file.message_type)


def _within(scope: str, messages: Iterable[DescriptorProto]) -> Iterator[str]:
    for message in messages:
        name = f"{scope}.{message.name}"
        yield name
        yield from (f"{name}.{field.name}" for field in message.field)
        yield from (f"{name}.{enum.name}" for enum in message.enum_type)
        yield from _within(name, message.nested_type)

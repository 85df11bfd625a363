"""The message classes: the committed set is what the .proto files say, and it lives beside other clients' messages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import Default

import tidegate.protocol.generated as generated
from tidegate.protocol.generated import health, reflection
from tidegate.protocol.generated import open_inference as pb

FOLDER = Path(generated.__file__).parent
PROTOS = ["open_inference.proto", "health.proto", "reflection.proto", "reflection_v1alpha.proto"]


def protoc(*arguments: str) -> None:
    """Run the compiler in a process of its own: in one that has imported TensorFlow, it crashes."""
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed: it holds protoc")
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{FOLDER}", *arguments], check=True)


def test_the_committed_set_is_what_the_proto_files_compile_to(tmp_path: Path) -> None:
    """Who changes a .proto file and forgets scripts/generate-protocol learns it here."""
    made = tmp_path / "made.binpb"
    protoc(f"--descriptor_set_out={made}", *PROTOS)
    assert FileDescriptorSet.FromString(made.read_bytes()) == FileDescriptorSet.FromString(generated.descriptor_set())


@pytest.mark.parametrize("stub", ["open_inference", "health", "reflection"])
def test_the_committed_stubs_are_what_the_proto_files_compile_to(tmp_path: Path, stub: str) -> None:
    """Type checkers see the messages that run."""
    protoc(f"--pyi_out={tmp_path}", f"{stub}.proto")
    assert (tmp_path / f"{stub}_pb2.pyi").read_text() == (FOLDER / f"{stub}.pyi").read_text()


def test_the_messages_are_not_in_the_default_pool() -> None:
    """tritonclient registers inference.ModelInferRequest there, and a second one of the name would be refused."""
    from tritonclient.grpc import service_pb2

    assert pb.ModelInferRequest.DESCRIPTOR.file.pool is not Default()
    assert service_pb2.ModelInferRequest.DESCRIPTOR.file.pool is Default()
    ours = pb.ModelInferRequest(model_name="iris").SerializeToString()
    assert service_pb2.ModelInferRequest.FromString(ours).model_name == "iris"


def _fields(file: FileDescriptorProto) -> dict[str, tuple[int, int, int, str]]:
    found = {}

    def walk(prefix: str, messages: object) -> None:
        for message in messages:  # type: ignore[attr-defined]
            for field in message.field:
                found[f"{prefix}{message.name}.{field.name}"] = (field.number, field.type, field.label, field.type_name)
            walk(f"{prefix}{message.name}.", message.nested_type)

    walk("", file.message_type)
    return found


def test_field_numbers_are_tritons() -> None:
    """Every field that both have is the same field on the wire, and what only we have is named here."""
    from tritonclient.grpc import model_config_pb2, service_pb2

    theirs_file, ours_file = FileDescriptorProto(), FileDescriptorProto()
    service_pb2.DESCRIPTOR.CopyToProto(theirs_file)
    their_config = FileDescriptorProto()
    model_config_pb2.DESCRIPTOR.CopyToProto(their_config)
    generated.pool().FindFileByName("open_inference.proto").CopyToProto(ours_file)
    theirs, ours = _fields(theirs_file) | _fields(their_config), _fields(ours_file)
    assert {name: ours[name] for name in ours.keys() & theirs.keys()} == {
        name: theirs[name] for name in ours.keys() & theirs.keys()
    }
    assert ours.keys() - theirs.keys() == {
        "ModelMetadataResponse.properties",
        "ModelMetadataResponse.PropertiesEntry.key",
        "ModelMetadataResponse.PropertiesEntry.value",
        "RepositoryModelLoadResponse.model_name",
        "RepositoryModelLoadResponse.is_loaded",
        "RepositoryModelUnloadResponse.model_name",
        "RepositoryModelUnloadResponse.is_unloaded",
    }


def test_methods_are_tritons() -> None:
    """Each rpc has the types and the streaming of Triton's of the same name."""
    from tritonclient.grpc import service_pb2

    def methods(service: object) -> dict[str, tuple[str, str, bool, bool]]:
        proto_methods = service.methods  # type: ignore[attr-defined]
        return {
            m.name: (m.input_type.full_name, m.output_type.full_name, m.client_streaming, m.server_streaming)
            for m in proto_methods
        }

    ours = methods(generated.pool().FindServiceByName("inference.GRPCInferenceService"))
    theirs = methods(service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"])
    assert ours.items() <= theirs.items()


def test_health_and_reflection_have_their_wire_names() -> None:
    """Clients address these services by their registered names, in both versions of reflection."""
    names = {
        f"{file.package}.{service.name}"
        for file in FileDescriptorSet.FromString(generated.descriptor_set()).file
        for service in file.service
    }
    assert names == {
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert health.HealthCheckResponse.SERVICE_UNKNOWN == 3
    assert reflection.ServerReflectionRequest(list_services="*").SerializeToString() == b"\x3a\x01*"

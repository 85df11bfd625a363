"""The messages of gRPC's health checking protocol."""

from tidegate.protocol.generated import messages

globals().update(messages("health.proto"))

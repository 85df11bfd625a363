"""The messages of gRPC's server reflection; v1alpha has the same on the wire."""

from tidegate.protocol.generated import messages

globals().update(messages("reflection.proto"))

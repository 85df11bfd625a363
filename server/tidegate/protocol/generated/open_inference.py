"""The messages of the Open Inference Protocol; ``open_inference.pyi`` lists them for type checkers."""

from tidegate.protocol.generated import messages

globals().update(messages("open_inference.proto"))

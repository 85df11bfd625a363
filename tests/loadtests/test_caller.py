"""The blocking caller reads whole answers, and takes nothing but 200 for one."""

from __future__ import annotations

import pytest

from tidegate.gateway.routes import Route
from tidegate.loadtests.caller import Caller, NotAnswered
from tidegate.loadtests.payload import http_body, http_message, sample_request
from tidegate.protocol import rest
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import Overloaded
from tidegate.protocol.limits import DEFAULT_LIMITS
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.testing.backends import IdentityBackend
from tidegate.testing.served import served

SPECS = (TensorSpec("x", Datatype.FP32, (-1, 50_000)),)
METADATA = ModelMetadata("m", "fake_test", SPECS, SPECS)


def test_an_answer_is_read_to_its_end() -> None:
    """One that comes in many pieces is whole, and the connection serves again."""
    request = sample_request("m", METADATA, 2, 0)
    body, length = http_body(request, False)
    with served(Route("m", "1", IdentityBackend(METADATA))) as server:
        message = http_message(server.url, "m", body, length, ("x-request-timeout-ms: 20000",))
        with Caller("127.0.0.1", server.port, message) as caller:
            answers = [rest.decode_response(caller.ask(), None, limits=DEFAULT_LIMITS) for _ in range(2)]
            assert len(caller.times(3)) == 3
    assert [bytes(answer.outputs[0].data) for answer in answers] == [bytes(request.inputs[0].data)] * 2


def test_a_refusal_is_no_answer() -> None:
    """A figure of errors would look good: the first one ends the run."""
    body, length = http_body(sample_request("m", METADATA, 1, 0), True)
    with served(Route("m", "1", IdentityBackend(METADATA, Overloaded("full")))) as server:
        message = http_message(server.url, "m", body, length)
        with (
            Caller("127.0.0.1", server.port, message) as caller,
            pytest.raises(NotAnswered, match="503"),
        ):
            caller.ask()

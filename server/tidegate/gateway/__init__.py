"""The data plane: listeners for HTTP and gRPC, admission, routing.

The listeners are thin. Everything from the codec on is shared, so that an answer does not depend on the door
that the request came in by.
"""

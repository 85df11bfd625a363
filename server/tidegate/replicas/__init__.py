"""Models in processes of their own: the supervisor, the gateway's half of the channel, and dispatch between the two.

A gateway never runs a model's code. It starts workers (``tidegate.runtimes.worker``), hands them requests over a Unix
socket and shared memory, and replaces them when they crash or hang, so that a model can harm nobody but itself.
"""

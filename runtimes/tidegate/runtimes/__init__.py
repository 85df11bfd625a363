"""What runs a model: the Runtime port, one module per framework, the worker process and its channel.

Everything here may stand in a process that loads a user's code, so it imports no web server, no gRPC and no
framework before it is asked for one. ``model`` and ``Context`` are what a custom model in Python needs of it.
"""

from tidegate.runtimes.custom import Context, model

__all__ = ["Context", "model"]

"""Shipped fakes: a backend without processes, models that misbehave on demand, a virtual-time event loop.

For the tests of tidegate and of whoever builds on it. The product never imports this package; the ``fake`` runtime
is found through its entry point like any other.
"""

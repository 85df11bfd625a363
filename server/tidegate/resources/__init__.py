"""Kinds of resources, as Kubernetes shapes them: their schema, defaults, validation and explanation. Pure.

The pydantic models are the one source: what a field means, its unit and its default, what KServe's fields become here,
the CRDs, the pages and every message are read off them. Nothing in the running server uses them yet.
"""

"""Resources: what is desired of the server, as Kubernetes shapes it, and the port to where it is kept. Pure.

The pydantic models of the kinds are the one source: what a field means, its unit and its default, what KServe's fields
become here, the CRDs, the pages and every message are read off them.
"""

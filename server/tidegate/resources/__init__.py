"""Resources: what is desired of the server, as Kubernetes-shaped documents, and the port to where they are kept. Pure.

Nothing in the running server uses it yet: the reconciler and the API that will are not written.
"""

"""The resource API: Kubernetes' REST paths over the Store, as kubectl and the Python clients ask for them.

``application`` is the door: it reads a request, asks ``identity`` whose it is and ``rights`` what he may do, and hands
it to one of the handlers, which are thin: what is decided (admission, ownership, patches, tables) is pure. What is
served is one table (``served``), from which paths, discovery, OpenAPI and columns are made.
"""

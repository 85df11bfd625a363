"""The Store of the laptop: resources in SQLite, in one file under a state directory that one process has.

``operations`` decides over a ``Ledger``, in one transaction; ``local`` makes the port of it, and tells ``watchers``
what was committed; ``sqlite`` is the ledger on disk. The fake of ``tidegate.testing`` differs in its ledger only.
"""

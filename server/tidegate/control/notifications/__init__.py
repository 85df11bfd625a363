"""Notifications: who is told of an occurrence, in which words, and how it gets there from the store's outbox.

What is decided is pure: ``subscriptions`` (who), ``slack``, ``teams``, ``standard_webhooks`` (in which form),
``outcome`` (what an answer means, when to try again). ``courier`` makes one attempt, ``sender`` is the task that
empties the outbox, ``trial`` tries the channels of a service on demand.
"""

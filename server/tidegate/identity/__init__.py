"""Who asks, and what he may do: credentials to an identity, an identity to rights and quotas.

Decisions are functions, the time an argument. The shells are thin: a file of keys, a set of an issuer's public keys,
the TLS context of a listener.
"""

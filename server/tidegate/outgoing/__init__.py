"""Requests that we make, to places that somebody else may have named: where they may go, and the one way there."""

"""Composition: which objects make a role of tidegate, who is wired to whom, in which order they start and stop."""

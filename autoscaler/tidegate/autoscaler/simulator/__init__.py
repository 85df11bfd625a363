"""Scaling policies played against workloads, in virtual time: what they would have cost, and who would have waited."""

"""Load for a server of the Open Inference Protocol v2: when requests come, what they ask, and what became of them.

It knows the server by its wire format only, so it measures Triton or KServe as well as tidegate.
"""

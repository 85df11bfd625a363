"""How many replicas a service is to have: policies as pure functions, and a simulator that plays them through."""

"""How many replicas each revision is to have, while it is used: the loop around the policies of ``autoscaler``."""

"""The listener for HTTP/1.1: requests of the data plane, and the pages of the status port."""

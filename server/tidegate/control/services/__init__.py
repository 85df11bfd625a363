"""Services: from what their manifests say to what runs, who gets the requests, and what is told of it."""

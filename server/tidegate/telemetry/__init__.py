"""What tidegate tells about itself: the one list of metrics, and logs."""

"""Where models lie: from a path to the models that are found there."""

"""Whether one revision does harm that another does not: counts in, a verdict with numbers and a sentence out. Pure."""

"""signatures: to be written."""

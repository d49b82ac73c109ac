"""tolerance: to be written."""

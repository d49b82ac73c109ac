"""robustness: to be written."""

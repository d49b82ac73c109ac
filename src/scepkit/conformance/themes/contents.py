"""contents: to be written."""

"""challenges: to be written."""

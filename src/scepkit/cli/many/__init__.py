"""`scepkit enrol-many`: as many certificates as a file has rows.

rows      the file of those who want one
journal   what is under way, so that nothing is lost or asked for twice
work      one row: from its key to its certificate
waiting   the rows whose requests are pending
run       all rows: so many at once, so many a second, and what came of them
"""

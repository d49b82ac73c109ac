"""A report in four forms: text for a terminal, JSON, JUnit XML, and a page of HTML.

The rule of this package: what a server sent is shown without its control characters, and escaped.
"""

"""Runs the pages of the documentation as they are written.

`pages` reads Markdown, `network` lets the host names of the pages lead to test CAs, `world` holds
what a page has around it, `running` runs the blocks.
"""

"""The tests, a file for each theme.

How a test is written: a function with a `Probe`, declared with `registry.check`, that returns a
verdict.  It sends as little as it needs; it quotes what the server said; where it cannot tell, it
says so.  A failure is a failure whatever the class: the runner makes warnings of those that are
only recommended.
"""

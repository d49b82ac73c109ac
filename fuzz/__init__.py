"""Fuzzing: what foreign bytes do to scepkit.  `scripts/fuzz` runs it; it is no part of the package.

harnesses   one module for each thing that reads foreign bytes; its first line is the invariant
grammar     damage that keeps ASN.1 whole
rebuilding  damage behind the signature and the encryption: what is changed is sealed again
bounds      how much time and memory an input may cost
target      the process that fuzzes one harness, guided by coverage
report      executions, edges and lines, and the corpus that is kept
"""

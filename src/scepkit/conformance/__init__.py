"""A conformance tester for every SCEP server: ``scepkit check URL``.

    registry    what a test is, and the list of all
    themes/     the tests, a file for each theme
    probe       what a test is given: the server, its certificates, keys, challenges, and the record
    messages    requests, right but for what a test changes
    cmsparts, crafted, ber
                CMS, certificates and requests put together field by field, right or wrong
    reading     replies taken apart, right or wrong
    runner      runs the tests and grades what they find
    report/     terminal, JSON, JUnit XML, HTML

The rule of this package: a test sends and looks; it believes nothing that it did not see, and says
"inconclusive" where it cannot tell.
"""

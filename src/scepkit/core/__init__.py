"""The protocol: bytes and values in, bytes and values out.

No I/O, no clock, no log: time is an argument, and conversations are generators.

    flows/, enrolment, url, http             a requester's conversations, and what they end with
    messages/, capabilities                  the messages; GetCACaps
    ca_replies, trust                        GetCACert as it came, and who vouches for it
    ca_certificates, ca_roles, chains        what then counts as the CA's, and for what
    csr, csr_builder, crl, certificates      PKCS#10, CRLs and certificates, as far as SCEP goes
    cms, envelope, signed                    SignedData, EnvelopedData, X.509's SIGNED
    key_transport, password, cbc, algorithms the content key, the content, the algorithms
    asn1, ber, strings, pem                  encodings
    names, dntext, sentnames                 names as text, and as devices send them
    shown, wording                           certificates, times and numbers for people
    inspect/                                 all of it read leniently, for people
"""

"""A SCEP CA as a server: HTTP in, use cases, HTTP out.

Needs the extra ``scepkit[server]``.  The rule of this package: everything behind HTTP is
synchronous code that is given the time; no use case knows who speaks HTTP, or which database it is.

Processes, and the way of a request through them:

    serve, signalling, notifying, binding    the supervisor: socket, signals, systemd
    processes, reloading, processors         the others, as it sees them
    worker, backend                          what runs in them
    listening, accepting, limits             connections, and how many
    app, asking, front, replies              addresses: which is answered by what
    publishing, monitoring                   CRLs and CA certificates; health and metrics
    bench, threads                           who works on a request

Use cases of SCEP:

    service                                  from bytes to bytes, of any operation
    offers                                   GetCACaps, GetCACert, GetNextCACert
    opening, passwords                       what is in a message
    case, records, checkpoints               what is known of a request while it is worked at
    enrolling, gate, keeping                 PKCSReq and RenewalReq: is it new, is it allowed
    auth_challenge, auth_static, auth_renewal, auth_program, webhook, verdicts
                                             who says so
    issuing, sealing                         the certificate, the CertRep
    polling, queries, standing               CertPoll, GetCert, GetCRL; how an operation stands
    auditing, describing, naming, pepper     the audit trail; requests as JSON; names; challenges

From settings to what can serve:

    settings, profile_settings, auth_settings, parsing, presets, reference
                                             what there is to set, and its reference
    assembly, deployment                     put together, and the whole
    roles, keyring, tokens                   CAs, RAs and their keys
    profiles, authorising                    rules for certificates; who may say yes
    cautions, examining                      what works but may not be meant; `check-config`

What it does without being asked, and tells of itself:

    background, jobs, crl_job                threads, passes, CRLs
    health, metrics, counting                how it is doing, in numbers
    logs, journal                            lines of the log

For operators:

    admin, notices, registry, pruning        decide, look up and export, shorten the audit trail
    plan, founding, founding_text, establishing, placing, adding
                                             new CAs
    rollover, succession, agents             the next generation of a CA, new keys of RAs
"""

"""Writes the table of faults in docs/mock.md: ``python -m tests.cli.faults_table``."""

from __future__ import annotations

import re
from pathlib import Path

from scepkit.testing import Fault

PAGE = Path(__file__).parent.parent.parent / "docs" / "mock.md"

_TABLE = re.compile(r"<!-- faults -->\n.*?<!-- end -->", re.DOTALL)
#: What each table is about, and with which fault it begins; in the order of `Fault`.
GROUPS = {
    "What the server says it can do": Fault.CAPS_404,
    "The CA's certificates": Fault.CA_CERT_404,
    "The way there and back": Fault.POST_405,
    "Whose reply it is": Fault.REPLY_UNSIGNED,
    "What the reply belongs to": Fault.RECIPIENT_NONCE_WRONG,
    "What the reply says": Fault.PKI_STATUS_MISSING,
    "The certificate": Fault.ISSUED_FOR_OTHER_KEY,
    "Refusals": Fault.EMPTY_ECONTENT_IN_FAILURE,
    "Waiting": Fault.PENDING_FOREVER,
    "Questions": Fault.QUERY_PENDING,
    "The next CA certificate": Fault.NEXT_CA_UNSIGNED,
}


def with_table(page: str) -> str:
    """The page with the table as the faults are now."""
    first = {fault: title for title, fault in GROUPS.items()}
    lines = ["<!-- faults -->"]
    for fault in Fault:
        if fault in first:
            lines += ["", f"### {first[fault]}", "", "| fault | the server | a right client |"]
            lines.append("|---|---|---|")
        right = f"{fault.right}. *{fault.ends}*"
        lines.append(f"| `{fault.plain_name}` | {fault.does} | {right} |")
    table = "\n".join([*lines, "", "<!-- end -->"])
    return _TABLE.sub(lambda _: table, page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), encoding="utf-8")

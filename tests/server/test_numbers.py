"""Security tests T52 to T78 and robustness tests T96 to T104, and each published weakness, by name.

What is tested stands in the tests; here only that none of them is lost.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NAMES = {
    name
    for path in TESTS.rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
}
PUBLISHED = [
    "vu_971035", "cve_2026_30836", "cve_2025_44005", "cve_2021_41987", "cve_2026_7668",
    "cve_2020_25276", "cve_2022_26921_and_26923", "cve_2020_25659_and_2023_50782", "mkcertweb",
    "ucm_0713858a", "ucm_b9b15018", "ucm_baa29050", "ucm_61b9975d", "openxpki",
    "dogtag_cve_2021_20179",
]  # fmt: skip


@pytest.mark.parametrize("number", [*range(52, 79), *range(96, 105)])
def test_a_number_of_the_list_has_a_test(number: int) -> None:
    assert any(f"_t{number}_" in name for name in NAMES)


@pytest.mark.parametrize("weakness", PUBLISHED)
def test_a_published_weakness_has_a_test(weakness: str) -> None:
    assert any(name.startswith(f"test_{weakness}_") for name in NAMES)

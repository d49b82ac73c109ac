"""The page about monitoring names every number there is, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scepkit.server.health import ServiceHealth
from scepkit.server.records import OperationRecord
from scepkit.store import open_store
from tests.server.service.world import World
from tests.server.serving import running

PAGE = (Path(__file__).parents[2] / "docs" / "server" / "monitoring.md").read_text("utf-8")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_store(f"sqlite:///{tmp_path}/scepkit.db", node="node1") as store:
        store.migrate()
        yield World.made(store)


def test_every_metric_is_on_the_page(world: World) -> None:
    world.crl()
    health = ServiceHealth(world.service)
    with running(
        world.service, clock=lambda: world.now, health=health, profile={"default": {}}
    ) as found:
        text = found.ask("/metrics").text
    there = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    # This CA has no RA.
    there.add("scep_ra_certificate_not_after_seconds")
    listed = set(re.findall(r"^\| `(scep_\w+)` \|", PAGE, re.MULTILINE))
    assert listed == there


def test_every_field_of_a_request_is_on_the_page() -> None:
    full = OperationRecord(
        profile="p",
        address="a",
        method="m",
        message_type="t",
        transaction_id="i",
        signer_key="k",
        cipher="c",
        key_transport="k",
        digest="d",
        status="s",
        fail_info="f",
        reason="r",
        replay="poll",
        by="b",
        operation=1,
        serial="1",
        subject="CN",
    )
    for name in full.fields():
        assert f"`{name}`" in PAGE, name

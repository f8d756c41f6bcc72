"""What a worker tells a gateway, and how it knows one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dimserver.gateway.contract import Facts, is_gateway
from dimserver.log import Log


def test_facts_of_a_worker_of_which_nothing_is_known() -> None:
    log = Log()
    facts = Facts(log=log)
    log.close()
    assert (facts.log, facts.server, facts.loop) == (log, ("localhost", 80), None)
    assert (facts.multithread, facts.multiprocess) == (False, False)


@pytest.mark.parametrize(
    ("handler", "is_one"),
    [
        (SimpleNamespace(interface="wsgi"), True),
        (SimpleNamespace(interface="asgi"), True),
        (SimpleNamespace(interface="native"), False),
        (SimpleNamespace(interface=len), False),
        (len, False),
    ],
)
def test_a_gateway_is_known_by_its_interface(handler: object, is_one: bool) -> None:
    assert is_gateway(handler) is is_one

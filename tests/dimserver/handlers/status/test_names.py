"""Names of coordinates."""

from __future__ import annotations

from dimcore import ConnectionPoolManifold
from dimcore.index import states
from dimserver.handlers.status.names import ADMIN_POOL, LAYERS, POOLS, STAGES, is_pool, pool_name


def test_names_are_those_of_the_core() -> None:
    assert states.LAYER_NAMES[1:] == LAYERS
    assert states.STAGE_NAMES[1:] == STAGES
    assert tuple(ConnectionPoolManifold().pools) == POOLS


def test_pools() -> None:
    assert [pool_name(spiral) for spiral in (0, 3, 5, 8, 63)] == ["http", "admin", "upstream", "spiral_8", "spiral_63"]
    assert [spiral for spiral in range(10) if not is_pool(spiral)] == [4, 5, 6, 7]
    assert POOLS[ADMIN_POOL] == "admin"

"""GET /api/manifold/evaluate: where a coordinate lies in space."""

from __future__ import annotations

from math import cos, pi, sin

from dimserver.handlers.status.access import is_admin, refuse_reading
from dimserver.handlers.status.figures import look
from dimserver.handlers.status.json_answer import answer
from dimserver.handlers.status.names import LAYERS
from dimserver.handlers.status.query import BadParameter, Query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dimserver.handlers.status.types import Answer, Context, Handler, Request

__all__ = ["Manifold"]


class Manifold:
    """Coordinates as points: each pool is a circle, each layer an angle, the position a height.

    Args:
        context: the worker that answers.

    Thread-safety: the loop's thread.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler."""
        yield "GET", "/api/manifold/evaluate", self.evaluate

    def evaluate(self, request: Request) -> Answer:
        """The point of a coordinate and the connections at it, of all workers; for anybody.

        On the admin listener for operators, as all else there.
        """
        if is_admin(request) and not self._context.access.may_read(request):
            return refuse_reading()
        snapshot = look(self._context)
        try:
            query = Query(request.query_params.pairs, ("spiral", "layer", "position"))
            spiral = query.integer("spiral", 0, snapshot.spirals - 1, 0)
            layer = query.integer("layer", 1, len(LAYERS), 3)
            position = query.number("position", 0.0)
        except BadParameter as error:
            return answer(400, error.report)
        radius = spiral + 1
        angle = 2 * pi * (layer - 1) / len(LAYERS)
        return answer(
            200,
            {
                "coordinate": {"spiral": spiral, "layer": layer, "position": position},
                "layer_name": LAYERS[layer - 1],
                "point": {"x": radius * cos(angle), "y": position / 2, "z": radius * sin(angle)},
                "connections": snapshot.count_at(spiral, layer),
            },
        )

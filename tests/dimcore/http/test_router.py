from __future__ import annotations

import gc
import itertools
import re
import time
import weakref
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.dimcore.router_model import model_candidates, model_find, model_params

from dimcore.errors import RouteConflict, RoutePatternError, UsageError
from dimcore.http.router import Route, Router, RouteSubstrate


def handler(request: object) -> object:
    return request


def build(*rows: str) -> Router:
    """Routes from rows like ``GET /a`` (exact) and ``GET /a/*`` or ``GET /a*`` (prefix)."""
    router = Router()
    for row in rows:
        method, _, pattern = row.partition(" ")
        router.add(method, pattern.removesuffix("*"), handler, not pattern.endswith("*"))
    return router


def found(router: Router, method: str, path: str | bytes) -> str | None:
    route = router.find_route(method, path)
    if route is None:
        return None
    return f"{route.method} {route.pattern}{'' if route.exact else '*'}"


# ---------------------------------------------------------------------------
# registering


def test_a_route_says_what_it_is() -> None:
    router = Router()
    route = router.add("GET", "/users/{id}/posts/{post}", handler, blocking=True)
    assert isinstance(route, Route)
    assert (route.method, route.pattern, route.handler) == ("GET", "/users/{id}/posts/{post}", handler)
    assert (route.exact, route.blocking, route.names) == (True, True, ("id", "post"))
    assert repr(route) == "<Route GET /users/{id}/posts/{post}>"
    prefix = router.add("GET", "/static/", handler, exact=False)
    assert (prefix.exact, prefix.blocking, prefix.names) == (False, False, ())
    assert repr(prefix) == "<Route GET /static/ (prefix)>"
    assert router.routes() == [route, prefix]
    assert len(router) == 2
    assert repr(router) == "<Router of 2 routes>"


def test_the_listing_is_a_copy_in_the_order_of_registration() -> None:
    router = build("GET /b", "GET /a", "POST /b", "GET /*")
    router.routes().clear()
    assert [(r.method, r.pattern) for r in router.routes()] == [
        ("GET", "/b"),
        ("GET", "/a"),
        ("POST", "/b"),
        ("GET", "/"),
    ]


def test_a_handler_can_be_replaced_but_not_the_pattern() -> None:
    router = build("GET /a")
    route = router.routes()[0]
    route.handler = print
    assert RouteSubstrate(router).find("GET", "/a") is print
    with pytest.raises(AttributeError):
        route.pattern = "/b"  # type: ignore[misc]


def test_routes_come_from_add_alone() -> None:
    with pytest.raises(TypeError, match=r"Router\.add"):
        Route()


@pytest.mark.parametrize("pattern", ["", "a", "/a?b", "/a%20b", "/{a}{b}", "/{a}/{a}", "/x{a}"])
@pytest.mark.parametrize("exact", [True, False])
def test_a_bad_pattern_changes_nothing(pattern: str, exact: bool) -> None:
    router = build("GET /*")
    with pytest.raises(RoutePatternError):
        router.add("GET", pattern, handler, exact)
    assert len(router) == 1


@pytest.mark.parametrize("method", ["", "GET ", "G/T", "GÉT"])
def test_a_bad_method_changes_nothing(method: str) -> None:
    router = Router()
    with pytest.raises(RoutePatternError, match="token"):
        router.add(method, "/", handler)
    assert len(router) == 0
    assert router.allowed("/") is None


def test_types_are_checked() -> None:
    router = Router()
    with pytest.raises(TypeError, match="callable"):
        router.add("GET", "/", None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        router.add("GET", None, handler)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        router.add(b"GET", "/", handler)  # type: ignore[arg-type]
    for call in (lambda path: router.find_route("GET", path), lambda path: router.lookup("GET", path), router.allowed):
        with pytest.raises(TypeError, match="str or bytes"):
            call(7)  # type: ignore[arg-type]
    assert len(router) == 0


@pytest.mark.parametrize(
    ("rows", "again"),
    [
        (["GET /a"], "GET /a"),
        (["PURGE /a"], "PURGE /a"),
        (["GET /a", "POST /a"], "POST /a"),
        (["* /a*", "GET /a*"], "* /a*"),
        (["GET /"], "GET /"),
        (["GET /*"], "GET /*"),
        (["GET /a*"], "GET /a*"),
        (["GET /a/*"], "GET /a/*"),
        (["GET /{x}"], "GET /{x}"),
        (["GET /{x}"], "GET /{y}"),
        (["GET /{x}"], "POST /{y}"),
        (["GET /{x}/a/{z}"], "GET /{x}/a/{y}"),
        (["GET /a/{x}/*"], "GET /a/{y}/*"),
    ],
)
def test_a_conflict_changes_nothing(rows: list[str], again: str) -> None:
    router = build(*rows)
    method, _, pattern = again.partition(" ")
    exact = not pattern.endswith("*")
    pattern = pattern.removesuffix("*")
    before = [(route, route.handler) for route in router.routes()]
    with pytest.raises(RouteConflict, match=re.escape(pattern)):
        router.add(method, pattern, print, exact)
    assert [(route, route.handler) for route in router.routes()] == before
    path = pattern.replace("{", "").replace("}", "")
    assert router.allowed(path) == (build(*rows).allowed(path))


def test_what_looks_alike_but_is_no_conflict() -> None:
    router = build(
        "GET /a", "GET /a*", "GET /a/*", "GET /a/", "get /a", "HEAD /a", "GET /{x}", "GET /{y}*", "GET /{z}/*",
        "GET /{other}/b", "GET /", "GET /*",
    )  # fmt: skip
    assert len(router) == 12
    assert found(router, "GET", "/a") == "GET /a"
    assert found(router, "GET", "/a/") == "GET /a/"
    assert found(router, "get", "/a") == "get /a"
    assert found(router, "GET", "/") == "GET /"
    assert found(router, "GET", "//") == "GET /*"


# ---------------------------------------------------------------------------
# finding


def test_an_empty_table_knows_no_path() -> None:
    router = Router()
    for path in ("", "/", "/a", "*", "/%", b"\x00", "/" * 9000):
        assert router.find_route("GET", path) is None
        assert router.lookup("GET", path) is None
        assert router.allowed(path) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/static", "GET /static*"),
        ("/static/", "GET /static/*"),
        ("/static/a/b", "GET /static/*"),
        ("/staticx", "GET /*"),
        ("/static/js", "GET /static/*"),
        ("/static/js/7", "GET /static/js/{version}*"),
        ("/static/js/7/x.js", "GET /static/js/{version}*"),
        ("/static/js//x.js", "GET /static/*"),
        ("/Static/", "GET /*"),
        ("//static/", "GET /*"),
    ],
)
def test_the_longest_prefix_on_a_segment_boundary(path: str, expected: str) -> None:
    router = build("GET /*", "GET /static*", "GET /static/*", "GET /static/js/{version}*")
    assert found(router, "GET", path) == expected


def test_exact_before_parameter_before_prefix() -> None:
    router = build("GET /a/b/*", "GET /a/b*", "GET /a/{x}", "GET /{x}/b", "GET /a/b")
    assert found(router, "GET", "/a/b") == "GET /a/b"
    assert found(router, "GET", "/a/c") == "GET /a/{x}"
    assert found(router, "GET", "/c/b") == "GET /{x}/b"
    assert found(router, "GET", "/a/b/") == "GET /a/b/*"
    assert found(build("GET /a/b/*", "GET /a/b*", "GET /{x}/{y}"), "GET", "/a/b") == "GET /{x}/{y}"


def test_fixed_before_parameter_from_the_left_and_back_again() -> None:
    router = build("GET /a/{x}/c", "GET /{x}/b/d", "GET /{x}/{y}/{z}", "GET /a/b/{z}/e")
    assert found(router, "GET", "/a/b/c") == "GET /a/{x}/c"
    assert found(router, "GET", "/a/b/d") == "GET /{x}/b/d"
    assert found(router, "GET", "/a/b/e") == "GET /{x}/{y}/{z}"
    assert found(router, "GET", "/a/b/c/e") == "GET /a/b/{z}/e"
    assert found(router, "GET", "/a/b/c/f") is None


def test_the_longest_prefix_goes_before_the_fixed_one() -> None:
    router = build("GET /a/*", "GET /{x}/b/*", "GET /a/{y}/c/*", "GET /{x}/b/c/*")
    assert found(router, "GET", "/a/z") == "GET /a/*"
    assert found(router, "GET", "/a/b/z") == "GET /{x}/b/*"
    assert found(router, "GET", "/a/b/c/z") == "GET /a/{y}/c/*"


def test_every_step_asks_for_the_method() -> None:
    router = build("GET /a/b", "POST /a/{x}", "PUT /{x}/b", "DELETE /a/*", "PATCH /*", "PURGE /a*")
    assert found(router, "GET", "/a/b") == "GET /a/b"
    assert found(router, "POST", "/a/b") == "POST /a/{x}"
    assert found(router, "PUT", "/a/b") == "PUT /{x}/b"
    assert found(router, "DELETE", "/a/b") == "DELETE /a/*"
    assert found(router, "PATCH", "/a/b") == "PATCH /*"
    assert found(router, "PURGE", "/a/b") == "PURGE /a*"
    assert found(router, "OPTIONS", "/a/b") is None
    assert found(router, "purge", "/a/b") is None
    assert router.allowed("/a/b") == "DELETE, GET, HEAD, PATCH, POST, PURGE, PUT"
    assert router.allowed("/c") == "PATCH"


def test_head_takes_get_of_the_same_pattern_before_head_of_a_broader_one() -> None:
    router = build("GET /a", "HEAD /*", "GET /*", "GET /b", "HEAD /b", "POST /c", "GET /{x}/y", "HEAD /{x}/*")
    assert found(router, "HEAD", "/a") == "GET /a"
    assert found(router, "HEAD", "/b") == "HEAD /b"
    assert found(router, "GET", "/b") == "GET /b"
    assert found(router, "HEAD", "/c") == "HEAD /*"
    assert found(router, "HEAD", "/a/y") == "GET /{x}/y"
    assert found(router, "HEAD", "/a/z") == "HEAD /{x}/*"
    assert found(build("POST /a"), "HEAD", "/a") is None


ALL = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECTS", "M-SEARCH", "get", "*"]


@pytest.mark.parametrize("first", [True, False])
def test_a_route_for_any_method(first: bool) -> None:
    rows = ["* /*", "GET /a/b", "HEAD /h*", "GET /h*", "* /m*", "POST /m*"]
    router = build(*(rows if first else reversed(rows)))
    for method in ALL:
        assert found(router, method, "/") == found(router, method, "/a/b/c") == "* /*"
        assert found(router, method, "/a/b") == ("GET /a/b" if method in ("GET", "HEAD") else "* /*")
        assert found(router, method, "/h") == (f"{method} /h*" if method in ("GET", "HEAD") else "* /*")
        assert found(router, method, "/m/x") == ("POST /m*" if method == "POST" else "* /m*")
        assert found(router, method, "*") is None  # of `OPTIONS *`, which is the server's own to answer
    assert found(router, "CONNECT", "/") is None
    assert found(build("* /*", "CONNECT /*"), "CONNECT", "/") == "CONNECT /*"
    assert router.allowed("/x") == router.allowed("/m") == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
    assert build("* /*", "PURGE /x").allowed("/x") == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PURGE, PUT"
    assert build("* /m*").allowed("/") is None


def test_head_takes_get_before_the_route_for_any_method_of_the_same_pattern() -> None:
    assert found(build("* /a", "GET /a"), "HEAD", "/a") == "GET /a"
    assert found(build("GET /a", "* /a"), "HEAD", "/a") == "GET /a"
    assert found(build("GET /*", "* /a"), "HEAD", "/a") == "* /a"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "M-SEARCH"])
def test_methods_are_kept_apart(method: str) -> None:
    names = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "M-SEARCH", "get", "GETS", "GE"]
    for kind in ("/a", "/{x}", "/a/*"):
        router = build(*(f"{name} {kind}" for name in names))
        path = "/a/b" if kind == "/a/*" else "/a"
        assert found(router, method, path) == f"{method} {kind}"
        assert found(router, method.lower() + "x", path) is None
        assert router.allowed(path) == ", ".join(sorted(names))


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/u/7/p/8", {"id": "7", "post": "8"}),
        ("/u/a%2Fb/p/%2f", {"id": "a/b", "post": "/"}),
        ("/u/%C3%A9/p/%e2%82%ac", {"id": "é", "post": "€"}),
        ("/u/%ff/p/%C3", {"id": "\ufffd", "post": "\ufffd"}),
        ("/u/a+b/p/%252F", {"id": "a+b", "post": "%2F"}),
        ("/%75/%7Bid%7D/%70/..", {"id": "{id}", "post": ".."}),
        (b"/u/\xc3\xa9/p/\xff", {"id": "é", "post": "\ufffd"}),
        ("/u/é/p/ü", {"id": "é", "post": "ü"}),
        ("/u/" + "%41" * 3000 + "/p/" + "b" * 3000, {"id": "A" * 3000, "post": "b" * 3000}),
    ],
)
def test_parameters_are_decoded_once(path: str | bytes, params: dict[str, str]) -> None:
    router = build("GET /u/{id}/p/{post}", "GET /other")
    answer = router.lookup("GET", path)
    assert answer is not None
    assert answer[0] is router.routes()[0]
    assert answer[1] == params


def test_parameters_of_a_prefix() -> None:
    router = build("GET /{tenant}/files/*", "GET /{a}/{b}/{c}/x*")
    assert router.lookup("GET", "/acme/files/a/b") == (router.routes()[0], {"tenant": "acme"})
    assert router.lookup("GET", "/1/2/3/x/9") == (router.routes()[1], {"a": "1", "b": "2", "c": "3"})


def test_no_parameters_is_a_new_empty_dict() -> None:
    router = build("GET /a")
    first, second = router.lookup("GET", "/a"), router.lookup("GET", "/a")
    assert first == second == (router.routes()[0], {})
    assert first is not None
    assert second is not None
    assert first[1] is not second[1]


@pytest.mark.parametrize("path", ["/u/", "/u//", "/u", "//x", "/u/x/", "/u/x/y"])
def test_a_parameter_takes_one_segment_that_is_not_empty(path: str) -> None:
    assert build("GET /u/{id}").find_route("GET", path) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a%62c", "GET /abc"),
        ("/%61%62%63", "GET /abc"),
        ("/caf%C3%A9", "GET /café"),
        ("/caf%c3%a9", "GET /café"),
        ("/a%20b", "GET /a b"),
        ("/a%2Fb", "GET /{x}"),
        ("/a%2fb", "GET /{x}"),
        ("/a/b", "GET /a/b"),
        ("/p%2Fx", "GET /{x}"),
        ("/p/%2Fx", "GET /p/*"),
        ("/%70/x", "GET /p/*"),
        ("/%2E%2E", "GET /{x}"),
        ("/p/../abc", "GET /p/*"),
    ],
)
def test_an_escape_is_the_character_but_never_a_slash(path: str, expected: str) -> None:
    router = build("GET /abc", "GET /café", "GET /a b", "GET /a/b", "GET /{x}", "GET /p/*")
    assert found(router, "GET", path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/\x00", "/p/\x00", b"/p/a\x00b", "", "p", "*", "p/x", "?", "http://h/p/",
    ],
)  # fmt: skip
def test_what_is_no_path_is_not_found(path: str | bytes) -> None:
    router = build("GET /*", "GET /{x}", "GET /p/*", "GET /abc")
    assert router.find_route("GET", path) is None
    assert router.lookup("GET", path) is None
    assert router.allowed(path) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/%", "%"), ("/%4", "%4"), ("/%zz", "%zz"), ("/%4g", "%4g"), ("/%g4", "%g4"), ("/a%", "a%"), ("/100%", "100%"),
        ("/%%41", "%A"), ("/%%341", "%41"), ("/%00", "\0"), ("/a%00b", "a\0b"), ("/%2F%", "/%"), ("/%%2F", "%/"),
    ],
)  # fmt: skip
def test_a_percent_sign_that_begins_no_sequence_stands_for_itself(path: str, value: str) -> None:
    router = build("GET /*", "GET /{x}", "GET /p/*", "GET /abc")
    found_route = router.lookup("GET", path)
    assert found_route is not None
    assert (found_route[0].pattern, found_route[1]) == ("/{x}", {"x": value})
    assert found(router, "GET", "/p" + path) == "GET /p/*"
    assert found(router, "GET", "/p/" + "a" * 5000 + path) == "GET /p/*"


def test_text_and_bytes_are_the_same_path() -> None:
    router = build("GET /café", "GET /{x}/y")
    assert found(router, "GET", "/café") == found(router, "GET", "/café".encode()) == "GET /café"
    assert router.lookup("GET", "/é/y") == router.lookup("GET", "/é/y".encode()) != None  # noqa: E711
    with pytest.raises(UnicodeEncodeError):
        router.find_route("GET", "/\ud800")


def test_a_pattern_may_have_empty_segments() -> None:
    router = build("GET /a//b", "GET /a/", "GET /u/{id}/", "GET /c//*")
    assert found(router, "GET", "/a//b") == "GET /a//b"
    assert found(router, "GET", "/a/b") is None
    assert found(router, "GET", "/u/7/") == "GET /u/{id}/"
    assert found(router, "GET", "/u/7") is None
    assert found(router, "GET", "/c//") == "GET /c//*"
    assert found(router, "GET", "/c//d") == "GET /c//*"
    assert found(router, "GET", "/c/d") is None


def test_allow_is_the_union_with_head_and_sorted() -> None:
    router = build("POST /a", "GET /{x}", "TRACE /a*", "DELETE /b")
    assert router.allowed("/a") == "GET, HEAD, POST, TRACE"
    assert router.allowed("/%61") == "GET, HEAD, POST, TRACE"
    assert router.allowed(b"/a/b") == "TRACE"
    assert router.allowed("/b") == "DELETE, GET, HEAD"
    assert router.allowed("/c/d") is None


def test_long_and_deep_paths() -> None:
    router = build("GET /*", "GET /{a}/{b}", "GET /a/b/c/d/*")
    assert found(router, "GET", "/" * 8000) == "GET /*"
    assert found(router, "GET", "/a" * 4000) == "GET /*"
    assert found(router, "GET", "/a/b/c/d" + "/e" * 4000) == "GET /a/b/c/d/*"
    assert found(router, "GET", "/" + "x" * 70_000) == "GET /*"
    assert found(router, "GET", "/%41" * 4000) == "GET /*"


def test_the_deepest_pattern() -> None:
    deep = "/a" * 254 + "/{x}"
    router = build(f"GET {deep}", "GET " + "/{" + "}/{".join(f"p{i}" for i in range(255)) + "}")
    assert router.lookup("GET", "/a" * 254 + "/b") == (router.routes()[0], {"x": "b"})
    answer = router.lookup("GET", "".join(f"/{i}" for i in range(255)))
    assert answer is not None
    assert answer[1] == {f"p{i}": str(i) for i in range(255)}
    assert router.find_route("GET", "/a" * 256) is None


def test_the_table_grows() -> None:
    router = Router()
    for i in range(3000):
        router.add("GET", f"/exact/{i}", handler)
        router.add("GET", f"/prefix/{i}/", handler, exact=False)
        router.add("GET", f"/param/{i}/{{x}}", handler)
    assert len(router) == 9000
    for i in range(3000):
        assert found(router, "GET", f"/exact/{i}") == f"GET /exact/{i}"
        assert found(router, "GET", f"/prefix/{i}/y") == f"GET /prefix/{i}/*"
        assert router.lookup("GET", f"/param/{i}/y") == (router.routes()[3 * i + 2], {"x": "y"})
    assert router.find_route("GET", "/exact/3000") is None
    assert router.find_route("GET", "/prefix/3000/") is None


# ---------------------------------------------------------------------------
# a hostile path


def test_ambiguity_does_not_multiply() -> None:
    # All 2^10 mixtures of fixed segment and parameter, each with an end of its own, are 2^11 nodes; a path that
    # fits all but the ends visits each once.  Sixty patterns with the parameter at every depth are 2^60 ways for
    # a search that forgets where it has been, and some 1,900 nodes for this one.
    router = Router()
    for number, mixture in enumerate(itertools.product((True, False), repeat=10)):
        segments = ("a" if fixed else f"{{p{level}}}" for level, fixed in enumerate(mixture))
        router.add("GET", "/" + "/".join(segments) + f"/end{number}", handler)
    for level in range(60):
        router.add("GET", "/a" * level + "/{x}" + "/a" * (60 - level) + "/end", handler)
    start = time.perf_counter()
    for _ in range(20):
        assert router.find_route("GET", "/a" * 61 + "/nothing") is None
        assert router.find_route("GET", "/a" * 10 + "/nothing") is None
        assert router.find_route("GET", "/a" * 4000) is None
    assert time.perf_counter() - start < 2.0
    assert found(router, "GET", "/a" * 10 + "/end0") == "GET " + "/a" * 10 + "/end0"
    assert found(router, "GET", "/a" * 61 + "/end") == "GET " + "/a" * 59 + "/{x}/a/end"


def test_slashes_past_the_deepest_pattern_cost_nothing() -> None:
    router = build("GET /*", "GET /a/{x}/c")

    def cost(path: str) -> float:
        start = time.perf_counter()
        for _ in range(2000):
            router.find_route("GET", path)
        return time.perf_counter() - start

    # Two scans for '%' and NUL are all that grows; a walk over 8,000 segments would be a hundred times more.
    assert min(cost("/" * 8000) for _ in range(5)) < 20 * min(cost("/b/c/d/e") for _ in range(5))


# ---------------------------------------------------------------------------
# against a naive model


METHODS = ["GET", "HEAD", "POST", "PURGE", "*"]
USUAL = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
PARTS = st.sampled_from(["a", "a", "b", "{}", "{}", "", "é"])
PATTERNS = st.lists(PARTS, min_size=1, max_size=5).map(
    lambda parts: "/" + "/".join(f"{{p{at}}}" if part == "{}" else part for at, part in enumerate(parts))
)
RAW = st.sampled_from(
    [b"a", b"a", b"b", b"c", b"", b"%61", b"%2F", b"a%2fb", b"%C3%A9", b"\xc3\xa9", b"%ff", b"%", b"%00", b"%zz", b".."]
)
PATHS = st.lists(RAW, min_size=1, max_size=7).map(lambda segments: b"/" + b"/".join(segments)) | st.binary(max_size=12)


@settings(max_examples=600, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from(METHODS), PATTERNS, st.booleans()), max_size=25),
    paths=st.lists(st.tuples(st.sampled_from([*METHODS, "OPTIONS", "CONNECT"]), PATHS), min_size=1, max_size=25),
)
@example(rows=[("GET", "/a", True), ("HEAD", "/{p0}", True)], paths=[("HEAD", b"/a"), ("HEAD", b"/b")])
def test_like_a_linear_scan(rows: list[tuple[str, str, bool]], paths: list[tuple[str, bytes]]) -> None:
    router = Router()
    kept: set[tuple[str, str, bool]] = set()
    for row in rows:
        method, pattern, exact = row
        if row in kept:
            with pytest.raises(RouteConflict):
                router.add(method, pattern, handler, exact)
        else:
            kept.add(row)
            router.add(method, pattern, handler, exact)
    routes = router.routes()
    assert len(routes) == len(router) == len(kept)
    for method, path in paths:
        expected = model_find(routes, method, path)
        assert router.find_route(method, path) is expected
        answer = router.lookup(method, path)
        if expected is None:
            assert answer is None
        else:
            assert answer == (expected, model_params(expected, path))
        known = {route.method for _, route in model_candidates(routes, path)}
        if "GET" in known:
            known.add("HEAD")
        if "*" in known:
            known = known - {"*"} | USUAL
        assert router.allowed(path) == (", ".join(sorted(known)) or None)


@settings(max_examples=300, deadline=None)
@given(text=st.binary(max_size=3000))
def test_any_bytes_are_safe(text: bytes) -> None:
    router = build("GET /*", "GET /{x}", "GET /{x}/{y}/*", "GET /a/b")
    for path in (text, b"/" + text, b"/a/" + text):
        route = router.find_route("GET", path)
        answer = router.lookup("GET", path)
        assert (route is None) == (answer is None) == (router.allowed(path) is None)


# ---------------------------------------------------------------------------
# lifetime


def test_a_route_outlives_its_router() -> None:
    router = build("GET /{x}", "POST /{x}")
    route = router.find_route("GET", "/a")
    del router
    gc.collect()
    assert route is not None
    assert (route.pattern, route.handler) == ("/{x}", handler)


def test_a_cycle_through_a_handler_is_collected() -> None:
    class Owner:
        def __init__(self) -> None:
            self.router = Router()
            self.router.add("GET", "/a", self.answer)
            self.router.add("GET", "/{x}", self.answer)

        def answer(self, request: object) -> object:
            return request

    gone = weakref.ref(Owner())
    gc.collect()
    assert gone() is None


# ---------------------------------------------------------------------------
# the first names


def test_the_substrate_registers_and_routes() -> None:
    substrate = RouteSubstrate()
    substrate.register("GET", "/api/status", handler)
    substrate.register("GET", "/static/", print, exact=False)
    substrate.register("GET", "/u/{x}", repr)
    assert len(substrate.router) == 3
    assert substrate.find("GET", "/api/status") is handler
    assert substrate.find("HEAD", b"/static/a") is print
    assert substrate.find("POST", "/api/status") is None
    with pytest.raises(RouteConflict):
        substrate.register("GET", "/api/status", handler)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (SimpleNamespace(method="GET", path="/api/status"), handler),
        (SimpleNamespace(method="GET", path="/api/status", raw_path="/api/%73tatus"), handler),
        (SimpleNamespace(method="GET", path="/api/status", raw_path=b"/api/%73tatus"), handler),
        (SimpleNamespace(method="GET", path="/u/50% off"), repr),
        (SimpleNamespace(method="GET", path="/u/%41", raw_path="/u/%2541"), repr),
        (SimpleNamespace(method="POST", path="/api/status"), None),
        (SimpleNamespace(method="GET", path="/api/status", raw_path="/api%2Fstatus"), None),
        (SimpleNamespace(method="OPTIONS", path="*", raw_path="*"), None),
    ],
)
def test_the_substrate_takes_a_request(request_: SimpleNamespace, expected: object) -> None:
    substrate = RouteSubstrate()
    substrate.register("GET", "/api/status", handler)
    substrate.register("GET", "/u/{x}", repr)
    assert substrate.route(request_) is expected


def test_the_substrate_shares_a_router() -> None:
    router = build("GET /a")
    assert RouteSubstrate(router).router is router
    assert RouteSubstrate(router).find("GET", "/a") is handler
    with pytest.raises(TypeError):
        RouteSubstrate(7)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------
# options for parts of the paths


def test_a_variant_is_a_copy_with_other_options() -> None:
    router = Router()
    route = router.add("GET", "/users/{id}", handler)
    assert (route.blocking, route.streaming, route.max_body) == (False, 0, -1)
    same = route.variant()
    assert (same.method, same.pattern, same.handler, same.names) == ("GET", "/users/{id}", handler, ("id",))
    assert (same.blocking, same.streaming, same.max_body) == (False, 0, -1)
    other = same.variant(blocking=True, streaming=2, max_body=0)
    assert (other.blocking, other.streaming, other.max_body) == (True, 2, 0)
    assert (other.variant().blocking, other.variant().streaming, other.variant().max_body) == (True, 2, 0)
    assert router.routes() == [route]


def test_options_by_pattern() -> None:
    router = build("GET /users/{id}", "POST /users/{id}", "* /app*", "GET /plain")
    user, posted, app, plain = router.routes()
    options = build("* /users/*", "POST /users/7", "* /app/big/*")
    below, seven, big = options.routes()
    variants = {
        user: {below: user.variant(max_body=1)},
        posted: {below: posted.variant(max_body=2), seven: posted.variant(max_body=3)},
        app: {big: app.variant(max_body=4)},
    }
    router.use_options(options, variants)

    def limit(method: str, path: str) -> int:
        route = router.find_route(method, path)
        assert route is not None
        return route.max_body

    assert [limit("GET", "/users/1"), limit("GET", "/users/7"), limit("HEAD", "/users/%37")] == [1, 1, 1]
    assert [limit("POST", "/users/1"), limit("POST", "/users/7"), limit("POST", "/users/%37")] == [2, 3, 3]
    assert [limit("PUT", "/app/big/x"), limit("PUT", "/app/big"), limit("GET", "/app")] == [4, -1, -1]
    assert limit("GET", "/plain") == -1
    assert router.find_route("GET", "/nowhere") is None
    assert router.lookup("GET", "/users/a%2Fb") == (variants[user][below], {"id": "a/b"})
    assert router.find_route("GET", "/plain") is plain
    router.use_options(None)
    assert router.find_route("GET", "/users/7") is user


def test_options_cannot_lead_in_a_circle() -> None:
    one, other = build("GET /a"), build("GET /a")
    with pytest.raises(UsageError):
        one.use_options(one)
    one.use_options(other)
    with pytest.raises(UsageError):
        other.use_options(one)
    with pytest.raises(TypeError):
        one.use_options("GET /a")  # type: ignore[arg-type]
    one.use_options(other, {one.routes()[0]: {other.routes()[0]: "no route"}})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        one.find_route("GET", "/a")

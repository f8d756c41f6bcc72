"""Topics over real sockets: who gets what, in which order, what a slow reader costs, and what is left behind."""

from __future__ import annotations

import gc
import tracemalloc
from threading import Thread
from typing import Any

import pytest
from tests.dimcore.topic_hall import NAMES, Hall

from dimcore import Topic, TopicLimit, Topics, UsageError
from dimcore.budget import Budget


def test_everybody_who_is_subscribed_gets_it(hall: Hall) -> None:
    one, two, other = hall.enter(), hall.enter(), hall.enter()
    assert [hall.topic.subscribe(peer.ws) for peer in (one, two, two)] == [True, True, False]
    assert hall.topics.topic("elsewhere").subscribe(other.ws)
    assert (len(hall.topic), hall.topic.subscribers) == (2, [one.ws, two.ws])
    assert (one.ws in hall.topic, other.ws in hall.topic) == (True, False)
    for message in ("héllo", b"\0\xff", bytearray(b"array"), memoryview(b"view")[1:], "", b"x" * 70000):
        assert hall.topic.publish(message) is True
    assert one.all() == []  # it goes out when the round is over
    assert hall.settle() == 1
    expected = ["héllo", b"\0\xff", b"array", b"iew", "", b"x" * 70000]
    assert [[peer.next() for _ in expected] for peer in (one, two)] == [expected, expected]
    assert other.all() == []
    topics = hall.topics
    assert (topics.published, topics.sent, topics.lost, topics.dropped, topics.waiting) == (6, 12, 0, 0, 0)
    assert (topics.active, topics.subscriptions, topics.counts()) == (2, 3, {"room": 2, "elsewhere": 1})


def test_a_message_is_what_it_was_when_it_was_published(hall: Hall) -> None:
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    message = bytearray(b"before")
    hall.topic.publish(message)
    message[:] = b"behind"
    hall.settle()
    assert peer.next() == b"before"


def test_who_leaves_gets_nothing_more(hall: Hall) -> None:
    one, two = hall.enter(), hall.enter()
    for peer in (one, two):
        hall.topic.subscribe(peer.ws)
    assert [hall.topic.unsubscribe(one.ws), hall.topic.unsubscribe(one.ws)] == [True, False]
    assert hall.topics.topic("nobody is here").unsubscribe(one.ws) is False
    hall.topic.publish("x")
    hall.settle()
    assert (one.all(), two.next()) == ([], "x")
    hall.topic.publish("too late")
    hall.topic.unsubscribe(two.ws)
    assert (hall.topics.active, hall.topics.subscriptions, hall.topics.waiting) == (0, 0, 0)
    hall.topic.subscribe(two.ws)
    hall.settle()
    assert two.all() == []
    assert hall.topic.publish("again")
    hall.settle()
    assert two.next() == "again"


def test_the_one_it_came_from_can_be_left_out(hall: Hall) -> None:
    one, two = hall.enter(), hall.enter()
    for peer in (one, two):
        hall.topic.subscribe(peer.ws)
    for number in range(6):
        hall.topic.publish(str(number), exclude=(one.ws, two.ws, None)[number % 3])
    hall.settle()
    assert [one.next() for _ in range(4)] == ["1", "2", "4", "5"]
    assert [two.next() for _ in range(4)] == ["0", "2", "3", "5"]
    assert hall.topics.sent == 8


@pytest.mark.parametrize("how", ["peer", "program", "reset", "server"])
def test_membership_ends_with_the_socket(hall: Hall, how: str) -> None:
    stays, goes = hall.enter(), hall.enter()
    topics = [hall.topics.topic(name) for name in ("room", "b", "c")]
    for topic in topics:
        for peer in (stays, goes):
            topic.subscribe(peer.ws)
    topics[1].unsubscribe(goes.ws)  # from the middle of its list
    assert hall.topics.subscriptions == 5
    if how == "peer":
        goes.send(8, b"\x03\xe8")
    elif how == "program":
        goes.ws.close()
    elif how == "reset":
        goes.client.reset()
    else:
        goes.ws.connection.close()
    hall.topic.publish("x")
    hall.settle()
    assert hall.topics.counts() == {"room": 1, "b": 1, "c": 1}
    assert hall.topics.subscriptions == 3
    assert hall.topic.subscribe(goes.ws) is False
    assert stays.next() == "x"
    assert hall.topics.sent == 1
    if how in ("peer", "reset"):  # in `on_close` it is gone already
        assert hall.closed == [(1000 if how == "peer" else 1006, 1)]


def test_from_threads(hall: Hall) -> None:
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)

    def publish(name: str) -> None:
        for number in range(100):
            assert hall.topic.publish(f"{name}{number}")

    threads = [Thread(target=publish, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not hall.calls
    hall.settle()
    got = [peer.next() for _ in range(200)]
    assert [[each for each in got if each[0] == name] for name in "ab"] == [
        [f"{name}{number}" for number in range(100)] for name in "ab"
    ]
    assert hall.topics.waiting == 0


def test_what_is_published_beyond_the_limit_is_dropped(hall: Hall) -> None:
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    hall.topics.configure(max_topics=10, max_per_socket=10, max_waiting=1000)
    assert [hall.topic.publish("x" * 400) for _ in range(3)] == [True, False, False]
    assert 500 < hall.topics.waiting <= 1000
    with pytest.raises(UsageError, match="a message of 1001 bytes: at most 1000 may wait"):
        hall.topic.publish(b"x" * 1001)
    hall.settle()
    assert hall.topic.publish(b"y" * 1000) is True
    hall.settle()
    assert [peer.next(), peer.next()] == ["x" * 400, b"y" * 1000]
    assert (hall.topics.dropped, hall.topics.published, hall.topics.waiting) == (2, 2, 0)


def test_many_small_messages_are_counted_for_what_they_cost(hall: Hall) -> None:
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    hall.topics.configure(max_topics=10, max_per_socket=10, max_waiting=10_000)
    taken = 0
    while hall.topic.publish(b""):
        taken += 1
    assert taken < 100
    hall.settle()
    assert len(peer.all()) == taken


def test_limits_of_subscriptions(hall: Hall) -> None:
    one, two = hall.enter(), hall.enter()
    hall.topics.configure(max_topics=3, max_per_socket=2, max_waiting=1000)
    a, b, c, d = (hall.topics.topic(name) for name in "abcd")
    assert a.subscribe(one.ws)
    assert b.subscribe(one.ws)
    with pytest.raises(TopicLimit, match="subscribed to 2 topics"):
        c.subscribe(one.ws)
    assert a.subscribe(one.ws) is False
    b.unsubscribe(one.ws)
    assert c.subscribe(one.ws)
    assert b.subscribe(two.ws)
    with pytest.raises(TopicLimit, match="3 topics have subscribers"):
        d.subscribe(two.ws)
    assert hall.topics.counts() == {"a": 1, "c": 1, "b": 1}
    two.ws.close()
    assert hall.topics.counts() == {"a": 1, "c": 1}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "has 1 to 255 bytes of UTF-8, '' has 0"),
        ("é" * 128, "has 256"),
        ("a\0b", "control characters"),
        ("a\x7f", "control characters"),
        ("\n", "control characters"),
        ("\ud800", "half a surrogate"),
    ],
)
def test_names(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Topics().topic(name)


def test_names_that_are_fine(hall: Hall) -> None:
    peer = hall.enter()
    for name in ("a", " ", "é" * 127, NAMES, "room/7:*?[x]", "\U0001f600"):
        topic = hall.topics.topic(name)
        assert topic.subscribe(peer.ws)
        assert topic == hall.topics.topic(name)
        assert topic != hall.topic
        assert topic != name
        assert len({topic, hall.topics.topic(name)}) == 1
    assert bool(hall.topic) is True
    assert repr(hall.topic) == "<Topic 'room', 0 subscribers here>"


def test_wrong_use(hall: Hall) -> None:
    peer = hall.enter()
    for wrong in (None, "x", hall.topic):
        with pytest.raises(UsageError, match="only a WebSocket"):
            hall.topic.subscribe(wrong)
    with pytest.raises(UsageError, match="only a WebSocket"):
        hall.topic.publish("x", exclude="somebody")
    with pytest.raises(UsageError, match="a message must be str, bytes, bytearray or memoryview, not int"):
        hall.topic.publish(7)  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        hall.topic.publish("\ud800")
    with pytest.raises(UsageError, match="each must be 1 or more"):
        Topics(max_topics=0)
    with pytest.raises(TypeError):
        Topic(None, "x")  # type: ignore[arg-type]
    assert hall.topic.subscribe(type("Wrapped", (), {"socket": peer.ws})())
    assert hall.topics.waiting == 0


def test_without_a_loop_nothing_is_published(hall: Hall) -> None:
    assert Topics().topic("x").publish("y") is False
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    hall.topic.publish("x")
    hall.topics.detach()
    hall.settle()
    assert hall.topic.publish("y") is False
    assert (hall.topics.waiting, hall.topics.dropped, peer.all()) == (0, 1, [])
    hall.topics.attach(soon=hall.calls.append, from_thread=hall.handed.append, report=print)
    hall.topic.publish("z")
    hall.settle()
    assert peer.next() == "z"


def test_outlets_and_what_comes_from_elsewhere(hall: Hall) -> None:
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    given: list[Any] = []
    hall.topics.add_outlet(lambda *what: given.append(what))
    hall.topic.publish("hé")
    hall.topics.topic("nobody here").publish(b"\0")
    thread = Thread(target=lambda: hall.topic.publish("from a thread"))
    thread.start()
    thread.join()
    assert given == [("room", True, "hé".encode()), ("nobody here", False, b"\0")]
    hall.settle()
    assert given[2:] == [("room", True, b"from a thread")]
    assert hall.topics.deliver("room", True, b"elsewhere")
    assert hall.topics.deliver("nobody here", False, b"")
    hall.settle()
    assert [peer.next() for _ in range(3)] == ["hé", "from a thread", "elsewhere"]
    assert len(given) == 3
    assert (hall.topics.received, hall.topics.published) == (2, 3)
    hall.topics.configure(max_topics=1, max_per_socket=1, max_waiting=500)
    assert [hall.topics.deliver("room", False, b"x" * 300) for _ in range(2)] == [True, False]
    hall.settle()


def test_an_outlet_that_fails_is_told_of_to_the_one_who_publishes(hall: Hall) -> None:
    def fail(*what: object) -> None:
        raise ValueError("outlet")

    hall.topics.add_outlet(fail)
    with pytest.raises(ValueError, match="outlet"):
        hall.topic.publish("x")
    thread = Thread(target=lambda: hall.topic.publish("y"))
    thread.start()
    thread.join()
    hall.settle()
    assert [str(error) for _, error in hall.reports] == ["outlet"]
    assert hall.topics.waiting == 0


def test_memory_stays_flat(hall: Hall) -> None:
    """Sockets that come and go, and thousands of messages."""
    stays = hall.enter()
    hall.topic.subscribe(stays.ws)

    def cycle() -> None:
        for _ in range(20):
            peer = hall.enter()
            for name in ("room", "a", "b"):
                hall.topics.topic(name).subscribe(peer.ws)
            for number in range(20):
                hall.topic.publish(b"x" * 500)
                hall.topics.topic("a").publish("y" * number, exclude=peer.ws)
            hall.settle()
            peer.client.reset()
            hall.rig.clients.remove(peer.client)
            stays.all()
        hall.sockets.clear()
        hall.closed.clear()
        gc.collect()

    cycle()
    tracemalloc.start()
    try:
        cycle()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(5):
            cycle()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 3000
    assert hall.topics.counts() == {"room": 1}


def test_what_waits_is_held_of_a_budget(hall: Hall) -> None:
    """And dropped where that has no room; one message alone is borne."""
    budget = Budget(10_000, 0)
    hall.topics.detach()
    hall.topics.attach(soon=hall.calls.append, from_thread=hall.handed.append, report=print, budget=budget)
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    assert hall.topic.publish(bytes(20_000))
    assert budget.used == hall.topics.waiting > 20_000
    assert not hall.topic.publish(b"more")
    assert hall.topics.dropped == 1
    assert budget.used == hall.topics.waiting
    hall.settle()
    assert peer.next() == bytes(20_000)
    assert (budget.used, budget.holders) == (0, 0)
    assert hall.topic.publish(b"more")
    assert budget.used > 0
    hall.topics.detach()
    assert budget.used == 0


def test_a_collection_within_a_subscription(hall: Hall) -> None:
    """What the collector finds may subscribe and leave at any allocation: nobody is lost, no topic is there twice."""
    one, two = hall.enter(), hall.enter()

    class Found:
        def __init__(self, act: Any) -> None:
            self.act = act
            self.me = self

        def __del__(self) -> None:
            self.act()

    def comes() -> None:
        hall.topic.subscribe(two.ws)

    def comes_and_leaves() -> None:
        hall.topic.subscribe(two.ws)
        hall.topic.unsubscribe(two.ws)

    gc.collect()
    gc.disable()
    before = gc.get_threshold()
    try:
        for act in (comes, comes_and_leaves):
            for most in range(12):
                Found(act)
                kept = [[{} for _ in range(100)], [[] for _ in range(100)]]  # else new ones come from a free list
                gc.set_threshold(most + gc.get_count()[0])
                gc.enable()
                assert hall.topic.subscribe(one.ws)
                gc.disable()
                del kept
                gc.collect()
                hall.topic.publish(str(most))
                hall.settle()
                assert one.next() == str(most)
                expected = [one.ws, two.ws] if act is comes else [one.ws]
                assert sorted(map(id, hall.topic.subscribers)) == sorted(map(id, expected))
                for peer in (one, two):
                    hall.topic.unsubscribe(peer.ws)
                assert (hall.topics.active, hall.topics.subscriptions, hall.topics.waiting) == (0, 0, 0)
                two.all()
    finally:
        gc.set_threshold(*before)
        gc.enable()

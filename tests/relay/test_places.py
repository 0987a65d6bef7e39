"""places: who may run, who waits, and in which order their turns come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Overloaded, TooMany
from app.relay.generation import Generation
from app.relay.places import SHARE, Bounds, Places
from tests.relay import make_generation

NAMES = (f"g{n}" for n in range(10**9))


def asked(client: str = "c", talk: str = "") -> Generation:
    """A question of a client, in a conversation of its own unless it is named."""
    name = next(NAMES)
    return make_generation(
        0.0, generation_id=name, client_id=client, conversation_id=talk or f"talk of {name}"
    )


def house(
    *clients: str, worker: int = 500, client: int = 3, waiting: int = 1000
) -> tuple[Places, list[Generation]]:
    """Places, and one question of each of these clients, entered in this order."""
    places = Places(Bounds(worker, client, waiting))
    generations = [asked(name) for name in clients]
    for generation in generations:
        enter(places, generation)
    return places, generations


def enter(places: Places, generation: Generation) -> bool:
    runs = places.enter(generation)
    generation.state = "running" if runs else "queued"
    return runs


def leave(places: Places, generation: Generation) -> list[Generation]:
    generation.over = True
    due = places.leave(generation)
    for each in due:
        each.state = "running"
    return due


def clients(generations: list[Generation]) -> list[str]:
    return [generation.question.client_id for generation in generations]


# --- who may run -----------------------------------------------------------------------------------------


def test_a_client_runs_so_many_and_others_are_not_kept_back_by_its_next_one() -> None:
    places, asks = house("a", "a", "a", "b", client=2)
    assert (list(places.running), list(places.waiting)) == ([asks[i].id for i in (0, 1, 3)], [asks[2].id])


def test_a_process_runs_so_many() -> None:
    places, asks = house("a", "b", "c", worker=2)
    assert list(places.waiting) == [asks[2].id]
    assert len(places) == 3
    assert places.all() == asks


def test_in_a_conversation_one_runs_and_the_others_come_in_the_order_they_were_asked() -> None:
    places = Places(Bounds())
    asks = [asked("c", "talk") for _ in range(3)]
    assert [enter(places, generation) for generation in asks] == [True, False, False]
    assert places.talk("c", "talk") == asks
    assert leave(places, asks[0]) == [asks[1]]
    assert leave(places, asks[1]) == [asks[2]]


def test_another_clients_conversation_of_the_same_name_is_another() -> None:
    places = Places(Bounds())
    assert enter(places, asked("a", "talk"))
    assert enter(places, asked("b", "talk"))


def test_who_has_ended_takes_no_place_though_its_thread_has_not_left() -> None:
    places, (first,) = house("a", client=1)
    first.over = True
    assert enter(places, asked("a", first.question.conversation_id))


# --- whose turn it is ------------------------------------------------------------------------------------


def test_the_line_goes_round_by_client_and_then_by_arrival() -> None:
    places, _ = house("x", "a", "a", "a", "b", "b", "c", worker=1, client=9)
    assert clients(places.line()) == ["a", "b", "c", "a", "b", "a"]


def test_who_has_had_its_turn_comes_after_who_has_not() -> None:
    places, asks = house("x", *["a"] * 4, worker=1, client=9)
    for leaving, b in ((asks[0], "b1"), (asks[1], "b2")):
        enter(places, asked(b))
        leave(places, leaving)
    assert clients(places.line()) == ["b2", "a", "a", "a"]


def test_who_comes_late_waits_for_no_more_than_one_round() -> None:
    places, asks = house("x", *["a"] * 20, worker=1)
    late = asked("b")
    enter(places, late)
    leave(places, asks[0])
    assert leave(places, asks[1]) == [late]


def test_a_place_that_gets_free_is_the_next_ones() -> None:
    places, asks = house("x", "a", "a", "b", worker=1)
    assert clients(leave(places, asks[0])) == ["a"]
    assert clients(leave(places, asks[1])) == ["b"]
    assert clients(leave(places, asks[3])) == ["a"]


def test_who_leaves_the_line_lets_the_next_of_its_conversation_come_up() -> None:
    places = Places(Bounds())
    first, second, third = (asked("c", "talk") for _ in range(3))
    for generation in (first, second, third):
        enter(places, generation)
    assert leave(places, second) == []
    assert leave(places, first) == [third]


def test_leaving_twice_gives_no_place_on_twice() -> None:
    places, asks = house("a", "b", "c", worker=1)
    assert clients(leave(places, asks[0])) == ["b"]
    assert leave(places, asks[0]) == []
    assert list(places.waiting) == [asks[2].id]


def test_who_comes_back_with_each_turn_keeps_nobody_out_who_waits() -> None:
    """A has two questions at once; B and C ask again whenever they were answered."""
    places, asks = house("x", "a", "a", "b", "c", worker=1, client=9)
    turns, running = [], leave(places, asks[0])
    for _ in range(12):
        (now,) = running
        turns.append(now.question.client_id)
        enter(places, asked(now.question.client_id))
        running = leave(places, now)
    assert {name: turns.count(name) for name in "abc"} == {"a": 4, "b": 4, "c": 4}


def test_who_comes_in_overtakes_nobody_in_line_whose_place_has_just_got_free() -> None:
    places, asks = house("a", "a", "b", client=1, worker=9)
    asks[0].over = True  # and hasn't left yet
    assert not enter(places, asked("a"))
    assert places.due() == [asks[1]]


def test_who_is_turned_away_takes_no_turn_with_it() -> None:
    places, (first, second) = house("a", "a", client=1, waiting=1)
    first.over = True
    with pytest.raises(TooMany):
        places.enter(asked("a"))
    assert (list(places.waiting), places.due()) == ([second.id], [second])


# --- the length of the line ------------------------------------------------------------------------------


def test_a_client_may_have_its_share_of_the_line_and_no_more() -> None:
    places, _ = house("x", *["a"] * 5, worker=1, waiting=5 * SHARE)
    refused = asked("a")
    with pytest.raises(TooMany):
        places.enter(refused)
    assert refused not in places.all()
    assert not enter(places, asked("b"))


def test_a_full_line_takes_nobody() -> None:
    places, _ = house("x", "a", "b", worker=1, waiting=2)
    refused = asked("c", "talk")
    with pytest.raises(Overloaded):
        places.enter(refused)
    assert (places.talk("c", "talk"), len(places)) == ([], 3)


def test_when_all_have_left_nothing_is_remembered() -> None:
    places, asks = house("a", "a", "b", worker=1)
    for generation in asks:
        leave(places, generation)
    assert (places._of_client, places._talks, places._rounds, places._served) == ({}, {}, {}, {})


# --- whatever happens ------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "end"]), st.sampled_from("abc"), st.integers(0, 2)), max_size=60
)


@given(STEPS, st.integers(1, 4), st.integers(1, 3))
def test_the_bounds_hold_and_nobody_waits_who_could_run(
    steps: list[tuple[str, str, int]], worker: int, client: int
) -> None:
    places = Places(Bounds(worker, client, 1_000))
    for action, name, number in steps:
        if action == "ask":
            enter(places, asked(name, f"talk {number}"))
        elif len(places):
            leave(places, places.all()[number % len(places)])
        running = list(places.running.values())
        talks = [(g.question.client_id, g.question.conversation_id) for g in running]
        assert len(running) <= worker
        assert len(set(talks)) == len(talks)
        assert all(clients(running).count(each) <= client for each in "abc")
        free = len(running) < worker
        for waiting in places.waiting.values():
            own = waiting.question.client_id
            ahead = places.talk(own, waiting.question.conversation_id)[0]
            assert not free or clients(running).count(own) == client or ahead is not waiting
        assert sorted(g.id for g in places.line()) == sorted(places.waiting)

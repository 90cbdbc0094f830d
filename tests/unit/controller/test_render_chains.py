from __future__ import annotations

from penstock_controller.cli.render.chains import grouped, name_of, place_of
from penstock_controller.cli.render.style import Style
from penstock_testing import status_messages as messages


def test_a_version_stands_where_its_first_chainlet_stood_with_the_entrypoint_in_front() -> None:
    inner, other = messages.chainlet("Hear"), messages.chainlet("Hear", version="9")
    entry, model = messages.chainlet("Talk", "Hear", entry=True), messages.deployment()

    assert grouped([model, inner, other, entry]) == [model, entry, inner, other]
    assert grouped([]) == []


def test_names_show_who_is_below_whom_unless_the_table_is_sorted() -> None:
    assert name_of(messages.deployment(), Style()) == "echo"
    assert name_of(messages.chainlet("Talk", entry=True), Style()) == "voice (entry)"
    assert name_of(messages.chainlet("Hear"), Style()) == "  voice.Hear"
    assert name_of(messages.chainlet("Hear"), Style(sort_by="MODEL")) == "voice.Hear"


def test_place_names_chain_version_and_calls() -> None:
    assert place_of(messages.deployment()) == ""
    assert place_of(messages.chainlet("Hear")) == "Hear, of chain voice (voice-0a1b2c3d)"
    assert place_of(messages.chainlet("Hear", "Low", "Up")) == ("Hear, of chain voice (voice-0a1b2c3d), calls Low, Up")

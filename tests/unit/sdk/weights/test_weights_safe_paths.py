from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.weights.errors import WeightsError
from penstock.weights.safe_paths import inside, mount_path, relative_name

KEY = "weights[0].mount_location"
TEXTS = st.one_of(st.text(max_size=40), st.text("./\\a\0\n ", max_size=12))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must name a file"),
        (".", "must name a file"),
        ("a/", "must name a file"),
        ("a/.", "must name a file"),
        ("/a", "must be relative"),
        ("../a", "must not lead out"),
        ("a/../../b", "must not lead out"),
        ("a/..", "must not lead out"),
        ("a\\b", "backslashes"),
        ("a\nb", "control characters"),
        ("a\0b", "control characters"),
        ("a" * 256, "more than 255 bytes"),
        ("ü" * 128, "more than 255 bytes"),
        ("\ud800", "not valid Unicode"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused_with_its_key(text: str, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason) as caught:
        relative_name(text, KEY)

    assert caught.value.key == KEY


@given(TEXTS)
def test_whatever_is_accepted_stays_inside(text: str) -> None:
    try:
        name = relative_name(text, KEY)
    except WeightsError:
        return

    base = Path("/base")
    joined = Path(str(base / name))
    assert base in joined.parents
    assert ".." not in joined.parts
    assert all(len(part.encode()) <= 255 for part in joined.parts)


@given(TEXTS)
def test_whatever_is_accepted_as_a_mount_is_absolute_and_not_of_the_system(text: str) -> None:
    for candidate in (text, f"/{text}"):
        try:
            path = mount_path(candidate, KEY)
        except WeightsError:
            continue
        assert path.is_absolute()
        assert ".." not in path.parts
        assert path.parts[1] not in ("etc", "proc", "usr")


@pytest.mark.parametrize(
    "text", ["/", "//", "/models/../etc", "/etc/cron.d/x", "//etc/x", "/usr/lib/x", "models", "/a/"]
)
def test_a_mount_that_no_weights_belong_to_is_refused(text: str) -> None:
    if text == "/a/":
        assert mount_path(text, KEY) == Path("/a")
        return
    with pytest.raises(WeightsError):
        mount_path(text, KEY)


def test_a_name_below_a_folder_is_resolved(tmp_path: Path) -> None:
    assert inside(tmp_path, PurePosixPath("data/sub/x.bin"), KEY) == tmp_path.resolve() / "data/sub/x.bin"


def test_a_link_on_the_way_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "model/data").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(WeightsError, match="through a symbolic link") as caught:
        inside(tmp_path / "model", PurePosixPath("data/x.bin"), "external_data[0].local_data_path")

    assert caught.value.key == "external_data[0].local_data_path"


def test_the_last_part_may_be_a_link_which_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x.bin").symlink_to("/somewhere/else")

    assert inside(tmp_path, PurePosixPath("x.bin"), KEY) == tmp_path.resolve() / "x.bin"

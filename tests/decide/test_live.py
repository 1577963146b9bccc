"""The policy in force while files change: the last good one stays, and nothing stands in between."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tidegate.decide.live import Live

CALL = {"request": {"model": "m"}}


def deny(code: str) -> str:
    return f'package tidegate.admission\n\ndeny contains {{"code": "{code}", "message": "m"}}\n'


def write(folder: Path, module: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder.parent / "unfinished"
    unfinished.write_text(module)
    unfinished.rename(folder / "a.rego")
    return folder


def code(live: Live) -> str:
    [reason] = live.decide(CALL).reasons
    return reason.code


def test_another_policy_takes_the_place_of_the_last(tmp_path: Path) -> None:
    told: list[str] = []
    live = Live(write(tmp_path / "p", deny("one")), told=told.append)
    assert code(live) == "one"
    assert live.reload() is False
    write(tmp_path / "p", deny("two"))
    assert code(live) == "one"
    assert live.reload() is True
    assert code(live) == "two"
    assert [line.rpartition(":")[0] for line in told] == [f"policy {tmp_path}/p is in force: sha256"] * 2


BAD = {
    "syntax": "package tidegate.admission\n\ndeny contains {",
    "check": "package tidegate.admission\n\ndeny contains x if y",
    "contract": 'package tidegate.admission\n\ndeny contains "no"',
    "another package": "package app\n\nx := 1",
    "empty": "",
}


@pytest.mark.parametrize("module", BAD.values(), ids=BAD)
def test_a_bad_policy_leaves_the_last_good_one_in_force(tmp_path: Path, module: str) -> None:
    told: list[str] = []
    live = Live(write(tmp_path / "p", deny("one")), told=told.append)
    write(tmp_path / "p", module)
    assert live.reload() is False
    assert live.reload() is False
    assert code(live) == "one"
    assert len(told) == 2  # in force, and refused: the same problem is told once
    assert f"policy {tmp_path}/p was refused, sha256:" in told[1]
    assert "stays in force" in told[1]
    write(tmp_path / "p", deny("two"))
    assert live.reload() is True
    assert code(live) == "two"


def test_removed_files_leave_the_last_good_one_in_force(tmp_path: Path) -> None:
    live = Live(write(tmp_path / "p", deny("one")))
    shutil.rmtree(tmp_path / "p")
    assert live.reload() is False
    assert code(live) == "one"


def test_the_same_mistake_again_is_told_again(tmp_path: Path) -> None:
    told: list[str] = []
    live = Live(write(tmp_path / "p", deny("one")), told=told.append)
    for module in (BAD["empty"], deny("one"), BAD["empty"]):
        write(tmp_path / "p", module)
        live.reload()
    assert len([line for line in told if "refused" in line]) == 2


def test_without_a_good_policy_every_call_is_blocked(tmp_path: Path) -> None:
    told: list[str] = []
    live = Live(tmp_path / "p", told=told.append)
    assert live.policy is None
    assert (live.decide(CALL).action, code(live)) == ("block", "policy_error")
    assert "there is none in force" in told[0]
    write(tmp_path / "p", deny("one"))
    assert live.reload() is True
    assert code(live) == "one"


def test_a_shadow_changes_apart(tmp_path: Path) -> None:
    live = Live(write(tmp_path / "p", deny("one")), write(tmp_path / "s", deny("shadow")))

    def shadows() -> list[str]:
        shadow = live.decide(CALL).shadow
        return [] if shadow is None else [reason.code for reason in shadow.reasons]

    assert (code(live), shadows()) == ("one", ["shadow"])
    write(tmp_path / "s", BAD["syntax"])
    assert live.reload() is False
    assert (code(live), shadows()) == ("one", ["shadow"])
    write(tmp_path / "s", deny("other"))
    write(tmp_path / "p", BAD["syntax"])
    assert live.reload() is True
    assert (code(live), shadows()) == ("one", ["other"])


def test_a_bad_shadow_is_left_out(tmp_path: Path) -> None:
    told: list[str] = []
    live = Live(write(tmp_path / "p", deny("one")), write(tmp_path / "s", BAD["syntax"]), told=told.append)
    assert code(live) == "one"
    assert live.decide(CALL).shadow is None
    assert "shadow policy" in told[1]


def test_a_shadow_may_stand_alone(tmp_path: Path) -> None:
    live = Live(None, write(tmp_path / "s", deny("shadow")))
    decision = live.decide(CALL)
    assert decision.action == "allow"
    assert decision.shadow is not None
    assert decision.shadow.action == "block"


# following


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Callable[[Path], Live]]:
    lives: list[Live] = []

    def follow(path: Path) -> Live:
        live = Live(path)
        live.follow(0.02)
        lives.append(live)
        return live

    yield follow
    for live in lives:
        live.close()


def becomes(live: Live, wanted: str) -> bool:
    deadline = time.monotonic() + 15
    while code(live) != wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    return code(live) == wanted


def test_changes_are_followed(tmp_path: Path, following: Callable[[Path], Live]) -> None:
    live = following(write(tmp_path / "p", deny("one")))
    assert code(live) == "one"
    for wanted in ("two", "three"):
        write(tmp_path / "p", deny(wanted))
        assert becomes(live, wanted)
    write(tmp_path / "p", BAD["syntax"])
    (tmp_path / "p" / "b.rego").write_text("package b\n")
    write(tmp_path / "p", deny("four"))
    assert becomes(live, "four")


def test_a_folder_that_comes_later_is_found(tmp_path: Path, following: Callable[[Path], Live]) -> None:
    live = following(tmp_path / "p")
    assert code(live) == "policy_error"
    write(tmp_path / "p", deny("one"))
    assert becomes(live, "one")


def test_a_link_that_leads_elsewhere_is_followed(tmp_path: Path, following: Callable[[Path], Live]) -> None:
    write(tmp_path / "release1", deny("one"))
    write(tmp_path / "release2", deny("two"))
    (tmp_path / "p").symlink_to("release1")
    live = following(tmp_path / "p")
    assert code(live) == "one"
    (tmp_path / "next").symlink_to("release2")
    (tmp_path / "next").rename(tmp_path / "p")
    assert becomes(live, "two")
    write(tmp_path / "release2", deny("three"))
    assert becomes(live, "three")

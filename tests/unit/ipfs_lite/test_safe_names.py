"""Names and links by which a folder of a stranger's could write elsewhere."""

from __future__ import annotations

import pytest

from libp2p.ipfs_lite.safe_names import is_file_name, link_fault, stays_inside


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("name", ["", ".", "..", "/", "a/b", "../x", "/etc/passwd", "a\0b", "\0"])
def test_names_that_are_none_anywhere(name: str, windows: bool) -> None:
    assert not is_file_name(name, windows=windows)


@pytest.mark.parametrize(
    "name",
    [
        "CON", "con", "nul.txt", "NUL .txt", "Aux.tar.gz", "COM1", "lpt9.x", "COM¹", "LPT³.a",
        "conin$", "CONOUT$", "a.", "a ", "a:b", "C:", "a\\b", "..\\x", "a*", "a?", 'a"', "<", ">",
        "|", "a\nb", "\x01", "x:stream",
    ],
)  # fmt: skip
def test_names_that_windows_does_not_have(name: str) -> None:
    assert not is_file_name(name, windows=True)
    assert is_file_name(name, windows=False)


@pytest.mark.parametrize("name", ["a", "..a", ".hidden", "COM", "console", "ünï", "\udcff"])
def test_names_that_are_good_everywhere(name: str) -> None:
    assert is_file_name(name, windows=False)
    assert is_file_name(name, windows=True)


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize(
    ("target", "depth", "inside"),
    [
        ("a", 0, True),
        ("a/b", 0, True),
        ("../a", 1, True),
        ("..", 1, True),
        ("../a", 0, False),
        ("../../a", 1, False),
        ("a/../b", 5, False),
        ("/etc", 3, False),
        ("//host/share", 3, False),
        ("", 1, False),
        ("a\0", 1, False),
        ("./a", 0, True),
        ("./../a", 3, False),
    ],
)
def test_where_links_lead(target: str, depth: int, inside: bool, windows: bool) -> None:
    assert stays_inside(target, depth, windows=windows) is inside


@pytest.mark.parametrize("target", ["C:x", "C:\\x", "\\x", "..\\x", "\\\\host\\share", "a\\..\\b"])
def test_links_that_lead_out_on_windows(target: str) -> None:
    assert not stays_inside(target, 0, windows=True)
    assert stays_inside(target, 0, windows=False)


@pytest.mark.parametrize(
    ("target", "unsafe", "fault"),
    [
        ("a", False, ""),
        ("../a", False, "which may be outside the folder"),
        ("../a", True, ""),
        ("", False, "which may be outside the folder"),
        ("", True, "to which no link can lead"),
        ("a\0b", True, "to which no link can lead"),
    ],
)
def test_what_is_wrong_with_a_link(target: str, unsafe: bool, fault: str) -> None:
    assert link_fault(target, 0, unsafe=unsafe) == fault

"""Bundles: what is read, what is left out, and every way in which files can be no bundle."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from tidegate.decide import bundle
from tidegate.decide.bundle import Bundle, load, read
from tidegate.rego.errors import PolicyRefused, Problem

MODULE = "package a\n"


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def archive(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            made.addfile(member, io.BytesIO(content.encode()))
    return path


def refused(path: Path) -> list[Problem]:
    with pytest.raises(PolicyRefused) as raised:
        load(path)
    return raised.value.problems


def test_a_folder(tmp_path: Path) -> None:
    files = {
        "b.rego": "package b\n",
        "a/a.rego": "\ufeff" + MODULE,
        "a/a_test.rego": "package a_test\n",
        "README.md": "not read",
        "other.json": "not JSON",
        ".hidden/c.rego": "not Rego",
        ".c.rego": "not Rego",
        "data.json": '{"x": 1, "deep": {"one": 1}, "big": 123456789012345678901234567890, "tenth": 0.1}',
        "deep/data.yaml": "two: 2\nday: 2026-11-21\nanswer: 'no'\n",
        "deep/list/data.yml": "- 1\n- 2.0\n",
    }
    made = load(write(tmp_path, files))
    assert [(source.name, source.text) for source in made.sources] == [
        (str(tmp_path / "a/a.rego"), MODULE),
        (str(tmp_path / "b.rego"), "package b\n"),
    ]
    assert made.data == {
        "x": 1,
        "deep": {"one": 1, "two": 2, "day": "2026-11-21", "answer": "no", "list": [1, 2]},
        "big": 123456789012345678901234567890,
        "tenth": 0.1,
    }
    assert made.plan is None


def test_tests_are_read_where_they_are_wanted(tmp_path: Path) -> None:
    write(tmp_path, {"a.rego": MODULE, "a_test.rego": "package a_test\n"})
    problems: list[Problem] = []
    assert len(read(tmp_path, problems, tests=True).sources) == 2
    assert problems == []


def test_links_are_followed_once(tmp_path: Path) -> None:
    # as Kubernetes mounts a ConfigMap: the files are links through a hidden folder
    write(tmp_path, {"..2026/a.rego": MODULE, "more/b.rego": "package b\n"})
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "a.rego").symlink_to("..data/a.rego")
    (tmp_path / "more" / "loop").symlink_to("..")
    assert [Path(source.name).name for source in load(tmp_path).sources] == ["a.rego", "b.rego"]


def test_an_archive_of_sources_is_the_folder(tmp_path: Path) -> None:
    files = {"a/a.rego": MODULE, "data.json": '{"x": 1}', "deep/data.yaml": "y: 2"}
    folder = load(write(tmp_path / "folder", files))
    packed = {f"/{name}": content for name, content in files.items()}
    made = load(archive(tmp_path / "b.tar.gz", {**packed, "/.manifest": '{"rego_version": 1}', "/policy.wasm": "x"}))
    assert made.digest == folder.digest
    assert made.data == folder.data
    assert [source.name for source in made.sources] == [f"{tmp_path}/b.tar.gz:a/a.rego"]


def test_an_archive_with_a_plan(tmp_path: Path) -> None:
    plan = json.dumps({"plans": {"plans": []}})
    assert load(archive(tmp_path / "b.tar.gz", {"/plan.json": plan, "/data.json": "{}"})).plan == plan


def digest(folder: Path, files: dict[str, str]) -> str:
    return load(write(folder, files)).digest


def test_the_digest_is_over_what_decides(tmp_path: Path) -> None:
    files = {"a.rego": MODULE, "data.json": '{"x": 1, "y": [1.0]}'}
    first = digest(tmp_path / "1", files)
    assert len(first) == len("sha256:") + 64
    same = {**files, "data.json": '{ "y":[1], "x":1 }', "a_test.rego": "package t", "README.md": "text"}
    assert digest(tmp_path / "2", same) == first
    others = [
        {**files, "a.rego": MODULE + "\n"},
        {**files, "data.json": '{"x": 2, "y": [1]}'},
        {**files, "b.rego": MODULE},
        {"b.rego": MODULE, "data.json": files["data.json"]},
    ]
    digests = {digest(tmp_path / f"other{n}", other) for n, other in enumerate(others)}
    assert len(digests | {first}) == len(others) + 1


WRONG: list[tuple[str, dict[str, str | bytes], str]] = [
    ("no policy", {"data.json": "{}"}, "{folder}: there is no policy here, not one `.rego` file"),
    ("no UTF-8", {"a.rego": b"package a # \xff"}, "{folder}/a.rego: byte 12 is not UTF-8"),
    ("no JSON", {"data.json": '{"a": 1,}'}, "{folder}/data.json:1:9: tidegate_bundle_error: it is not JSON: "),
    ("nested JSON", {"data.json": '{"a":' * 100_000}, "it is nested too deeply"),
    ("NaN", {"data.json": '{"a": NaN}'}, "it is not JSON: `NaN` is not a number of JSON"),
    ("a key twice", {"data.json": '{"a": {"b": 1, "b": 2}}'}, "it is not JSON: the key `b` stands twice in one object"),
    ("no object", {"data.json": "[1]"}, "{folder}/data.json:1:1: tidegate_bundle_error: it must hold an object"),
    ("no YAML", {"data.yaml": "a: [1"}, "it is not YAML: "),
    ("nested YAML", {"data.yaml": "[" * 10_000}, "it is nested too deeply"),
    (
        "an alias",
        {"data.yaml": "a: &x [1]\nb: *x"},
        "data.yaml:2:4: tidegate_bundle_error: it is not YAML: aliases are not read",
    ),
    (
        "a YAML key twice",
        {"data.yaml": "a: 1\na: 2"},
        ":2:1: tidegate_bundle_error: it is not YAML: the key `a` stands twice",
    ),
    ("a number as key", {"data.yaml": "1: a"}, "the key `1` is not a string"),
    ("a list as key", {"data.yaml": "? [a]\n: 1"}, "the key `['a']` is not a string"),
    ("a Python object", {"data.yaml": "a: !!python/object/apply:os.system [ls]"}, "could not determine a constructor"),
    ("infinity", {"data.yaml": "a: .inf"}, "it is not YAML: inf is not a number of Rego"),
    ("binary", {"data.yaml": "a: !!binary aGk="}, "it is not YAML: a bytes is not a Rego value"),
    (
        "one place, two files",
        {"data.json": '{"a": {"b": 1}}', "a/data.json": '{"b": 1}'},
        "`data.a.b` is in `{folder}/a/data.json` already",
    ),
    (
        "a value and an object",
        {"data.json": '{"a": 1}', "a/data.json": '{"b": 1}'},
        "`data.a` is in `{folder}/a/data.json` already",
    ),
]


@pytest.mark.parametrize(("files", "told"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_wrong_with_files_is_told(tmp_path: Path, files: dict[str, str | bytes], told: str) -> None:
    module: dict[str, str | bytes] = {} if "policy" in told else {"z.rego": MODULE}
    [problem] = refused(write(tmp_path, {**module, **files}))
    assert told.format(folder=tmp_path) in str(problem)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    files = {"a.rego": b"\xff", "data.json": "x", "b/data.yaml": "x: [", "c/data.json": "["}
    assert len(refused(write(tmp_path, files))) == 4


def test_what_can_be_read_is_read_beside_a_problem(tmp_path: Path) -> None:
    problems: list[Problem] = []
    made = read(write(tmp_path, {"a.rego": MODULE, "data.json": "x", "b/data.json": "{}"}), problems)
    assert (len(made.sources), made.data, len(problems)) == (1, {"b": {}}, 1)


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    assert "cannot be read: no such file or directory" in str(refused(tmp_path / "none")[0])


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.rego")
    assert "it is not a file" in str(refused(tmp_path)[0])


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LARGEST", 100)
    write(tmp_path / "folder", {"a.rego": MODULE, "b.rego": MODULE + "#" * 95})
    assert "larger than 100 bytes" in str(refused(tmp_path / "folder")[0])
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(b"\0" * 1_000_000))
    assert "larger than 100 bytes when unpacked" in str(refused(tmp_path / "bomb.tar.gz")[0])


def test_too_many_folders_and_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MOST_FILES", 2)
    write(tmp_path / "deep", {"a/b/c.rego": MODULE})
    write(tmp_path / "wide", {f"{n}.rego": MODULE for n in range(3)})
    for folder in ("deep", "wide"):
        assert "more than 2 folders, or files in one" in str(refused(tmp_path / folder)[0])


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MOST_FILES", 2)
    made = archive(tmp_path / "b.tar.gz", {f"{n}.rego": MODULE for n in range(3)})
    assert "more than 2 members" in str(refused(made)[0])


@pytest.mark.parametrize("name", ["../a.rego", "/../a.rego", "x/../../a.rego"])
def test_a_member_outside_is_refused(tmp_path: Path, name: str) -> None:
    assert "would lie outside of it" in str(refused(archive(tmp_path / "b.tar.gz", {name: MODULE}))[0])


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_member_that_is_no_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as made:
        member = tarfile.TarInfo("a.rego")
        member.type, member.linkname = kind, "/etc/passwd"
        made.addfile(member)
    assert "is neither a file nor a folder" in str(refused(tmp_path / "b.tar.gz")[0])


@pytest.mark.parametrize("content", [b"", b"text", gzip.compress(b"text"), gzip.compress(b"x" * 2000)[:-9]])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.tar.gz").write_bytes(content)
    assert len(refused(tmp_path / "b.tar.gz")) == 1


def test_an_archive_of_older_rego_is_refused(tmp_path: Path) -> None:
    made = archive(tmp_path / "b.tar.gz", {"/a.rego": MODULE, "/.manifest": '{"rego_version": 0}'})
    [problem] = refused(made)
    assert (problem.message, problem.hint) == ("the bundle is not Rego v1", "build it with `opa build --v1-compatible`")


def test_a_bundle_is_a_value(tmp_path: Path) -> None:
    made = load(write(tmp_path, {"a.rego": MODULE}))
    with pytest.raises(AttributeError):
        made.digest = "other"  # type: ignore[misc]
    assert isinstance(made, Bundle)

"""A bundle: the modules and data that decide together, read from a folder or from the archive that `opa build` makes.

* A folder gives its `.rego` files, and its `data.json`, `data.yaml` or `data.yml`; those in a folder below are found at
  its path: `tenants/data.json` is `data.tenants`. Names that begin with a dot are left out, and so are `_test.rego`.
* An archive (`.tar.gz`) holds the same, or a plan that OPA compiled. It is read in memory; nothing is ever unpacked.
* The digest is over what decides, so a bundle and an archive of it with the same names are the same.

Everything that is wrong with the files is told at once.
"""

import gzip
import hashlib
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct

from tidegate.decide.documents import CODE, BaseDocuments, from_json
from tidegate.rego.errors import PolicyRefused, Problem
from tidegate.rego.source import Source
from tidegate.rego.values import Value, json_text

LARGEST: Final = 64 * 1024 * 1024  # bytes of all files together; they and what they become are held in memory
MOST_FILES: Final = 10_000
DATA: Final = ("data.json", "data.yaml", "data.yml")
PLAN: Final = "plan.json"
MANIFEST: Final = ".manifest"


class Bundle(Struct, frozen=True, eq=False):
    """What decides."""

    name: str
    sources: tuple[Source, ...]
    data: dict[str, Value]
    plan: str | None  # OPA's own, which is used in place of the sources
    digest: str  # "sha256:" and 64 hexadecimal digits


class File(Struct, frozen=True):
    """One file of a bundle: its path inside, its name for people, what is in it."""

    path: PurePosixPath
    name: str
    content: bytes


def load(path: Path) -> Bundle:
    """The bundle at a path; raises PolicyRefused with every problem of its files."""
    problems: list[Problem] = []
    bundle = read(path, problems)
    if problems:
        raise PolicyRefused(problems)
    return bundle


def read(path: Path, problems: list[Problem], *, tests: bool = False) -> Bundle:
    """As much of a bundle as can be read, and what is wrong with the rest; its tests too, where a check wants them."""
    try:
        files = list(_archived(path) if path.is_file() else _in_folder(path, problems))
    except PolicyRefused as refused:
        problems += refused.problems
        files = []
    sources: list[tuple[str, Source]] = []
    data = BaseDocuments(problems)
    plan: str | None = None
    for file in sorted(files, key=lambda file: file.path):
        source = _source(file, problems)
        if file.path.name.endswith(".rego"):
            if tests or not file.path.name.endswith("_test.rego"):
                sources.append((str(file.path), source))
        elif str(file.path) == MANIFEST:
            _check_manifest(source, problems)
        elif str(file.path) == PLAN:
            plan = source.text
        else:
            data.add(file.path.parent.parts, source)
    if not sources and plan is None and not problems:
        problems.append(Problem(CODE, f"{path}: there is no policy here, not one `.rego` file"))
    content = {"modules": {name: source.text for name, source in sources}, "data": data.document, "plan": plan}
    digest = hashlib.sha256(json_text(content).encode("utf-8", "surrogatepass")).hexdigest()
    return Bundle(str(path), tuple(source for _, source in sources), data.document, plan, f"sha256:{digest}")


def _source(file: File, problems: list[Problem]) -> Source:
    try:
        return Source(file.name, file.content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        problems.append(Problem(CODE, f"{file.name}: byte {error.start} is not UTF-8"))
        return Source(file.name, "")


def _wanted(name: str) -> bool:
    return name.endswith(".rego") or name in DATA or name in (PLAN, MANIFEST)


# a folder


def _in_folder(root: Path, problems: list[Problem]) -> Iterator[File]:
    """The files of a folder and of those in it."""
    left = LARGEST
    for folder, names in _folders(root, problems):
        for name in sorted(names):
            # plans and manifests belong to archives: in a folder they would shadow the sources beside them
            if name.startswith(".") or not _wanted(name) or name == PLAN:
                continue
            file = Path(folder, name)
            content = _content(file, left, problems)
            if content is not None:
                left -= len(content)
                yield File(PurePosixPath(file.relative_to(root).as_posix()), str(file), content)


def _folders(root: Path, problems: list[Problem]) -> Iterator[tuple[str, list[str]]]:
    """Each folder once. Links are followed, as Kubernetes mounts its configuration through them."""
    seen: set[tuple[int, int]] = set()

    def failed(error: OSError) -> None:
        problems.append(_unreadable(error.filename or str(root), error))

    for folder, folders, names in os.walk(root, onerror=failed, followlinks=True):
        try:
            at = os.stat(folder)
        except OSError as error:
            failed(error)
            continue
        if (at.st_dev, at.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((at.st_dev, at.st_ino))
        if len(seen) > MOST_FILES or len(names) > MOST_FILES:
            raise _refused(root, f"it has more than {MOST_FILES} folders, or files in one")
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield folder, names


def _content(file: Path, left: int, problems: list[Problem]) -> bytes | None:
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                problems.append(Problem(CODE, f"{file}: it is not a file"))
                return None
            content = opened.read(left + 1)
    except OSError as error:
        problems.append(_unreadable(str(file), error))
        return None
    if len(content) > left:
        raise PolicyRefused([Problem(CODE, f"{file}: the files together are larger than {LARGEST} bytes")])
    return content


def _unreadable(name: str, error: OSError) -> Problem:
    return Problem(CODE, f"{name}: cannot be read: {(error.strerror or type(error).__name__).lower()}")


# an archive


def _archived(archive: Path) -> Iterator[File]:
    """The files of a `.tar.gz`. One member that would lie outside, or is neither file nor folder, refuses them all."""
    try:
        with gzip.open(archive) as opened:
            content = opened.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise _refused(archive, f"it is larger than {LARGEST} bytes when unpacked")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as unpacked:
            for count, member in enumerate(unpacked):
                if count >= MOST_FILES:
                    raise _refused(archive, f"it has more than {MOST_FILES} members")
                yield from _member(archive, unpacked, member)
    except (gzip.BadGzipFile, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        raise _refused(archive, f"it is no archive of `opa build`: {str(error).lower()}") from None
    except OSError as error:
        raise PolicyRefused([_unreadable(str(archive), error)]) from None


def _member(archive: Path, unpacked: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[File]:
    path = PurePosixPath(member.name.lstrip("/"))
    if ".." in path.parts:
        raise _refused(archive, f"its member `{member.name[:200]}` would lie outside of it")
    if member.isdir():
        return
    if not member.isreg():
        raise _refused(archive, f"its member `{member.name[:200]}` is neither a file nor a folder")
    if _wanted(path.name):
        held = unpacked.extractfile(member)
        if held is not None:
            yield File(path, f"{archive}:{path}", held.read())


def _refused(archive: Path, message: str) -> PolicyRefused:
    return PolicyRefused([Problem(CODE, f"{archive}: {message}")])


def _check_manifest(source: Source, problems: list[Problem]) -> None:
    manifest = from_json(source, problems)
    if isinstance(manifest, dict) and manifest.get("rego_version", 1) != 1:
        hint = "build it with `opa build --v1-compatible`"
        problems.append(Problem(CODE, "the bundle is not Rego v1", source, 0, 1, hint))

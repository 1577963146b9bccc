"""What pyproject.toml cannot say: the compiled modules, and the files that travel with the package."""

import gzip
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from shutil import copytree

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ENGINE = Path("engine")
POLICIES = Path("policies")
RANKS = ENGINE / "tidegate" / "count" / "data"
LATER = bool(os.environ.get("COMPILE_LATER"))  # the Makefile compiles in place after pip, which would do it for nothing
# Compiled: what touches bytes (.pyx), and the plain Python modules that every call and event runs through, for which
# a .pxd beside them declares the C fields. Those run uncompiled just as well; docs/performance.md has the gain.
SOURCES = sorted([*ENGINE.rglob("*.pyx"), *(pxd.with_suffix(".py") for pxd in ENGINE.rglob("*.pxd"))])
SOURCES = [source for source in SOURCES if source.exists()]


class BuildWithPolicies(build_py):
    """A wheel carries policies/ inside the package; a checkout reads them where they are. Its rank files are proved."""

    def run(self) -> None:
        prove_ranks()
        super().run()
        if not self.editable_mode:
            copytree(POLICIES, Path(self.build_lib, "tidegate", "_policies"), dirs_exist_ok=True)

    def get_source_files(self) -> list[str]:
        # cythonize() leaves the .pyx out of the sdist unless they are named here
        sources = [*SOURCES, *ENGINE.rglob("*.pxd"), *ENGINE.rglob("*.h"), *POLICIES.rglob("*.*")]
        return super().get_source_files() + [str(path) for path in sources]


class BuildWithTables(build_ext):
    """The tables of the published vocabularies belong to the compiled counter: they are made when that is."""

    def run(self) -> None:
        super().run()
        package = ENGINE if self.inplace else Path(self.build_lib)
        # found as what stands in the working directory: PYTHONPATH is where pip puts what it brought for the build
        subprocess.run([sys.executable, "-m", "tidegate.count.vocabulary"], check=True, cwd=package)


def prove_ranks() -> None:
    """Whoever carried the rank files here need not be trusted: they are those that their publisher pins."""
    for line in (RANKS / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        if sha256(gzip.decompress((RANKS / f"{name}.gz").read_bytes())).hexdigest() != digest:
            raise SystemExit(f"{RANKS / name}.gz is not the published file")


def extension(source: Path) -> Extension:
    module = ".".join(source.relative_to(ENGINE).with_suffix("").parts)
    headers = [str(path) for path in source.parent.glob("*.h")]
    return Extension(module, [str(source)], depends=headers, extra_compile_args=["-O2"])


setup(
    options={"build_ext": {"parallel": 2}},
    cmdclass={"build_py": BuildWithPolicies, "build_ext": BuildWithTables},
    ext_modules=[]
    if LATER
    else cythonize(
        [extension(source) for source in SOURCES],
        compiler_directives={
            "language_level": "3",
            "auto_pickle": False,
            "autotestdict": False,
            "annotation_typing": False,  # annotations are for mypy; the C types stand in the .pxd
        },
        build_dir="build/cython",
        nthreads=2,
    ),
)

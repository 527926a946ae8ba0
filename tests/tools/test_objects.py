"""Kept objects: whatever decides an object's bytes decides which one is taken."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from microtune.errors import MicrotuneError
from microtune.runtime.files import RUNTIME, RUNTIME_INCLUDES
from microtune.tools.objects import OBJECTS, Compilation, included, object_store
from microtune.tools.toolchain import find_host_compiler

SOURCE = Path("src/a.c")
USER = "int c(void) { return X; }\n"
FILES = {
    "src/a.c": '#include "b.h"\nint answer(void) { return ANSWER; }\n',
    "src/other.h": "#define ANSWER 1\n",
    "include/b.h": '#  include "deep/c.h"\n',
    "include/deep/c.h": "#define ANSWER 42\n",
    "include/unused.h": "#define ANSWER 3\n",
}


@pytest.fixture
def compilation(tmp_path: Path) -> Compilation:
    """One C file whose value stands two headers away; `include` is searched before `src`."""
    write(tmp_path / "p", FILES)
    flags = ("-O1", "-Iinclude", "-Isrc")
    return Compilation(
        find_host_compiler(), flags, tmp_path / "p", tmp_path / "build", tmp_path / "store"
    )


def write(project: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")


def test_equal_sources_of_another_project_are_not_compiled_again(
    compilation: Compilation, tmp_path: Path
) -> None:
    (first,) = compilation.objects([SOURCE])
    made = first.stat().st_mtime_ns
    write(tmp_path / "q", FILES | {"include/unused.h": "/* read by nobody */\n"})
    (second,) = replace(compilation, project=tmp_path / "q").objects([SOURCE])
    assert second == first and second.stat().st_mtime_ns == made
    assert first.is_relative_to(tmp_path / "store")
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("src/a.c", '#include "b.h"\nint answer(void) { return ANSWER + 1; }\n'),
        ("include/deep/c.h", "#define ANSWER 43\n"),
        ("src/b.h", "#define ANSWER 43\n"),  # in front of the one in `include`
    ],
)
def test_a_changed_file_gives_its_own_object(
    compilation: Compilation, name: str, text: str
) -> None:
    (old,) = compilation.objects([SOURCE])
    write(compilation.project, {name: text})
    (new,) = compilation.objects([SOURCE])
    assert new != old and new.read_bytes() != old.read_bytes()
    fresh = replace(compilation, store=None)
    assert new.read_bytes() == fresh.objects([SOURCE])[0].read_bytes()


def test_flags_and_version_of_the_compiler_are_part_of_the_key(compilation: Compilation) -> None:
    newer = replace(compilation.compiler, version="99.0")
    seen = {
        other.objects([SOURCE])[0]
        for other in (
            compilation,
            replace(compilation, flags=(*compilation.flags, "-O2")),
            replace(compilation, compiler=newer),
            replace(compilation, placing=("-ffile-prefix-map=/nowhere=.",)),
        )
    }
    assert len(seen) == 3  # a flag that only names a place is not


def test_a_macro_makes_another_object_only_where_it_is_used(compilation: Compilation) -> None:
    write(compilation.project, {"src/b.c": "int b(void) { return 2; }\n", "src/c.c": USER})
    sources = [Path("src/b.c"), Path("src/c.c")]
    found = [
        replace(compilation, flags=(*compilation.flags, f"-DX={x}")).objects(sources)
        for x in (1, 2, 1)
    ]
    (plain, one), (same, two), again = ([p.resolve() for p in pair] for pair in found)
    assert (plain, one) == tuple(again) and plain == same and one != two
    assert one.read_bytes() != two.read_bytes()
    (alone,) = replace(compilation, store=None).objects(sources[:1])
    assert plain.read_bytes() == alone.read_bytes()


GUARD = "#ifndef MT_NETWORK\n#define MT_NETWORK 0x{0}\n#elif MT_NETWORK != 0x{0}\n#error\n#endif\n"


def test_networks_share_what_does_not_depend_on_their_number(compilation: Compilation) -> None:
    """The number stands in every header of a project; headers of two networks are an error."""
    found = []
    for number in ("0123abcd", "89ab4567"):
        write(compilation.project, {"include/b.h": GUARD.format(number) + FILES["include/b.h"]})
        (kept,) = compilation.objects([SOURCE])
        (alone,) = replace(compilation, store=None).objects([SOURCE])
        assert kept.read_bytes() == alone.read_bytes()
        found.append(kept)
    assert found[0] == found[1]
    other = GUARD.format("0123abcd") + FILES["include/deep/c.h"]
    write(compilation.project, {"include/deep/c.h": other})
    with pytest.raises(MicrotuneError):
        compilation.objects([SOURCE])


def test_the_key_holds_what_the_compiler_reads(compilation: Compilation) -> None:
    """The compiler's own list of files, for the real runtime with all its rooms."""
    flags = (*RUNTIME_INCLUDES, "-Iport", "-DMT_PORTABLE")
    for source in sorted(RUNTIME.glob("portable/*.c")):
        relative = source.relative_to(RUNTIME)
        command = [*compilation.compiler.command, *flags, "-MM", str(relative)]
        done = subprocess.run(command, cwd=RUNTIME, capture_output=True, text=True, check=True)
        listed = {Path(os.path.normpath(p)) for p in done.stdout.replace("\\\n", "").split()[1:]}
        assert listed <= {Path(os.path.normpath(p)) for p in included(RUNTIME, relative, flags)}


def test_what_does_not_compile_is_not_kept(compilation: Compilation) -> None:
    write(compilation.project, {"include/deep/c.h": "#error no answer\n"})
    with pytest.raises(MicrotuneError, match="no answer"):
        compilation.objects([SOURCE])
    assert compilation.store is not None and not list(compilation.store.iterdir())


def test_many_at_once_get_one_whole_object(compilation: Compilation) -> None:
    assert compilation.store is not None
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: compilation.objects([SOURCE])[0], range(16)))
    assert len(set(found)) == 1 and found[0].stat().st_size > 0
    assert len(list(compilation.store.iterdir())) == 1


def test_the_environment_names_the_store_of_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(OBJECTS, raising=False)
    assert object_store() is None and object_store(tmp_path) == tmp_path
    monkeypatch.setenv(OBJECTS, str(tmp_path / "all"))
    assert object_store() == object_store(tmp_path) == tmp_path / "all"

"""The names of the classes in C are the very bytes of the data set's, whatever they hold."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from microtune import embedded, pipeline
from microtune.codegen.class_names import (
    c_string,
    classes_text,
    declaration,
    definition,
    flash_bytes,
)
from microtune.codegen.names import external_names
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.project.manifest import read_plan
from microtune.targets import load_target

NAMES = (
    "plain", 'quo"te', "back\\slash", "what??/a\"b", "??=??)??!", "tab\tnew\nline", "café",
    "\x01" + "7f", "R\"(raw)\"", "ü9", "日本", "100%d %n", "latin-\udce9", "'", "/* no comment */",
    "//", " ", "{}$", "mt_input", "MT_CLASSES", "`tick`", "[/bold]",
)  # fmt: skip
MAIN = """
#include <stdio.h>
#include <string.h>
#define MT_CLASSES {count}
{declaration}
int main(void) {{
    for (int i = 0; i < MT_CLASSES; i++) fwrite(mt_class_names[i], 1, strlen(mt_class_names[i]) + 1, stdout);
    return 0;
}}
"""  # noqa: E501


def request(names: tuple[str, ...], flash: int = 1 << 20) -> pipeline.Request:
    chip = load_target("cortex-m7")
    return pipeline.Request(
        len(names) or 5, "head-only", chip, 1 << 20, flash, class_names=names, names_in_c=True
    )


@pytest.mark.parametrize("compiler", ["gcc -std=c99", "gcc -std=gnu11", "g++ -std=c++11"])
def test_c_gives_back_every_byte(tmp_path: Path, compiler: str) -> None:
    """Trigraphs on, all warnings errors; the definition is C in every case."""
    warnings = ["-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-trigraphs",
                "-Wno-trigraphs"]  # fmt: skip
    header, (source,) = declaration(NAMES), definition(NAMES)
    (tmp_path / "names.c").write_text(f"#define MT_CLASSES {len(NAMES)}\n{header}\n{source}\n")
    suffix = "cc" if "g++" in compiler else "c"
    main = tmp_path / f"main.{suffix}"
    main.write_text(MAIN.format(count=len(NAMES), declaration=header))
    strict = ["gcc", "-std=c99", *warnings, "-c", "names.c", "-o", "names.o"]
    subprocess.run(strict, cwd=tmp_path, check=True)
    command = [*compiler.split(), *warnings, main.name, "names.o", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(name) for name in NAMES]


def test_a_literal_reads_as_ascii_and_swallows_nothing() -> None:
    assert c_string("café9") == '"caf\\303\\2519"'
    assert c_string('a"\\?') == '"a\\042\\134\\077"'
    assert "mt_" not in c_string("mt_input")


def test_a_project_names_its_classes(tmp_path: Path) -> None:
    """In plan.json and the README always, in the C on request; no byte of flash unaccounted."""
    model = load_any(embedded.MODEL)
    pipeline.compile_model(model, request(NAMES), tmp_path / "p")
    assert read_plan(tmp_path / "p").class_names == NAMES
    readme = (tmp_path / "p/README.md").read_text()
    for line in (
        "| 0 | `plain` |", "`latin-\\xe9`", "`` `tick` ``", "| 5 | `tab\\x09new\\x0aline` |",
    ):  # fmt: skip
        assert line in readme
    assert "extern const char" in (tmp_path / "p/model/microtune_model.h").read_text()
    assert flash_bytes(("ab", "é")) == 3 + 3 + 8
    needed = pipeline.constant_bytes(pipeline.training_graph(model, request(NAMES))[0])
    exact = needed + flash_bytes(NAMES) + pipeline.CODE_BYTES
    pipeline.compile_model(model, request(NAMES, exact), tmp_path / "p")
    with pytest.raises(MicrotuneError, match="flash budget missed"):
        pipeline.compile_model(model, request(NAMES, exact - 1), tmp_path / "p")


def test_without_names_there_is_none_and_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(MicrotuneError, match="nobody has said what the classes are called"):
        pipeline.compile_model(load_any(embedded.MODEL), request(()), tmp_path / "p")
    assert "not given" in classes_text((), 5)
    assert classes_text(("a|b",), 1).splitlines()[2] == "| 0 | `a\\|b` |"
    assert declaration(()) == "" and definition(()) == []


def test_the_names_are_an_external_name_like_any_other() -> None:
    """Two networks in one firmware tell theirs apart (codegen/names.py)."""
    (text,) = definition(("mt_infer", "b"))
    assert external_names({"model/m.c": text}) == ["mt_class_names"]

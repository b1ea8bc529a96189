"""The notebook docs/tour.ipynb: what it stores, what it imports, and that it runs."""

import ast
import importlib
import os
import pathlib
import re

import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILE = ROOT / "docs" / "tour.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(FILE, as_version=nbformat.NO_CONVERT)


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def imports(notebook) -> list[tuple[str, str | None]]:
    """(module, name in it) of every import; None: the module itself."""
    found = []
    for cell in code(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                found += [(alias.name, None) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found += [(node.module, alias.name) for alias in node.names]
    return found


def test_it_is_valid_small_and_was_run_from_top_to_bottom(notebook):
    nbformat.validate(notebook)
    assert FILE.stat().st_size < 500_000
    counts = [cell.execution_count for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert {output.output_type for output in outputs} == {
        "stream",
        "display_data",
        "execute_result",
    }
    assert {output.name for output in outputs if output.output_type == "stream"} == {"stdout"}


def test_its_outputs_name_no_path_of_a_machine(notebook):
    texts = []
    for cell in code(notebook):
        for output in cell.outputs:
            texts += [output.text] if "text" in output else [output.data.get("text/plain", "")]
        assert set(cell.metadata) <= {"tags"}  # no times of execution
    assert any("runs/people: finished" in text for text in texts)
    assert [text for text in texts if re.search(r"(?<![\w.])(/|~|[A-Z]:\\)\w", text)] == []


def test_all_that_it_imports_exists_and_stands_in_the_reference(notebook):
    reference = re.findall(r"^::: (\S+)$", (ROOT / "docs/reference.md").read_text(), re.MULTILINE)
    ours = set()
    for module, name in imports(notebook):
        if module.startswith("hparse_jax."):
            ours.add(module)
            assert hasattr(importlib.import_module(module), name), (module, name)
    assert len(ours) > 5
    assert ours <= set(reference)


@pytest.mark.slow
def test_it_runs_and_shows_results_as_pictures(notebook, tmp_path):
    """With two steps of training instead of hundreds. Takes minutes: it compiles a lot."""
    from nbclient import NotebookClient

    (parameters,) = (
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
    )
    parameters.source = re.sub(r"= .*", "= 2, 2", parameters.source)
    stored = [[output.output_type for output in cell.outputs] for cell in code(notebook)]
    # the kernel imports this checkout, and leaves its files where the test's are cleaned up
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    NotebookClient(notebook, timeout=1200).execute(env=environment)
    shown = [output for cell in code(notebook) for output in cell.outputs]
    results = [
        output.data
        for output in shown
        if output.output_type == "execute_result" and "image/png" in output.data
    ]
    assert len(results) == 2
    for data in results:
        assert data["text/plain"].startswith("<Result 107 x 141 pixels, levels parts, ")
    assert [bool(kinds) for kinds in stored] == [bool(cell.outputs) for cell in code(notebook)]
    (equal,) = re.findall(r"equal labels: ([\d.]+)%", shown[-1].text)
    assert float(equal) > 99.9

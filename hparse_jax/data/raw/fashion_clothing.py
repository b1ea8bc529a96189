"""Fashion Clothing (CNIF section 4.1): Clothing Co-Parsing, CFPD and Fashionista together.

```
RAW/clothing-co-parsing/photos/...         see clothing_co_parsing.py; or RAW itself is this folder
RAW/**/fashon_parsing_data.mat             see cfpd.py
RAW/**/fashionista*.mat                    see fashionista.py
RAW/splits/{train,val}.txt                 optional: one id a line; test.txt will do for val.txt
```

Any of the three may be absent. Without lists 10 % of each, held out at random with a fixed seed,
are for validation. Photos that hold a label without a class are left out and counted. Each of the
three has terms of its own. Public lists of Clothing Co-Parsing: docs/datasets.md.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

from hparse_jax.data.raw import cfpd, clothing_co_parsing, fashionista
from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.source import Layout, Sample, Source, find_lists, read_ids
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy

CCP = "clothing-co-parsing"
SHARES = {"train": 0.9, "val": 0.1}


def find(manual_dir: pathlib.Path) -> Source:
    """The samples of the datasets that are there. Raises InputError when there is none."""
    raw = Files(manual_dir)
    lists, ccp_lists = _lists(raw), {}
    found: dict[str, Callable[[], Source]] = {}
    ccp = raw if raw.has_folder("photos") else Files(manual_dir / CCP)
    if ccp.has_folder("photos"):
        if ccp is raw:  # RAW is Clothing Co-Parsing, and its lists are of that
            lists = {}
        ccp_lists = _lists(ccp)
        raw.problems |= ccp.problems
        found["ccp"] = functools.partial(clothing_co_parsing.find, ccp, ccp_lists)
    for name, module, pattern in (
        ("cfpd", cfpd, "fash*on_parsing_data.mat"),
        ("fashionista", fashionista, "fashionista*.mat"),
    ):
        mats = sorted(p for depth in ("", "*/", "*/*/") for p in manual_dir.glob(depth + pattern))
        mats = [mat for mat in mats if raw.has(mat.relative_to(manual_dir).as_posix())]
        if mats:
            found[name] = functools.partial(module.find, mats[0])
    if not found:
        raise InputError(f"{manual_dir}: holds none of the three datasets; give {LAYOUT.wanted}")
    sources: dict[str, Source] = {}
    for name, find_one in found.items():
        try:
            sources[name] = find_one()
            raw.problems |= dict.fromkeys(sources[name].problems)
        except InputError as error:  # the others may have problems, too
            raw.note(str(error))
    samples = [
        dataclasses.replace(sample, family=name)
        for name, source in sources.items()
        for sample in source.samples
    ]
    if lists:
        samples = _take_listed(raw, lists, samples)
    counts = {name: len(source.samples) for name, source in sources.items()}
    notes = {key: value for source in sources.values() for key, value in source.notes.items()}
    return Source(
        get_hierarchy("fashion_clothing"),
        samples,
        read_image=lambda sample: sources[sample.family].read_image(sample),
        read_labels=lambda sample: sources[sample.family].read_labels(sample),
        place=lambda sample, name: sources[sample.family].place(sample, name),
        problems=list(raw.problems),
        shares=SHARES,
        splits=tuple(lists or ccp_lists),
        notes={"splits": _splits_note(samples), "sources": counts, **notes},
    )


def _lists(files: Files) -> dict[str, str]:
    """split -> its list; both or none. The photos held out may be listed as test or as val."""
    lists = find_lists(files)
    if "test" in lists:
        lists.setdefault("val", lists.pop("test"))
    if len(lists) == 1:
        missing = next(split for split in SHARES if split not in lists)
        where = files.where(next(iter(lists.values())))
        files.note(f"{where}: no list of split {missing} beside it; give both lists or none")
    return lists


def _splits_note(samples: list[Sample]) -> str:
    held_out = sorted({s.family for s in samples if s.split is None})
    listed = sorted({s.family for s in samples if s.split is not None})
    notes = [f"{', '.join(listed)} by the lists of the raw folder"] if listed else []
    notes += [f"{', '.join(held_out)} random with seed 0, 9 : 1"] if held_out else []
    return "; ".join(notes)


def _take_listed(files: Files, lists: dict[str, str], samples: list[Sample]) -> list[Sample]:
    known = {sample.id: sample for sample in samples}
    taken = []
    for split, name in lists.items():
        for photo_id in read_ids(files, name):
            if photo_id in known:
                taken.append(dataclasses.replace(known[photo_id], split=split))
            else:
                files.note(
                    f"{files.where(name)}: lists {photo_id}, but no dataset here has such a photo "
                    "with labels; remove the line or add the files"
                )
    return taken


LAYOUT = Layout(
    find,
    f"the folder {CCP} (photos/, annotations/, label_list.mat), CFPD's fashon_parsing_data.mat "
    "with its photos, Fashionista's .mat file, or a folder that holds any of them",
)

"""The files of a raw dataset: a folder and the zip archives in it, read only, never outside it."""

import functools
import os
import pathlib
import stat
import zipfile
from collections.abc import Iterator, Sequence

from hparse_jax.errors import InputError
from hparse_jax.storage import is_safe_name


class Files:
    """A raw folder; an archive X.zip in it stands for the folder X where that was not unpacked.

    Names are paths relative to the folder, with "/". problems: what is wrong with the files, each
    line once, above all what had to be refused: links and members of archives that lead out of the
    folder, archives that cannot be read.
    """

    def __init__(self, root: pathlib.Path, archives: Sequence[str] = ()):
        self.root = root
        self.problems: dict[str, None] = {}  # in the order in which they were found
        self._members: dict[str, tuple[pathlib.Path, str]] = {}  # name -> (archive, member)
        for folder in archives:
            if self.has(f"{folder}.zip") and not (root / folder).is_dir():
                self._index(folder, root / f"{folder}.zip")

    def note(self, problem: str) -> None:
        """Adds a line to the problems, unless they hold it already."""
        self.problems[problem] = None

    def stems(self, folder: str, suffixes: tuple[str, ...]) -> dict[str, list[str]]:
        """The files under a folder by their path in it without suffix; two may share a stem."""
        found: dict[str, list[str]] = {}
        for name in self._walk(folder):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in suffixes:
                inside = os.path.relpath(stem, folder).replace(os.sep, "/")
                found.setdefault(inside, []).append(name)
        return found

    def has_folder(self, folder: str) -> bool:
        """Whether there is such a folder, unpacked or in an archive."""
        inside = f"{folder}/"
        return (self.root / folder).is_dir() or any(m.startswith(inside) for m in self._members)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        path = self.root / name
        return name in self._members or (path.is_file() and not self._leaves(path))

    def where(self, name: str) -> str:
        """The place of a file for messages: its path, or archive and member."""
        if name in self._members:
            return ":".join(map(str, self._members[name]))
        return str(self.root / name)

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises InputError when it cannot be read."""
        try:
            if name in self._members:
                archive, member = self._members[name]
                return _opened(archive, archive.stat().st_mtime_ns).read(member)
            return (self.root / name).read_bytes()
        except Exception as error:  # zipfile answers a broken archive with errors of many types
            raise InputError(
                f"{self.where(name)}: cannot be read ({error}); get the file again"
            ) from error

    def _walk(self, folder: str) -> Iterator[str]:
        yield from (name for name in self._members if name.startswith(f"{folder}/"))
        top = self.root / folder
        if not top.is_dir() or self._leaves(top):
            return
        for parent, folders, files in os.walk(top):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for link in [pathlib.Path(parent, f) for f in folders]:
                if link.is_symlink() and not self._leaves(link):
                    self.note(f"{link}: a link to a folder; put the files themselves there")
            for path in [pathlib.Path(parent, f) for f in sorted(files) if not f.startswith(".")]:
                try:
                    str(path).encode()  # ids must be UTF-8
                except UnicodeEncodeError:
                    self.note(f"{str(path)!a}: its name is not UTF-8; rename the file")
                    continue
                if path.is_symlink() and self._leaves(path):
                    continue
                if path.is_file():
                    yield path.relative_to(self.root).as_posix()
                else:
                    self.note(f"{path}: not a regular file; remove it")

    def _leaves(self, path: pathlib.Path) -> bool:
        """Whether a path leads out of the raw folder; then it is a problem."""
        try:
            target = path.resolve(strict=path.is_symlink())
        except (OSError, RuntimeError):
            target = pathlib.Path("nowhere")
        if target.is_relative_to(self.root.resolve()):
            return False
        self.note(
            f"{path}: a link to {target}, outside the raw folder; put the files themselves there"
        )
        return True

    def _index(self, folder: str, archive: pathlib.Path) -> None:
        """Adds an archive's members; they lie in `folder`, whether they say so or not."""
        try:
            members = _opened(archive, archive.stat().st_mtime_ns).infolist()
        except (OSError, zipfile.BadZipFile) as error:
            self.note(f"{archive}: not a whole zip archive ({error}); download it again")
            return
        for member in members:
            if member.is_dir() or member.filename.startswith("__MACOSX/"):
                continue
            linked = stat.S_ISLNK(member.external_attr >> 16)
            if linked or not is_safe_name(member.filename):
                self.note(
                    f"{archive}: member {member.filename!r} is a link or leads out of the folder; "
                    "remove it from the archive"
                )
                continue
            name = member.filename
            while name.startswith(f"{folder}/"):
                name = name.removeprefix(f"{folder}/")
            self._members[f"{folder}/{name}"] = archive, member.filename


@functools.lru_cache(maxsize=8)
def _opened(archive: pathlib.Path, changed: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive)

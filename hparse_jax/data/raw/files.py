"""The files of a raw dataset: a folder and the zip archives in it, read only, never outside it."""

import functools
import os
import pathlib
import stat
import zipfile
from collections.abc import Sequence

from hparse_jax.errors import InputError
from hparse_jax.storage import is_safe_name


class Files:
    """A raw folder; an archive X.zip in it stands for the folder X where that was not unpacked.

    Names are paths relative to the folder, with "/". problems: what had to be refused: links and
    members of archives that lead out of the folder, archives that cannot be read.
    """

    def __init__(self, root: pathlib.Path, archives: Sequence[str] = ()):
        self.root = root
        self.problems: list[str] = []
        self._archives = {
            name: root / f"{name}.zip"
            for name in archives
            if self.has_plain(f"{name}.zip") and not (root / name).is_dir()
        }
        self._members = {
            name: (archive, member)
            for folder, archive in self._archives.items()
            for name, member in self._index(folder, archive).items()
        }

    def stems(self, folder: str, suffixes: tuple[str, ...]) -> dict[str, list[str]]:
        """The files under a folder by their path in it without suffix; two may share a stem."""
        found: dict[str, list[str]] = {}
        for name in self._walk(folder):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in suffixes:
                found.setdefault(os.path.relpath(stem, folder).replace(os.sep, "/"), []).append(
                    name
                )
        return found

    def has_folder(self, folder: str) -> bool:
        """Whether there is such a folder, unpacked or in an archive."""
        inside = f"{folder}/"
        return (self.root / folder).is_dir() or any(m.startswith(inside) for m in self._members)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return name in self._members or self.has_plain(name)

    def has_plain(self, name: str) -> bool:
        """Whether there is such a file that is in no archive."""
        path = self.root / name
        return path.is_file() and not self._leaves(path)

    def where(self, name: str) -> str:
        """The place of a file for messages: its path, or archive and member."""
        if name in self._members and not (self.root / name).exists():
            archive, member = self._members[name]
            return f"{archive}:{member}"
        return str(self.root / name)

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises InputError when it is missing or cannot be read."""
        try:
            if name in self._members:
                archive, member = self._members[name]
                return self._open(archive).read(member)
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            raise InputError(f"{self.where(name)}: missing; unpack the dataset again") from None
        except Exception as error:  # zipfile answers a broken archive with errors of many types
            raise InputError(
                f"{self.where(name)}: cannot be read ({error}); get the file again"
            ) from error

    def read_list(self, name: str) -> list[str]:
        """The lines of a list, without blank ones; any line ends. Raises InputError."""
        try:
            text = self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.where(name)}: not a text file ({error.reason}); put one id a line into it"
            ) from error
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _walk(self, folder: str) -> list[str]:
        inside = f"{folder}/"
        names = [name for name in self._members if name.startswith(inside)]
        top = self.root / folder
        if top.is_dir() and not self._leaves(top):
            for parent, folders, files in os.walk(top):
                folders[:] = sorted(f for f in folders if not f.startswith("."))
                for link in [pathlib.Path(parent) / f for f in folders]:
                    if link.is_symlink() and not self._leaves(link):
                        self.problems.append(
                            f"{link}: a link to a folder; put the files themselves there"
                        )
                for file in sorted(files):
                    path = pathlib.Path(parent) / file
                    if file.startswith(".") or not self._is_text(path):
                        continue
                    if path.is_symlink() and self._leaves(path):
                        continue
                    if not path.is_file():
                        self.problems.append(f"{path}: not a regular file; remove it")
                    else:
                        names.append(path.relative_to(self.root).as_posix())
        return names

    def _is_text(self, path: pathlib.Path) -> bool:
        """Whether a file's name is UTF-8, as ids must be; else it is a problem."""
        try:
            str(path).encode()
        except UnicodeEncodeError:
            self._note(f"{str(path)!a}: its name is not UTF-8; rename the file")
            return False
        return True

    def _leaves(self, path: pathlib.Path) -> bool:
        """Whether a path leads out of the raw folder; then it is a problem."""
        try:
            target = path.resolve(strict=path.is_symlink())
        except (OSError, RuntimeError):
            target = pathlib.Path("nowhere")
        if target.is_relative_to(self.root.resolve()):
            return False
        self._note(
            f"{path}: a link to {target}, outside the raw folder; put the files themselves there"
        )
        return True

    def _note(self, problem: str) -> None:
        if problem not in self.problems:  # folders are walked more than once
            self.problems.append(problem)

    def _index(self, folder: str, archive: pathlib.Path) -> dict[str, str]:
        """Name -> member of an archive; members lie in `folder`, whether they say so or not."""
        try:
            members = self._open(archive).infolist()
        except (OSError, zipfile.BadZipFile) as error:
            self.problems.append(f"{archive}: not a whole zip archive ({error}); download it again")
            return {}
        names = {}
        for member in members:
            if member.is_dir() or member.filename.startswith("__MACOSX/"):
                continue
            linked = stat.S_ISLNK(member.external_attr >> 16)
            if linked or not is_safe_name(member.filename):
                self.problems.append(
                    f"{archive}: member {member.filename!r} is a link or leads out of the folder; "
                    "remove it from the archive"
                )
                continue
            name = member.filename
            while name.startswith(f"{folder}/"):
                name = name[len(folder) + 1 :]
            names[f"{folder}/{name}"] = member.filename
        return names

    def _open(self, archive: pathlib.Path) -> zipfile.ZipFile:
        return _opened(archive, archive.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _opened(archive: pathlib.Path, changed: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive)

"""Where the published datasets keep their photographs, labels and id lists, and what a folder has of them."""

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from dataset.files import first_few, read_text, visible_files

SPLITS = ("train", "val")
# In the order of preference, should a folder hold the same photograph in several formats.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp")
LABEL_SUFFIXES = (".png",)


class DatasetError(ValueError):
    """A dataset's files are not as they should be; the message says what, where, and what to do."""

    def __str__(self) -> str:
        """Return the message, without the traceback that a DataLoader puts before that of a worker."""
        return super().__str__().rpartition(f"{type(self).__name__}: ")[2].rstrip()


class SplitFolders(NamedTuple):
    """Where one split lies, relative to the dataset's root; without `ids` the photographs are the list.

    people: of datasets that come with them, the person maps.
    """

    images: str
    labels: str
    ids: str | None
    people: str | None = None


class Sample(NamedTuple):
    """One photograph and its label map; `label_path` is None where labels were not asked for.

    id: the photograph's path inside its folder, without the suffix; with forward slashes.
    people_path: its person map, see `dataset.reading.read_people`; None where the dataset has none of it.
    """

    id: str
    image_path: Path
    label_path: Path | None
    people_path: Path | None = None


class SplitContents(NamedTuple):
    """What a folder has of one split: the ids in the order of the list, and by id photographs, label maps, person maps.

    `repeated` has the line numbers (from 1) of ids that are listed more than once, whose first place counts in `ids`.
    `missing` says in sentences which folder or list is not there at all.
    """

    ids: list[str]
    images: dict[str, Path]
    labels: dict[str, Path]
    people: dict[str, Path]
    repeated: dict[str, list[int]]
    missing: list[str]

    def samples(self) -> list[Sample]:
        """Return the samples whose photograph is there, each with what there is of the rest."""
        found = [name for name in self.ids if name in self.images]
        return [Sample(name, self.images[name], self.labels.get(name), self.people.get(name)) for name in found]


LAYOUTS: dict[str, dict[str, SplitFolders]] = {
    "lip": {split: SplitFolders(f"{split}_images", f"{split}_segmentations", f"{split}_id.txt") for split in SPLITS},
    "cihp": {
        split: SplitFolders(f"{root}/Images", f"{root}/Category_ids", f"{root}/{split}_id.txt", f"{root}/Human_ids")
        for split, root in (("train", "Training"), ("val", "Validation"))
    },
    "ade20k": {
        "train": SplitFolders("images/training", "annotations/training", None),
        "val": SplitFolders("images/validation", "annotations/validation", None),
    },
    # The folders of PASCAL VOC, which both splits share.
    "voc": {split: SplitFolders("JPEGImages", "SegmentationClassAug", f"list/{split}_id.txt") for split in SPLITS},
    "voc_parts": {split: SplitFolders("JPEGImages", "SegmentationPart", f"list/{split}_id.txt") for split in SPLITS},
}


def dataset_root(data_dir: str | Path, layout: str) -> Path:
    """Return where the layout's paths start: in `images_labels/` if LIP's folders are in there."""
    data_dir = Path(data_dir)
    nested = data_dir / "images_labels"
    if layout == "lip" and not _has_layout(data_dir, layout) and _has_layout(nested, layout):
        return nested
    return data_dir


def find_layouts(data_dir: str | Path) -> list[str]:
    """Return the layouts whose photographs are in a folder."""
    return [layout for layout in LAYOUTS if _has_layout(dataset_root(data_dir, layout), layout)]


def describe_layout(layout: str) -> str:
    """Return the folders of a layout in one line, for error messages."""
    return "; ".join(
        f"{folders.images}/*.jpg, {folders.labels}/*.png" + (f", {folders.ids}" if folders.ids else "")
        for folders in LAYOUTS[layout].values()
    )


def split_exists(data_dir: str | Path, layout: str, split: str) -> bool:
    """Return whether the folder has anything of a split: photographs or labels of its own, or an id list."""
    root, folders = dataset_root(data_dir, layout), LAYOUTS[layout][split]
    own = (folders.ids,) if _shares_folders(layout) else (folders.images, folders.labels, folders.ids)
    return any((root / name).exists() for name in own if name)


def split_paths(data_dir: str | Path, layout: str, split: str) -> tuple[Path, Path, Path | None, Path | None]:
    """Return a split's folders of photographs and of labels, its id list and its folder of person maps, or None.

    None stands for what the layout has none of. Raises DatasetError for a split that no dataset has.
    """
    if split not in SPLITS:
        raise DatasetError(f"there is no split {split!r}: the splits are {' and '.join(SPLITS)}")
    root, folders = dataset_root(data_dir, layout), LAYOUTS[layout][split]
    ids, people = (None if name is None else root / name for name in (folders.ids, folders.people))
    return root / folders.images, root / folders.labels, ids, people


def read_split(data_dir: str | Path, layout: str, split: str, *, labelled: bool = True) -> SplitContents:
    """Return what a folder has of a split, matching or not, from one listing of each of its folders.

    Without `labelled` no labels are looked for. Where the list is missing, the photographs are the list. Of folders
    that splits share, what the list does not have is left out: it belongs to another split, or to none.
    """
    images_folder, labels_folder, id_list, people_folder = split_paths(data_dir, layout, split)
    missing: list[str] = []
    images = files_by_id(images_folder, IMAGE_SUFFIXES, missing)
    labels = files_by_id(labels_folder, LABEL_SUFFIXES, missing) if labelled else {}
    lines = {} if id_list is None else _read_ids(id_list, images.keys() | labels.keys(), missing)
    if not missing and not (images if id_list is None else lines):
        missing.append(f"{id_list or images_folder} is empty: the {split} split has no photographs")
    people: dict[str, Path] = {}
    if labelled and people_folder is not None and people_folder.is_dir():
        people = files_by_id(people_folder, LABEL_SUFFIXES, missing)
    if _shares_folders(layout):
        images, labels = ({name: files[name] for name in lines if name in files} for files in (images, labels))
    repeated = {name: numbers for name, numbers in lines.items() if len(numbers) > 1}
    return SplitContents(list(lines) or sorted(images), images, labels, people, repeated, missing)


def list_split(data_dir: str | Path, layout: str, split: str, *, labelled: bool = True) -> list[Sample]:
    """Return the samples of a split in the order of its id list (sorted, where the layout has none).

    Raises DatasetError where a folder, the list, or the file of a listed id is missing, and where an id is listed
    more than once: its photograph would count as often.
    """
    contents = read_split(data_dir, layout, split, labelled=labelled)
    if contents.missing:
        reasons = "\n".join(contents.missing)
        raise DatasetError(f"{reasons}\nThe {layout} layout is {describe_layout(layout)}")
    images_folder, labels_folder, id_list, _ = split_paths(data_dir, layout, split)
    if contents.repeated:
        named = [f"{name} (lines {first_few(numbers, 3)})" for name, numbers in contents.repeated.items()]
        raise DatasetError(
            f"{id_list} lists {len(named)} of its ids more than once: {first_few(named, 3)}; delete all but one line "
            "of each, or its photograph counts as often (`python -m dataset.check` lists them all)"
        )
    _require_files(contents.ids, contents.images, images_folder, "photograph", IMAGE_SUFFIXES)
    if labelled:
        _require_files(contents.ids, contents.labels, labels_folder, "label map", LABEL_SUFFIXES)
    return contents.samples()


def _has_layout(root: Path, layout: str) -> bool:
    labels_too = layout == "voc_parts"  # whose photographs are in the folder of "voc" as well
    return any(
        (root / folders.images).is_dir() and (not labels_too or (root / folders.labels).is_dir())
        for folders in LAYOUTS[layout].values()
    )


def _shares_folders(layout: str) -> bool:
    """Return whether the splits have their files in the same folders, so that only the lists tell them apart."""
    return len({folders.images for folders in LAYOUTS[layout].values()}) == 1


def files_by_id(folder: Path, suffixes: tuple[str, ...], missing: list[str]) -> dict[str, Path]:
    """Return a folder's files by their path inside it without suffix, from one listing (network drives are slow)."""
    names = list(visible_files(folder, on_unreadable=lambda error: missing.append(_unreadable(folder, error))))
    files: dict[str, Path] = {}
    for suffix in reversed(suffixes):  # the preferred suffix comes last and stays
        files |= {name[: -len(suffix)]: folder / name for name in names if name.lower().endswith(suffix)}
    return files


def _unreadable(folder: Path, error: OSError) -> str:
    kind = "no such folder" if str(error.filename) == str(folder) and not folder.exists() else "cannot be listed"
    return f"{error.filename}: {kind} ({error.strerror})"


def _read_ids(path: Path, known: Collection[str], missing: list[str]) -> dict[str, list[int]]:
    """Return the ids of a list, in its order, each with the numbers of its lines (from 1); `known` has files."""
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        missing.append(f"{path}: cannot be read ({reason}); it lists one id a line")
        return {}
    ids: dict[str, list[int]] = {}
    outside: list[str] = []
    for number, line in enumerate(lines, start=1):
        if listed := line.strip():
            name = _id_of(listed, known)
            if name not in known and _leaves_folder(name):
                outside.append(f"{name!r} (line {number})")
            ids.setdefault(name, []).append(number)
    if outside:
        missing.append(
            f"{path} leaves the dataset with {len(outside)} of its ids: {first_few(outside, 3)}; an id is a "
            "photograph's path inside its folder"
        )
    return ids


def _leaves_folder(name: str) -> bool:
    """Return whether an id is an absolute path, also one of Windows, or has `..` as a part."""
    return PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor != "" or ".." in re.split(r"[/\\]", name)


def _id_of(listed: str, known: Collection[str]) -> str:
    """Return the id that a line means, which may have a suffix, or Windows' slashes: the first of `known`."""
    path = PurePosixPath(listed.replace("\\", "/"))
    is_picture = path.suffix.lower() in IMAGE_SUFFIXES + LABEL_SUFFIXES
    meant = [listed, str(path), str(path.with_suffix("")) if is_picture else listed]
    return next((name for name in meant if name in known), meant[-1])


def _require_files(ids: list[str], files: dict[str, Path], folder: Path, kind: str, suffixes: tuple[str, ...]) -> None:
    missing = [name for name in ids if name not in files]
    if missing:
        raise DatasetError(
            f"{folder} lacks the {kind} of {len(missing)} of {len(ids)} ids ({first_few(missing, 3)}), which are paths "
            f"inside it without the suffix ({' '.join(suffixes)}); `python -m dataset.check` lists them all"
        )

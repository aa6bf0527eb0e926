"""Virtual environments with chosen packages only, made quickly: the packages are links to those of this interpreter."""

from __future__ import annotations

import importlib.util
import sysconfig
import tarfile
import venv
from pathlib import Path

SITE = Path(sysconfig.get_path("purelib"))
ARRAYS = ("numpy", "pyarrow", "scipy")  # what the array functions need


def make_venv(folder: Path, *packages: str) -> Path:
    """Create an environment with these packages and no others, and return the path of its Python."""
    venv.create(folder, symlinks=True, with_pip=False)
    packages_folder = folder / "linked"
    packages_folder.mkdir()
    for package in packages:
        found = importlib.util.find_spec(package)
        assert found is not None
        assert found.origin is not None
        for place in (Path(found.origin).parent, *SITE.glob(f"{package}.libs"), *SITE.glob(f"{package}-*.dist-info")):
            (packages_folder / place.name).symlink_to(place)
    [site] = folder.glob("lib/python*/site-packages")
    (site / "linked.pth").write_text("../../../linked\n")  # relative, so that the environment may be moved
    return folder / "bin/python"


def pack(environment: Path, archive: Path) -> Path:
    """Pack the environment as venv-pack and conda-pack do, without a folder around it."""
    with tarfile.open(archive, "w:gz") as file:
        for place in sorted(environment.iterdir()):
            file.add(place, place.name)
    return archive

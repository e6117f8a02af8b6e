"""transformers' own common tests, which its source release holds and its wheel does not.

    python -m tests.native.source_release

downloads the source release of the installed version and unpacks its tests into `.native`, once. `import_tests` then
makes them importable as the package `transformers_tests`, so that they do not stand in for our own `tests`.
"""

import importlib.machinery
import importlib.util
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
RELEASE = f"transformers-{version('transformers')}"
FOLDER = ROOT / ".native" / RELEASE / "tests"
PACKAGE = "transformers_tests"


def download() -> None:
    """Download and unpack the tests of the installed version, unless they are there."""
    if FOLDER.is_dir():
        return
    with tempfile.TemporaryDirectory() as folder:
        options = ["--quiet", "--no-deps", "--no-binary", "transformers", "--dest", folder]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, RELEASE.replace("-", "==", 1)],
            check=True,
        )
        with tarfile.open(Path(folder) / f"{RELEASE}.tar.gz") as archive:
            members = [member for member in archive.getmembers() if member.name.startswith(f"{RELEASE}/tests/")]
            archive.extractall(FOLDER.parents[1], members, filter="data")
    # The configuration tests import the folder that they lie in as a package.
    (FOLDER / "__init__.py").touch()


def import_tests() -> None:
    """Make the unpacked tests importable, with stand-ins for what they import and the release leaves out."""
    if not FOLDER.is_dir():
        raise FileNotFoundError(f"{FOLDER} is missing: run `make test-native`, which downloads it.")
    spec = importlib.machinery.ModuleSpec(PACKAGE, None, is_package=True)
    spec.submodule_search_locations = [str(FOLDER)]
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    # Export has tests of its own in tests/model; nothing here generates text; a composite config has no common
    # arguments; and the recordings of the chat template tests, which no processor without one runs, stay addresses.
    _stand_in(f"{PACKAGE}.exporters.test_export", ExportTesterMixin=type("ExportTesterMixin", (), {}))
    _stand_in(f"{PACKAGE}.generation.test_utils", GenerationTesterMixin=type("GenerationTesterMixin", (), {}))
    _stand_in(f"{PACKAGE}.utils.test_configuration_utils", config_common_kwargs={})
    _stand_in("fetch_hub_objects_for_ci", url_to_local_path=lambda url: url)


def _stand_in(name: str, **content: object) -> None:
    parent = name.rpartition(".")[0]
    for module_name in (parent, name) if parent else (name,):
        sys.modules.setdefault(module_name, ModuleType(module_name))
    vars(sys.modules[name]).update(content)


if __name__ == "__main__":
    download()

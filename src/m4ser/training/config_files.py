"""Config files and tables: of the user, or those that come with m4ser."""

from pathlib import Path

import m4ser

PACKAGE = Path(m4ser.__file__).parent
# In an installed wheel, and in a checkout.
SHIPPED = (PACKAGE / "configs", PACKAGE.parents[1] / "configs")


def config_file(name: str | Path) -> Path:
    """Return the path of a YAML file: the user's, or else that of m4ser's own of this name.

    Args:
        name: a path; of m4ser's own also without the folder configs and the suffix, as "recordings" and
            "ablations/concat".
    """
    path = Path(name)
    if path.is_file():
        return path
    own = path.with_suffix(".yaml").as_posix().removeprefix("configs/")
    return next((folder / own for folder in SHIPPED if (folder / own).is_file()), path)

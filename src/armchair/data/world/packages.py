"""The five icon sets of Emoji World: npm packages pinned by version and integrity, kept in a cache."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from armchair.core.errors import DataError
from armchair.data.world.concepts import Concept


@dataclass(frozen=True, kw_only=True)
class Package:
    name: str
    version: str
    integrity: str  # npm's: "sha512-" and base64
    licence: str
    strokes: bool = False  # lines alone: they are laid on white paper of their outline, to be seen anywhere

    @property
    def file(self) -> str:
        """What `npm pack` calls the tarball."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


PACKAGES = {
    "glossy": Package(
        name="@iconify-json/noto",
        version="1.2.9",
        integrity="sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
        licence="Apache-2.0",
    ),
    "soft": Package(
        name="@iconify-json/fluent-emoji",
        version="1.2.7",
        integrity="sha512-D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJvSyg+9OBv4hz4Hc/QA==",
        licence="MIT",
    ),
    "flat": Package(
        name="@iconify-json/fluent-emoji-flat",
        version="1.2.6",
        integrity="sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
        licence="MIT",
    ),
    "line": Package(
        name="@iconify-json/fluent-emoji-high-contrast",
        version="1.2.6",
        integrity="sha512-esqhZPpkrF7sNX3NsLoh8KW64okEr/bzko7WNnFP+qTJGAqDPDYjp0925yxuivXy3HtVQB8xhIKu3+Nq1byX5w==",
        licence="MIT",
        strokes=True,
    ),
    "sticker": Package(
        name="@iconify-json/twemoji",
        version="1.2.5",
        integrity="sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
        licence="CC-BY-4.0",
    ),
}


def cache_folder() -> Path:
    """Where drawings are kept: $ARMCHAIR_CACHE, else the platform's own place. Nothing is made here."""
    if chosen := os.environ.get("ARMCHAIR_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", str(Path.home() / "AppData" / "Local"))
        return Path(local) / "armchair" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "armchair"
    return Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "armchair"


def integrity(path: Path) -> str:
    """npm's integrity string of a file."""
    with path.open("rb") as file:
        return "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()


def fetch(package: Package, folder: Path) -> Path:
    """The package's tarball in `folder`, from the cache or from the npm registry.

    Raises DataError when npm is missing, cannot get the package, or sends another file than the pinned one.
    """
    target = folder / package.file
    if target.is_file():
        if integrity(target) != package.integrity:
            raise DataError(
                f"{target} is not the pinned {package.name} {package.version}: delete it, try again"
            )
        return target
    npm = which("npm")
    if npm is None:
        raise DataError(
            "Emoji World's drawings come from npm packages, and there is no `npm` here: install Node.js, "
            f"or put {package.file} into {folder}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temp:
        what = f"{package.name}@{package.version}"
        command = [npm, "pack", what, "--pack-destination", temp, "--ignore-scripts"]
        done = subprocess.run(command, cwd=temp, capture_output=True, text=True)
        got = Path(temp) / package.file
        if done.returncode or not got.is_file():
            raise DataError(
                f"`npm pack {what}` failed ({_reason(done.stderr)}): "
                f"is there a network? You can also put {package.file} into {folder}"
            )
        if (found := integrity(got)) != package.integrity:
            raise DataError(
                f"npm sent {package.file} with integrity {found[:20]}..., not {package.integrity[:20]}...: "
                "check your npm registry (`npm config get registry`) and try again"
            )
        os.replace(got, target)
    return target


def _reason(stderr: str) -> str:
    """The one telling line of npm's complaint."""
    errors = [line for line in stderr.splitlines() if re.match("npm (error|ERR!)", line)]
    lines = [re.sub(r"^npm (error|ERR!) ?", "", line).strip() for line in errors]
    lines = [line for line in lines if line and not line.startswith("A complete log")]
    return "; ".join(lines[:2])[:160] if lines else "it gave no reason"


def read_json(tarball: Path, name: str) -> dict[str, Any]:
    """One JSON file of a package."""
    try:
        with tarfile.open(tarball) as tar:
            member = tar.extractfile(f"package/{name}")
            if member is None:
                raise KeyError(name)
            return json.load(member)
    except (tarfile.TarError, KeyError, ValueError, OSError) as error:
        raise DataError(f"cannot read {name} in {tarball}: {error}") from error


def drawings(style: str, concepts: Sequence[Concept], folder: Path) -> dict[str, str]:
    """Concept name -> a whole SVG document, for one style.

    Sets name some drawings differently: a name that a set lacks is looked up by its code point in the others.
    Raises DataError naming the concepts that have no drawing.
    """
    tarball = fetch(PACKAGES[style], folder)
    icons = read_json(tarball, "icons.json")
    svgs: dict[str, str] = {}
    missing = []
    codes: dict[str, list[str]] | None = None
    own: dict[str, str] = {}
    for concept in concepts:
        name = concept.icon if isinstance(concept.icon, str) else concept.icon[style]
        svg = _svg(icons, name)
        if svg is None:
            if codes is None:
                codes, own = _code_points(folder), read_json(tarball, "chars.json")
            other = next((own[code] for code in codes.get(name, ()) if code in own), None)
            svg = None if other is None else _svg(icons, other)
        if svg is None:
            missing.append(f"{concept.name} ({name})")
        else:
            svgs[concept.name] = svg
    if missing:
        raise DataError(f"{PACKAGES[style].name} has no drawing for {', '.join(missing)}")
    return svgs


def _code_points(folder: Path) -> dict[str, list[str]]:
    """Icon name, in any set -> its code points."""
    codes: dict[str, list[str]] = {}
    for package in PACKAGES.values():
        for code, name in read_json(fetch(package, folder), "chars.json").items():
            for form in (code, code.replace("-fe0f", ""), f"{code}-fe0f"):
                codes.setdefault(name, []).append(form)
    return codes


def _svg(icons: dict[str, Any], name: str) -> str | None:
    """The drawing as an SVG document; follows aliases, with their mirroring."""
    icon: dict[str, Any] = {}
    flip_x = flip_y = False
    for _ in range(4):
        if name in icons["icons"]:
            icon = icons["icons"][name]
            break
        alias = icons.get("aliases", {}).get(name)
        if alias is None:
            return None
        flip_x, flip_y = flip_x ^ bool(alias.get("hFlip")), flip_y ^ bool(alias.get("vFlip"))
        name = alias["parent"]
    else:
        return None
    x, y = icon.get("left", 0), icon.get("top", 0)
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    body = icon["body"]
    if flip_x or flip_y:
        across, sx = (2 * x + width, -1) if flip_x else (0, 1)
        down, sy = (2 * y + height, -1) if flip_y else (0, 1)
        body = f'<g transform="translate({across} {down}) scale({sx} {sy})">{body}</g>'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" color="#000" '
        f'viewBox="{x} {y} {width} {height}" width="{width}" height="{height}">{body}</svg>'
    )

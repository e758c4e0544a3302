"""Find a Chromium for the browser tests, and install one where there is none.

`python -m tools.chromium` prints its path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
PLAYWRIGHTS_OWN = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""
HELP = "The browser tests need Chromium or Chrome, and none could be found or installed. Install one."


def find() -> str | None:
    """The first Chromium or Chrome of this machine that runs, or None."""
    return next((path for path in _candidates() if _runs(path)), None)


def install() -> None:
    """Install a Chromium: Playwright's own build where it can be had, else the distribution's."""
    if _succeeds(sys.executable, "-m", "playwright", "install", "chromium") and find():
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        packages = ("chromium", "fonts-dejavu-core")
        _succeeds("apt-get", "update", "-qq")
        _succeeds("apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages)


def _candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, NAMES))
    yield from filter(os.path.exists, MAC_APPLICATIONS)
    # Asked last: it starts Playwright's driver, which takes half a second.
    asked = subprocess.run([sys.executable, "-c", PLAYWRIGHTS_OWN], capture_output=True, text=True)
    if os.path.exists(path := asked.stdout.strip()):
        yield path


def _runs(path: str) -> bool:
    """Playwright's build is there, but does not start, where the system's libraries are missing."""
    return subprocess.run([path, "--version"], capture_output=True).returncode == 0


def _succeeds(*command: str) -> bool:
    # What installers say is of interest, but it is not this program's answer: that is the path.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print("Looking for Chromium:", *command, file=sys.stderr)
    return subprocess.run(command, stdout=sys.stderr, env=environment).returncode == 0


def main() -> None:
    if not find():
        install()
    path = find()
    if not path:
        sys.exit(HELP)
    print(path)


if __name__ == "__main__":
    main()

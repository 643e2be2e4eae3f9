"""A picture of a page, as in this folder: `python docs/screenshot.py REPORT.html PICTURE.png [HEIGHT]`, by Chromium."""

import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from browser import chromium

WIDTH, SCALE = 1240, 0.8


def main(page: str, picture: str, height: str = "1500") -> None:
    """Save the top of a page, `height` pixels of it before scaling."""
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as driver:
        size = {"width": WIDTH, "height": int(height), "deviceScaleFactor": SCALE, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        driver.get(Path(page).resolve().as_uri())
        driver.implicitly_wait(10)
        for plot in driver.find_elements("css selector", ".plot"):
            plot.find_element("css selector", "svg")
        driver.save_screenshot(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])

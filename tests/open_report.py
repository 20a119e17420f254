"""Open a report in headless Chromium; fail on any console message, failed request or sideways scrolling."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def problems(page_file: Path, widths: tuple[int, ...] = (360, 1280)) -> list[str]:
    """What a reader would stumble over, at each window width in pixels."""
    found: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        page = browser.new_page()
        page.on("console", lambda message: found.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: found.append(f"error: {error}"))
        page.on("request", lambda request: request.url.startswith("http") and found.append(f"asks for {request.url}"))
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(page_file.resolve().as_uri())
            page.wait_for_timeout(300)
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                found.append(f"scrolls sideways: {wide} px of content in a window of {width} px")
        browser.close()
    return found


if __name__ == "__main__":
    faults = problems(Path(sys.argv[1]))
    print("\n".join(faults) or f"{sys.argv[1]}: opens without a complaint")
    sys.exit(1 if faults else 0)

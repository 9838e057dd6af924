"""A page in headless Chromium: its play button is pressed, and what the page did is read
back."""

import os
import re
import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SECONDS = 2.5
# The first button is pressed; what moves is looked at twice, then it is pressed again.
PROBE = """
<img src="/wait" alt="">
<script>
  const said = document.body.dataset, button = document.querySelector("button.play");
  const figure = button.closest("figure"), at = () => document.querySelector("line.cursor").getAttribute("x1");
  button.click();
  setTimeout(() => Object.assign(said, { first: figure.dataset.second, from: at() }), 800);
  setTimeout(() => {
    Object.assign(said, { later: figure.dataset.second, to: at(), state: figure.dataset.state });
    button.click();
    Object.assign(said, { end: figure.dataset.state, cursors: document.querySelectorAll("line.cursor").length });
  }, 1800);
</script>
"""
FIRST = """
<script>
  window.addEventListener("error", (event) => { document.documentElement.dataset.error = event.message; });
</script>
"""


def chromium() -> str:
    """The browser's path; the test is skipped, with a word, where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip(
            "Chromium is absent: install Debian's package chromium to try the player"
        )
    return found


def pressed(page: str, folder: Path) -> dict[str, str]:
    """What the page says of itself once its first button was pressed: seconds and places of
    the cursor at two moments, and errors; and which addresses it asked for."""
    browser = chromium()
    html = page.replace("<head>", f"<head>{FIRST}", 1).replace("</body>", f"{PROBE}</body>")
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/wait":  # the page is not loaded, and not dumped, before this
                time.sleep(SECONDS)
            self.send_response(200 if self.path in ("/", "/wait") else 404)
            self.end_headers()
            if self.path == "/":
                self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    flags = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--autoplay-policy=no-user-gesture-required",
    )
    command = [
        browser,
        *flags,
        f"--user-data-dir={folder}/chromium",
        "--dump-dom",
        f"http://127.0.0.1:{server.server_port}/",
    ]
    environment = {**os.environ, "HOME": str(folder)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=environment
        )
    finally:
        server.shutdown()
        server.server_close()
    tags = " ".join(re.findall(r"<(?:body|html)[^>]*>", done.stdout))
    said = dict(re.findall(r'data-(\w+)="([^"]*)"', tags))
    return said | {"asked": " ".join(sorted({*asked} - {"/", "/wait", "/favicon.ico"}))}


def assert_plays(page: str, folder: Path) -> None:
    """The page has no error and asks for nothing, a press starts the clock, the cursor moves,
    a second press stops it."""
    said = pressed(page, folder)
    assert "error" not in said and not said["asked"], said
    assert (
        said["state"] == "playing" and said["end"] == "stopped" and said["cursors"] == "0"
    )
    assert float(said["later"]) > float(said["first"]) > 0
    assert float(said["to"]) > float(said["from"])

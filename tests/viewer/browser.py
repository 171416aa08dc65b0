"""Chromium without a window, driven by chromedriver over HTTP (W3C WebDriver); needs nothing but the two programs."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.peers.processes import LOOPBACK, ServerProcess, free_port

WINDOW_PX: Final = (1600, 1000)
SCRIPT_WITHIN_S: Final = 120
DRAG_MS: Final = 200
"""Of each line of a drag: viewers take a jump for a click."""

PLACE: Final = """
    const [selector, text] = arguments;
    const there = [...document.querySelectorAll(selector)];
    const found = there.find(element => text === null || element.innerText.trim() === text);
    if (!found) throw new Error(`nothing is ${selector} ${text ?? ''}`);
    const {x, y, width, height} = found.getBoundingClientRect();
    return [x, y, width, height];
"""

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    # WebGL without a GPU: the viewer's CPU rendering would draw no overlay.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--force-device-scale-factor=1",
    f"--window-size={WINDOW_PX[0]},{WINDOW_PX[1]}",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing but the loopback has a name or can be reached.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


class BrowserError(RuntimeError):
    """The browser refused a command; the message is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """A window; scripts run in its page."""

    session_url: str

    def go(self, url: str) -> None:
        """Load a page."""
        _call("POST", f"{self.session_url}/url", {"url": url})

    def script(self, source: str, *arguments: object) -> Any:
        """Run the body of an async function with `arguments`, and return what it returns or resolves to.

        Raises
        ------
        BrowserError
            It threw, or took longer than `SCRIPT_WITHIN_S`.
        """
        wrapped = (
            "const done = arguments[arguments.length - 1];"
            f"(async function () {{ {source} }})(...Array.from(arguments).slice(0, -1))"
            ".then(value => done({value}), error => done({error: String(error && error.stack || error)}));"
        )
        answer = _call("POST", f"{self.session_url}/execute/async", {"script": wrapped, "args": list(arguments)})
        if "error" in answer:
            raise BrowserError(answer["error"])
        return answer.get("value")

    def drag(self, *places: tuple[float, float]) -> None:
        """Press the mouse at the first place in the window, move it by way of the others, release it at the last."""
        moves = [_move(place, within_ms=DRAG_MS) for place in places[1:]]
        self._mouse(
            [_move(places[0]), {"type": "pointerDown", "button": 0}, *moves, {"type": "pointerUp", "button": 0}]
        )

    def click(self, selector: str, text: str | None = None) -> None:
        """Click in the middle of the first element that a CSS selector finds, or of the first with this text.

        Raises
        ------
        BrowserError
            There is none.
        """
        x, y, width, height = self.script(PLACE, selector, text)
        self.drag((x + width / 2, y + height / 2))

    def type(self, text: str) -> None:
        """Press the keys of a text; what has the focus receives it."""
        keys = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        _call("POST", f"{self.session_url}/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def _mouse(self, actions: list[dict[str, Any]]) -> None:
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions}
        _call("POST", f"{self.session_url}/actions", {"actions": [mouse]})

    def screenshot(self) -> NDArray[np.uint8]:
        """What the window shows: shape ``(rows, columns, 3)``, RGB."""
        encoded = base64.b64decode(_call("GET", f"{self.session_url}/screenshot"))
        return np.asarray(Image.open(BytesIO(encoded)).convert("RGB"))

    def console(self) -> list[str]:
        """Errors of the page's console since the last call."""
        entries = _call("POST", f"{self.session_url}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]


@contextmanager
def chromium(program: str, driver: str, folder: Path) -> Iterator[Browser]:
    """Run `program` by `driver`; the profile, the cache and the log are in `folder`.

    Raises
    ------
    StartFailed
        When chromedriver does not answer.
    BrowserError
        When Chromium does not start.
    """
    port = free_port()
    process = ServerProcess([driver, f"--port={port}"], log=folder / "chromedriver.log")
    root = f"http://{LOOPBACK}:{port}"
    try:
        process.start().wait_ready(lambda: _is_ready(root))
        capabilities = {
            "alwaysMatch": {
                "goog:chromeOptions": {"binary": program, "args": [*FLAGS, f"--user-data-dir={folder / 'profile'}"]},
                "goog:loggingPrefs": {"browser": "SEVERE"},
                "timeouts": {"script": 1000 * SCRIPT_WITHIN_S},
            }
        }
        session = _call("POST", f"{root}/session", {"capabilities": capabilities})
        session_url = f"{root}/session/{session['sessionId']}"
        try:
            yield Browser(session_url=session_url)
        finally:
            _call("DELETE", session_url)
    finally:
        process.stop()


def _move(place: tuple[float, float], within_ms: int = 0) -> dict[str, Any]:
    x, y = (round(value) for value in place)
    return {"type": "pointerMove", "x": x, "y": y, "duration": within_ms, "origin": "viewport"}


def _is_ready(root: str) -> bool:
    try:
        return bool(_call("GET", f"{root}/status")["ready"])
    except OSError:
        return False


def _call(method: str, url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this is the loopback
    try:
        with opener.open(request, timeout=SCRIPT_WITHIN_S + 30) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        with error:
            value = json.load(error)["value"]
        raise BrowserError(f"{value['error']}: {value['message']}") from error

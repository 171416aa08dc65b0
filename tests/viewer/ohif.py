"""OHIF as a site: its files at the root, Orthanc's DICOMweb on the same origin, a configuration for the two."""

from __future__ import annotations

import json
import mimetypes
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from tests.peers.processes import LOOPBACK

VERSION: Final = "3.13.2"
PACKAGE: Final = f"@ohif/app@{VERSION}"
WITHIN_S: Final = 60

CONFIGURATION: Final = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "showStudyList": True,
    "showErrorDetails": "always",
    "investigationalUseDialog": {"option": "never"},
    # CPU rendering draws no overlay of a structured report, and says nothing about it.
    "useCPURendering": False,
    "showCPUFallbackMessage": False,
    "maxNumberOfWebWorkers": 2,
    "defaultDataSourceName": "orthanc",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "orthanc",
            "configuration": {
                "friendlyName": "Orthanc",
                "name": "orthanc",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "qidoSupportsIncludeField": True,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
            },
        }
    ],
}
TOUR_SEEN: Final = "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']));"
"""The introduction of new users would lie over the images."""


class ViewerMissing(LookupError):
    """OHIF's files are not here and could not be fetched; the message says what to do."""


def find_dist() -> Path:
    """Folder of OHIF's files: the variable OHIF_DIST, or the cache, or npm into the cache.

    Raises
    ------
    ViewerMissing
        When none of the three has it.
    """
    given = os.environ.get("OHIF_DIST")
    if given is not None:
        if not (Path(given) / "index.html").is_file():
            raise ViewerMissing("OHIF_DIST names no folder with OHIF's index.html")
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mammonode" / f"ohif-{VERSION}"
    if not (cache / "dist" / "index.html").is_file():
        _fetch(cache)
    return cache / "dist"


def _fetch(cache: Path) -> None:
    if shutil.which("npm") is None:
        raise ViewerMissing(f"needs {PACKAGE}: install npm, or unpack it and set OHIF_DIST to its folder dist")
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as temporary:
        command = ["npm", "pack", "--silent", "--pack-destination", temporary, PACKAGE]
        packed = subprocess.run(command, capture_output=True, text=True, check=False)
        archives = list(Path(temporary).glob("*.tgz"))
        if packed.returncode or not archives:
            raise ViewerMissing(f"npm pack {PACKAGE} failed: {packed.stderr.strip()[-300:]}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(temporary, filter="data")
        cache.mkdir(exist_ok=True)
        (Path(temporary) / "package" / "dist").replace(cache / "dist")


@contextmanager
def site(dist: Path, archive_url: str) -> Iterator[str]:
    """Serve OHIF for an archive; yields the address of the site, without a slash at its end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/dicom-web"):
                self._forward()
            elif self.path.split("?")[0] == "/app-config.js":
                self._answer(200, "text/javascript", _app_config().encode())
            else:
                self._file()

        def do_POST(self) -> None:
            """Store a report (STOW-RS)."""
            if not self.path.startswith("/dicom-web"):
                self.close_connection = True  # what it sent is not read
                self.send_error(405)
                return
            self._forward(self.rfile.read(int(self.headers["Content-Length"])))

        def _forward(self, body: bytes | None = None) -> None:
            names = ("Accept", "Range", "Content-Type")
            headers = {name: self.headers[name] for name in names if name in self.headers}
            # Orthanc writes the addresses of frames for the host that it was asked as: the browser's.
            headers["Host"] = self.headers["Host"]
            request = urllib.request.Request(f"{archive_url}{self.path}", data=body, headers=headers)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this is the loopback
            try:
                with opener.open(request, timeout=WITHIN_S) as answer:
                    self._answer(answer.status, answer.headers["Content-Type"], answer.read())
            except urllib.error.HTTPError as error:
                with error:
                    self._answer(error.code, error.headers.get("Content-Type", "text/plain"), error.read())

        def _file(self) -> None:
            path = (dist / self.path.split("?")[0].lstrip("/")).resolve()
            if not path.is_relative_to(dist.resolve()) or not path.is_file():
                path = dist / "index.html"  # a page of the application: /viewer
            self._answer(200, mimetypes.guess_type(path.name)[0] or "application/octet-stream", path.read_bytes())

        def _answer(self, status: int, content_type: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent: the table is the output."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="site")
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _app_config() -> str:
    return f"{TOUR_SEEN}\nwindow.config = {json.dumps(CONFIGURATION)};\n"

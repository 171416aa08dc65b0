"""``make viewer-check``: what the node sends to Orthanc is shown in OHIF, and the boxes are at the right place.

Needs Orthanc with its DICOMweb plugin, Chromium, chromedriver and OHIF (see `tests.viewer.ohif.find_dist`); at run time
nothing but the loopback. Exit status 1 when a check fails, 2 when something is missing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.peers.processes import ProgramMissing, find_program
from tests.viewer.browser import chromium
from tests.viewer.checks import Row, check_captures, check_findings
from tests.viewer.exam import answered_exam
from tests.viewer.ohif import VERSION, ViewerMissing, find_dist, site
from tests.viewer.stand_in import phantom_views
from tests.viewer.viewer import Viewer

NOTES: Final = f"""\
STAND-IN DETECTOR: what is measured is where boxes are drawn, so their true edges must be known. They are those of
the clusters in the generated mammograms, handed to the real pipeline by tests/viewer/stand_in.py; nothing here says how
well a network detects.
OHIF {VERSION} shows a report on the image of its first finding alone; each finding was put first in turn."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("viewer-out"), help="where the pictures go")
    out = parser.parse_args().out
    started = time.monotonic()
    try:
        find_program("Orthanc")
        program, driver, dist = find_program("chromium"), find_program("chromedriver"), find_dist()
    except (ProgramMissing, ViewerMissing) as missing:
        print(f"viewer-check: {missing}")
        return 2
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    print(NOTES, flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="mammonode-viewer-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        with (
            answered_exam(folder) as exam,
            site(dist, exam.archive.url) as site_url,
            chromium(program, driver, folder) as browser,
        ):
            print(f"{len(exam.results)} results came to Orthanc {time.monotonic() - started:.0f} s after the start")
            viewer = Viewer(browser=browser)
            rows.extend(told(row) for row in check_findings(viewer, site_url, exam, phantom_views(), out))
            rows.extend(told(row) for row in check_captures(viewer, exam, out))
            errors = browser.console()
            rows.append(told(Row(subject="errors of the page", figures="; ".join(errors) or "none", passed=not errors)))
    failed = sum(not row.passed for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} passed in {time.monotonic() - started:.0f} s; pictures are in {out}")
    return 1 if failed else 0


def told(row: Row) -> Row:
    """Print a row of the table as soon as it is known."""
    print(f"{'pass' if row.passed else 'FAIL'}  {row.subject:<48}  {row.figures}", flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())

"""``make viewer-check``: what the node sends to Orthanc is shown in OHIF, and what is marked there is answered.

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
from tests.viewer.exam import archive_and_node
from tests.viewer.marks import check_marks
from tests.viewer.ohif import VERSION, ViewerMissing, find_dist, site
from tests.viewer.studies import mammograms, ultrasound
from tests.viewer.viewer import Viewer

NOTES: Final = f"""\
STAND-IN NETWORKS: what is measured is where boxes and outlines are drawn, so their true edges must be known. They are
those of the clusters in generated mammograms and of discs in generated screens of ultrasound, handed to the real
pipelines; nothing here says how well a network detects.
A person's way is walked as well: lesions are marked with the mouse and saved, the report is sent to the node, which
answers it; models of regions that are not installed say so.
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
            archive_and_node(folder) as running,
            site(dist, running.archive.url) as site_url,
            chromium(program, driver, folder) as browser,
        ):
            viewer = Viewer(browser=browser)
            for study in (mammograms(folder), ultrasound(folder)):
                exam = running.answer(study)
                print(f"{study.modality}: {len(exam.results)} results in Orthanc {time.monotonic() - started:.0f} s on")
                pictures = out / study.modality
                pictures.mkdir()
                rows.extend(told(row) for row in check_findings(viewer, site_url, exam, study, pictures))
                rows.extend(told(row) for row in check_captures(viewer, exam, pictures))
                if study.modality == "mammography":
                    rows.extend(
                        told(row)
                        for row in check_marks(viewer, site_url, running, exam=exam, study=study, out=pictures)
                    )
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

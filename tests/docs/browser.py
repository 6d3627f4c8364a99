"""Pages in headless Chromium: what a script that is let into them sees there."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

TELL = """
parent.postMessage([Number(location.pathname.match(/(\\d+)\\.html$/)[1]), seen], "*");
"""
FRAMES = """<!doctype html><meta charset="utf-8"><body style="margin:0"><script>
const seen = [];
addEventListener("message", ({{ data: [index, of] }}) => {{
  seen[index] = of;
  document.getElementById("seen").textContent = JSON.stringify(seen);
}});
</script><output id="seen"></output>{}"""
FRAME = '<iframe src="{}.html" style="display:block;width:{}px;height:900px;border:0"></iframe>'


def seen_by_browser(
    pages: Sequence[str], folder: Path, probe: str, widths: Sequence[int] = (1200,), *, is_dark: bool = False
) -> list[dict[str, Any]]:
    """Opens every page in every width, a frame each, with ``probe`` added and admitted by the page's own policy.

    Returns what the probe left in ``seen``, page by page and width by width within. Console messages of
    all of them are under ``console`` of each.
    """
    probe += TELL
    digest = base64.b64encode(hashlib.sha256(probe.encode()).digest()).decode()
    frames = [(page, width) for page in pages for width in widths]
    for index, (page, _) in enumerate(frames):
        admitted = page.replace("script-src '", f"script-src 'sha256-{digest}' '")
        probed = admitted.replace("</body>", f"<script>{probe}</script></body>")
        (folder / f"{index}.html").write_text(probed, encoding="utf-8")
    body = "".join(FRAME.format(index, width) for index, (_, width) in enumerate(frames))
    (folder / "frames.html").write_text(FRAMES.format(body), encoding="utf-8")
    flags = (
        "--headless=new --no-sandbox --disable-gpu --no-first-run --enable-logging=stderr --v=0 --dump-dom "
        f"--virtual-time-budget=4000 --window-size={max(500, *widths)},1000 "
        f"--blink-settings=preferredColorScheme={0 if is_dark else 1} --user-data-dir={folder / 'profile'}"
    ).split()
    offline = "--host-resolver-rules=MAP * ~NOTFOUND"
    command = [str(BROWSER), *flags, offline, (folder / "frames.html").as_uri()]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    found = re.search(r'<output id="seen">(.*?)</output>', done.stdout, re.DOTALL)
    seen: list[dict[str, Any]] = json.loads(html.unescape(found[1])) if found and found[1] else []
    assert len(frames) == len(seen) and all(seen), done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return [one | {"console": console} for one in seen]

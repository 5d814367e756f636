"""The page in a real browser: silent, whole, never wider than the window, light and dark, on paper."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.analysis.worlds import bound_study
from tests.report.test_html import whole
from xkd_bench.report.html import write
from xkd_bench.report.panels import Column, panels

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")]
WIDTHS = (390, 1280)
HARNESS = """<!DOCTYPE html><link rel="icon" href="data:,"><body>{frames}<script>
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const d = frame.contentDocument, root = d.documentElement;
    const size = svg => {{ const box = svg.getBoundingClientRect(); return [box.width, box.height]; }};
    return {{
      width: frame.clientWidth, inner: root.clientWidth, scroll: Math.max(root.scrollWidth, d.body.scrollWidth),
      plots: [...d.querySelectorAll("svg.plot")].map(size), panels: [...d.querySelectorAll("img.panel")].map(size),
      ground: getComputedStyle(d.body).backgroundColor, ink: getComputedStyle(d.body).color,
      line: getComputedStyle(d.querySelector("svg.plot path[style*=stroke]")).stroke,
    }};
  }});
  document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script></body>"""


def browse(*options: str) -> subprocess.CompletedProcess[str]:
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--enable-logging=stderr", "--virtual-time-budget=10000", *options]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    conditions, bounds, terms = bound_study()
    image = panels([Column("source", [np.zeros((64, 64, 3), np.uint8)])] * 12, ["a"], np.zeros((1, 3), np.uint8))
    study = replace(whole(), conditions=conditions, bounds=bounds, terms=terms, panels={"first": (image, ["source"])})
    return write(study, tmp_path_factory.mktemp("page") / "report.html")[-1]


@pytest.mark.parametrize(("scheme", "number"), [("dark", 0), ("light", 1)])
def test_every_figure_is_there_and_nothing_is_wider_than_the_window(page: Path, scheme: str, number: int):
    text = html.escape(page.read_text(), quote=True)
    frames = "".join(f'<iframe srcdoc="{text}" style="width:{w}px;height:900px;border:0"></iframe>' for w in WIDTHS)
    harness = page.with_name(f"{scheme}.html")
    harness.write_text(HARNESS.format(frames=frames))
    done = browse(f"--blink-settings=preferredColorScheme={number}", "--dump-dom", harness.as_uri())
    assert "CONSOLE" not in done.stderr
    written = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    assert written
    found = json.loads(html.unescape(written[1]))
    assert [frame["width"] for frame in found] == list(WIDTHS)
    for frame in found:
        assert frame["scroll"] <= frame["width"]
        assert len(frame["plots"]) == 5 + 7
        ((width, height),) = frame["panels"]
        assert width > 300
        assert height > 20
        assert all(width > 300 and height > 80 for width, height in frame["plots"])
        assert frame["ground"] == {"dark": "rgb(22, 24, 29)", "light": "rgb(255, 255, 255)"}[scheme]


def test_it_prints(page: Path):
    target = page.with_name("report.pdf")
    done = browse("--no-pdf-header-footer", f"--print-to-pdf={target}", page.as_uri())
    assert "CONSOLE" not in done.stderr
    content = target.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 8

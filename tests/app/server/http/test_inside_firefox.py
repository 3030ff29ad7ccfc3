"""The view "Inside the Transformer" in Debian's Firefox: each chapter shows what it shows in Chromium.

Playwright drives only a Firefox that it has built itself, so Mozilla's own driver is used here.
"""

import importlib.util
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.app.server.http import inside_page
from tests.app.server.http.inside_page import CHAPTERS, TITLES, opened
from tests.app.server.serving import Running

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
SHOWN = """return document.querySelector("#chapter h2")?.textContent === arguments[0]
    && [...document.querySelectorAll(".live")].every((part) => part.getAttribute("aria-busy") === "false");"""
TEXT = "document.querySelector('#chapter').textContent"
FIGURES = "document.querySelectorAll('#chapter svg').length"
WIDER = "document.documentElement.scrollWidth - window.innerWidth"
ERRORS = """return Services.console.getMessageArray().filter((message) => message instanceof Ci.nsIScriptError
    && !(message.flags & Ci.nsIScriptError.warningFlag) && message.sourceName.startsWith(arguments[0])
    ).map(String);"""
pytestmark = [
    pytest.mark.slow,  # every chapter in two browsers
    pytest.mark.skipif(FIREFOX is None, reason="needs Debian's package firefox-esr"),
    pytest.mark.skipif(not importlib.util.find_spec("marionette_driver"), reason="needs marionette_driver"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the packages that marionette_driver uses
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # it leaves sockets open
]
page = inside_page.page


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The driver of a Firefox with reduced motion."""
    from marionette_driver.marionette import Marionette

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    profile = tmp_path_factory.mktemp("profile")
    (profile / "user.js").write_text(
        f'user_pref("marionette.port", {port});\nuser_pref("ui.prefersReducedMotion", 1);\n'
    )
    command = [
        str(FIREFOX),
        "--headless",
        "--marionette",
        "--remote-allow-system-access",
        "--no-remote",
        "--profile",
        str(profile),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            driver = Marionette(host="127.0.0.1", port=port)
            driver.raise_for_port(timeout=60)
            driver.start_session(timeout=60)
            yield driver
            driver.delete_session()
        finally:
            process.terminate()


@pytest.mark.parametrize("width", [inside_page.PHONE["width"], 1280])
def test_each_chapter_shows_what_it_shows_in_chromium(
    page: Page, firefox: Any, open_server: Running, width: int
) -> None:
    from marionette_driver import Wait

    page.set_viewport_size({"width": width, "height": 800})
    for chapter in (*CHAPTERS, "training"):
        opened(page, open_server, chapter, step=2)
        address = page.url
        firefox.navigate("about:blank")
        firefox.set_window_rect(width=width, height=800)
        firefox.navigate(address)
        ready = Wait(firefox, timeout=60)
        ready.until(lambda driver, chapter=chapter: driver.execute_script(SHOWN, script_args=[TITLES[chapter]]))
        for what in (TEXT, FIGURES):
            assert firefox.execute_script(f"return {what}") == page.evaluate(what), (chapter, what)
        assert firefox.execute_script(f"return {WIDER}") <= 0, chapter
    with firefox.using_context("chrome"):
        assert firefox.execute_script(ERRORS, script_args=[open_server.url]) == []

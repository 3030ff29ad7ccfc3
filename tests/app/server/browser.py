"""Debian's Chromium for the tests of the page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
ELSEWHERE = "mt.test"  # not this machine, so the browser gives a page over HTTP fewer rights


@contextmanager
def chromium() -> Iterator[Browser]:
    """Starts Chromium, in which `ELSEWHERE` is this machine, or skips the test if it is not installed."""
    if CHROMIUM is None:
        pytest.skip("needs Debian's package chromium")
    expect.set_options(timeout=60_000)  # the first call of a signature is slow
    with sync_playwright() as playwright:
        rules = f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, rules])
        yield started
        started.close()


@contextmanager
def page_without_errors(browser: Browser, **options: Any) -> Iterator[Page]:
    """Opens a page that must not log an error; `options` are those of `Browser.new_context`."""
    context = browser.new_context(**options)
    context.set_default_timeout(60_000)  # a busy machine loads the page slowly
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert errors == []

"""One headless Chromium for all tests here."""

import shutil

import pytest
from browsers import AXE, Browser, lacking
from selenium import webdriver


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    binary, service = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not service:
        lacking("chromium with chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(service))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium, tmp_path):
    return Browser(chromium, tmp_path)


@pytest.fixture
def axe(browser):
    if not AXE.is_file():
        lacking("axe-core")
    return browser

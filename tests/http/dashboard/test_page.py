"""The dashboard in a browser: it shows the answers of the API, and acts for the operator.

With ADMISSION_SCREENSHOTS=folder every size and theme is also kept as a picture, to be looked at.
"""

import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from admission.domain.types import Role
from admission.http.auth.tokens import Credentials
from tests.http.dashboard.conftest import PATIENCE_MS, DashboardHarness, serve_dashboard
from tests.support.tokens import token
from tests.support.tools import module, tool

pytestmark = pytest.mark.asyncio(loop_scope="module")

tool("chromium")
expect = module("playwright.async_api").expect
expect.set_options(timeout=PATIENCE_MS)

THEMES: tuple[Any, ...] = ("light", "dark")
SIZES = {"phone": (390, 844), "laptop": (1366, 768), "wall": (2560, 1440)}


async def show(page: Any, dashboard: DashboardHarness) -> None:
    await page.goto(dashboard.url)
    await expect(page.locator("#link-text")).to_have_text("Live")
    await expect(page.locator("#board")).to_be_visible()


def row(page: Any, list_id: str, name: str) -> Any:
    exactly = page.locator(".name > span:first-child", has_text=re.compile(f"^{name}$"))
    return page.locator(f"#{list_id} > li").filter(has=exactly)


def tile(page: Any, channel: str) -> Any:
    return page.locator(".tile.channel").filter(has_text=channel)


async def confirm(page: Any, verb: str) -> None:
    await page.locator("#confirm-yes", has_text=verb).click()
    await expect(page.locator("#confirm")).to_be_hidden()


async def test_the_numbers_are_those_of_the_api(page: Any, dashboard: DashboardHarness) -> None:
    for mpp in ("mpp1", "mpp1", "mpp2"):
        assert (await dashboard.ask(mpp=mpp))["granted"] == 1
    await show(page, dashboard)
    for channel, name in (("sip", "SIP"), ("h323", "H.323")):
        pool = await dashboard.pool(f"channel:{channel}")
        big = tile(page, name).locator(".big")
        await expect(big.nth(0)).to_have_text(str(pool["room"]))
        await expect(big.nth(1)).to_have_text(str(pool["snapshot"]["unused"]))
        expected = f"{pool['in_use']} of {pool['limit']} in use"
        await expect(tile(page, name)).to_contain_text(expected)
    for list_id, name, pool_name in (
        ("campaigns", "collections", "campaign:collections"),
        ("others", "trunk carrier-a", "trunk:carrier-a"),
        ("mpps", "mpp2", "mpp:mpp2:sip"),
    ):
        pool = await dashboard.pool(pool_name)
        shown = row(page, list_id, name)
        await expect(shown.locator(".numbers")).to_have_text(f"{pool['in_use']} / {pool['limit']}")
        meter = shown.get_by_role("meter")
        await expect(meter).to_have_attribute("aria-valuenow", str(pool["in_use"]))
        await expect(meter).to_have_attribute("aria-valuemax", str(pool["limit"]))
    await expect(page.locator("#legend")).to_contain_text("Total 12")


async def test_numbers_follow_what_happens(page: Any, dashboard: DashboardHarness) -> None:
    await show(page, dashboard)
    room = tile(page, "SIP").locator(".big").first
    await expect(room).to_have_text("7")
    granted = await dashboard.ask(count=2)
    await expect(room).to_have_text("5")
    (one, _) = granted["reservations"]
    await dashboard.send("POST", f"/v1/reservations/{one['id']}/end", {"outcome": "not_launched"})
    await expect(room).to_have_text("6")


async def test_a_denial_is_shown_with_its_reason(page: Any, dashboard: DashboardHarness) -> None:
    await show(page, dashboard)
    await dashboard.ask(campaign="surveys", mpp="mpp1", count=9, min_count=9)
    last = page.locator("#last tr")
    await expect(last).to_have_count(1)
    await expect(last).to_contain_text("surveys")
    await expect(last).to_contain_text("No free SIP port")
    await expect(page.locator("#reasons")).to_contain_text("No free port")


async def test_a_zone_is_paused_and_resumed_after_a_confirmation(
    page: Any, dashboard: DashboardHarness
) -> None:
    await show(page, dashboard)
    await page.get_by_role("button", name="Pause zone").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Pause zone East?")
    assert (await dashboard.get("/v1/zones/East"))["paused"] == {}
    await confirm(page, "Pause")
    await expect(page.locator("#notes")).to_contain_text("The zone is paused")
    await expect(tile(page, "SIP").locator(".big").first).to_have_text("0")
    assert list((await dashboard.get("/v1/zones/East"))["paused"]) == ["zone"]
    await page.get_by_role("button", name="Resume zone").click()
    await confirm(page, "Resume")
    await expect(page.locator("#notes li")).to_have_count(0)
    assert (await dashboard.get("/v1/zones/East"))["paused"] == {}


async def test_an_mpp_is_drained_by_the_keyboard_alone(
    page: Any, dashboard: DashboardHarness
) -> None:
    granted = await dashboard.ask(mpp="mpp1")
    await show(page, dashboard)
    drain = page.get_by_role("button", name="Drain mpp1")
    await drain.focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(drain).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#confirm-text")).to_contain_text("Its one call continues")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(row(page, "mpps", "mpp1")).to_contain_text("draining: 1 left")
    assert list((await dashboard.get("/v1/zones/East"))["paused"]) == ["mpp:mpp1"]
    (one,) = granted["reservations"]
    await dashboard.send("POST", f"/v1/reservations/{one['id']}/end")
    await expect(row(page, "mpps", "mpp1")).to_contain_text("drained")


async def test_another_zone_is_chosen(page: Any, dashboard: DashboardHarness) -> None:
    await show(page, dashboard)
    await page.get_by_role("button", name="Zone West").click()
    await expect(page.locator("#zone-name")).to_have_text("West")
    await expect(page.locator(".tile.channel")).to_have_count(1)
    await expect(tile(page, "SIP").locator(".big").first).to_have_text("4")


async def test_the_page_asks_for_a_token_and_keeps_it_in_memory(page: Any, emptied: str) -> None:
    credentials = Credentials([token("look", Role.VIEWER), token("dial", Role.DIALER)])
    async with serve_dashboard(emptied, credentials) as dashboard:
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        await page.goto(dashboard.url)
        form = page.locator("#sign-in-form")
        for wrong, says in (("nonsense", "token is unknown"), ("dial", "role dialer may not")):
            await form.get_by_label("Token").fill(wrong)
            await form.get_by_role("button").click()
            await expect(page.locator("#sign-in-fault")).to_contain_text(says)
        await form.get_by_label("Token").fill("look")
        await form.get_by_role("button").click()
        await expect(page.locator("#board")).to_be_visible()
        await expect(page.locator("#who")).to_contain_text("viewer")
        await expect(page.locator("#zone-pause")).to_be_hidden()
        kept = "JSON.stringify([localStorage, sessionStorage, document.cookie])"
        assert await page.evaluate(kept) == '[{},{},""]'
        assert not any("look" in address for address in addresses)
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.locator("#sign-in")).to_be_visible()
        await expect(page.locator("#board")).to_be_hidden()


async def test_a_lost_connection_is_announced_and_restored(
    page: Any, dashboard: DashboardHarness
) -> None:
    await show(page, dashboard)
    await page.route("**/v1/events", lambda route: route.abort())
    dashboard.cut()
    await expect(page.locator("#link-text")).to_have_text("Not live")
    await expect(page.locator("#stale")).to_contain_text("These numbers are")
    await page.unroute("**/v1/events")
    await expect(page.locator("#link-text")).to_have_text("Live")
    await expect(page.locator("#stale")).to_have_count(0)


@pytest.mark.parametrize("size", SIZES)
async def test_every_size_and_theme_fits_and_has_no_serious_fault(
    page: Any, dashboard: DashboardHarness, size: str
) -> None:
    await dashboard.ask(count=3, mpp="mpp1")
    await dashboard.ask(campaign="surveys", count=9, min_count=9)
    await dashboard.send("POST", "/v1/zones/East/pools/mpp:mpp2/pause")
    width, height = SIZES[size]
    await page.set_viewport_size({"width": width, "height": height})
    await show(page, dashboard)
    await expect(page.locator("#last tr")).to_have_count(1)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme)
        assert await serious_faults(page) == [], theme
        if folder := os.environ.get("ADMISSION_SCREENSHOTS"):
            await page.screenshot(path=Path(folder) / f"{size}-{theme}.png", full_page=True)


async def test_the_dialog_and_the_form_have_no_serious_fault(
    page: Any, dashboard: DashboardHarness, emptied: str
) -> None:
    await show(page, dashboard)
    await page.get_by_role("button", name="Pause collections").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await without_faults_in_both_themes(page)
    async with serve_dashboard(emptied, Credentials([token("look", Role.VIEWER)])) as closed:
        await page.goto(closed.url)
        await expect(page.locator("#sign-in")).to_be_visible()
        await without_faults_in_both_themes(page)


async def without_faults_in_both_themes(page: Any) -> None:
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme)
        assert await serious_faults(page) == [], theme


async def test_the_page_loads_nothing_from_other_hosts(
    page: Any, dashboard: DashboardHarness
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await show(page, dashboard)
    assert len(asked) > 5
    assert [url for url in asked if not url.startswith(dashboard.url)] == []


async def serious_faults(page: Any) -> list[str]:
    """The faults found by axe-core that keep a user from using the page."""
    module("axe_playwright_python")
    script = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(script)
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]

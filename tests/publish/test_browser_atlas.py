"""The atlas in a browser: what readers ask of it, and faults that it once had."""

import csv
import re

import numpy as np
import pandas as pd
import pytest
from atlas_page import (
    NASTY,
    address,
    choose,
    chosen,
    click,
    click_at,
    follow,
    set_range,
    settle,
    shards,
    shown,
    visit,
    write_large,
    write_small,
)
from browser import complaints, events, photograph
from numpy.testing import assert_allclose
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.publish import blocks


@pytest.fixture
def page(tested, browser):
    """The atlas of the run, opened; nothing is asked of the network and nothing is wrong on the console."""
    visit(browser, tested / "results/atlas.html")
    yield tested / "results/atlas.html"
    assert complaints(browser) == []


def numbers(page, model, side):
    table = pd.read_parquet(page.parent / f"assignments/{model}.parquet")
    return table[table["kh"] == side]


def everyone(page, side):
    return pd.concat([numbers(page, model, side) for model in ("alpha", "beta", "chance")])


def find(browser, css):
    return browser.find_element(By.CSS_SELECTOR, css)


# ---- what readers ask, in at most two clicks from opening


def test_it_opens_with_the_gallery_of_the_patterns(page, browser):
    gallery = find(browser, "section[data-view=patterns]:not([hidden])")
    assert gallery.get_attribute("data-size") == "5x5"
    rows = gallery.find_elements(By.CSS_SELECTOR, ".rows > li")
    assert {"On-Centre", "Off-Centre", "First-Derivative-E", "First-Derivative-N"} <= {
        row.find_element(By.CSS_SELECTOR, "b").text for row in rows
    }
    film = rows[0].find_element(By.CSS_SELECTOR, "canvas.film")
    assert film.location["y"] < 400 and int(film.get_attribute("width")) == 20 * 6  # twenty of five taps and a gap
    assert {link.text for link in rows[0].find_elements(By.CSS_SELECTOR, ":scope > ul a")} == {"alpha", "beta"}


def test_all_kernels_of_a_pattern_and_size(page, browser):
    follow(browser, "3x3", "#sizes")
    find(browser, "section[data-view=patterns]:not([hidden]) a.name[href*='only=On-Centre']").click()
    settle(browser)
    assert shown(browser) == (everyone(page, 3)["label"] == "On-Centre").sum() > 0
    assert find(browser, "#filtered").text == "only On-Centre"
    follow(browser, "Map", "#views")  # it filters everything
    assert find(browser, "#filtered").text == "only On-Centre"
    drawn = "return plane.drawn.every(({ kernel }) => now().facts(kernel).label === 'On-Centre') && plane.shown.length"
    assert browser.execute_script(drawn) == (everyone(page, 3)["label"] == "On-Centre").sum()


def test_which_network_has_most_of_a_kind(page, browser):
    follow(browser, "Networks", "#views")
    follow(browser, "First Derivative", "section[data-view=networks]:not([hidden])")
    rows = browser.find_elements(By.CSS_SELECTOR, "section[data-view=networks]:not([hidden]) tbody tr")
    share = {
        model: numbers(page, model, 5)["label"].str.startswith("First-Derivative").mean() for model in ("alpha", "beta")
    }
    order = [row.get_attribute("data-model") for row in rows]
    assert order == [*sorted(share, key=share.get, reverse=True), "chance"]  # the control is last
    assert f"{100 * share[order[0]]:.1f} %" in rows[0].text
    assert address(browser)["sort"] == "First-Derivative"


def test_kernels_like_a_chosen_one(page, browser):
    click_at(browser, find(browser, "section[data-view=patterns]:not([hidden]) canvas.film"), 10, 10)
    told = chosen(browser)
    follow(browser, "Kernels like this", "#chosen")
    kernels = pd.concat([shards(page.parents[1], model).assign(model=model) for model in ("alpha", "beta", "chance")])
    kernels = kernels[kernels["kh"] == 5].reset_index(drop=True)
    same = (kernels["model"] == told["Network"]) & (kernels["channel"] == int(told["Channel"]))
    same &= kernels["layer_index"] == int(told["Layer"].split(":")[0])
    units = centre_and_normalise(np.stack(kernels["weight"]))
    cosines = (units @ units[np.flatnonzero(same)[0]]).astype(float)
    ids = browser.execute_script("return [...panels[0].wall.shown].slice(0, 30).map((one) => idOf(now().facts(one)))")
    names = kernels["model"] + "/" + kernels["layer_index"].astype(str) + "/" + kernels["channel"].astype(str)
    assert ids[0] == names[same].item() and shown(browser) == len(kernels)
    assert_allclose(pd.Series(cosines, names)[ids], np.sort(cosines)[::-1][:30], atol=0.01)


def test_one_click_shares_the_view(page, browser):
    browser.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    visit(browser, page, "#view=kernels&only=Off-Centre&left=beta&order=code")
    click(browser, "#share")
    WebDriverWait(browser, 5).until(lambda _: find(browser, "#shared").text == "Copied")
    copied = browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == browser.current_url
    before = shown(browser)
    visit(browser, page, copied[copied.index("#") :])
    assert shown(browser) == before == (numbers(page, "beta", 5)["label"] == "Off-Centre").sum()


def test_back_goes_back_and_forward_again(page, browser):
    find(browser, "section[data-view=patterns]:not([hidden]) a.name[href*='only=On-Centre']").click()
    settle(browser)
    choose(browser, "model", "beta")
    few = shown(browser)
    browser.back()
    settle(browser)
    assert shown(browser) > few and "left" not in address(browser)
    browser.back()
    settle(browser)
    assert (
        find(browser, "section[data-view=patterns]:not([hidden])").is_displayed()
        and "atlas.html" in browser.current_url
    )
    browser.forward()
    browser.forward()
    settle(browser)
    assert shown(browser) == few


def test_a_network_has_a_page_with_its_layers_in_order(page, browser):
    visit(browser, page, "#network=beta")
    layers = browser.find_elements(By.CSS_SELECTOR, "#layers > li")
    assert [re.match(r"(\d): blocks\.\1\.dw\.weight [35]x[35], 90 kernels", layer.text)[1] for layer in layers] == [
        *"0123"
    ]
    assert all(layer.find_element(By.CSS_SELECTOR, "canvas.film").is_displayed() for layer in layers)
    click_at(browser, layers[1].find_element(By.CSS_SELECTOR, "canvas"), 5, 5)
    assert address(browser) == {"network": "beta", "kernel": "beta/1/0"} and chosen(browser)["Layer"].startswith("1:")
    follow(browser, "2: blocks.2.dw.weight", "#layers")
    assert address(browser)["left"] == "beta/2" and shown(browser) == 90


def test_report_and_atlas_lead_to_each_other(page, browser):
    assert find(browser, "header a[href='report.html']").is_displayed()
    report = (page.parent / "report.html").read_text()
    assert "atlas.html" in report
    places = re.findall(r'href="report.html#(.+?)"', page.read_text())
    assert places and all(f'id="{place}"' in report for place in places)


# ---- the map


def test_the_map_moves_zooms_picks_and_keeps_its_place(page, browser):
    follow(browser, "Map", "#views")
    plane = find(browser, "#plane")
    middle = "return [plane.at.x, plane.at.y, plane.at.zoom]"
    click(browser, "#in")
    ActionChains(browser).click_and_hold(plane).move_by_offset(80, 40).release().perform()
    settle(browser)
    x, y, zoom = browser.execute_script(middle)
    assert zoom == 1.5 and x < 0 < y
    visit(browser, page, browser.execute_script("return location.hash"))
    assert_allclose(browser.execute_script(middle), [x, y, zoom], atol=1e-4)
    plane = find(browser, "#plane")
    place = browser.execute_script("const { x, y, side } = plane.drawn.at(-1); return [x + side / 2, y + side / 2]")
    click_at(browser, plane, *place)
    assert address(browser)["kernel"] == browser.execute_script("return idOf(now().facts(plane.drawn.at(-1).kernel))")
    click(browser, "#whole")
    assert "at" not in address(browser)


def test_the_axes_of_the_map_are_principal_components(page, browser):
    follow(browser, "Map", "#views")
    kernels = pd.concat([shards(page.parents[1], model) for model in ("alpha", "beta")]).query("kh == 5")
    units = centre_and_normalise(np.stack(kernels["weight"])).astype(float)
    singular = np.linalg.svd(units, compute_uv=False) ** 2
    shares = [f"{100 * share:.1f} %" for share in singular[:2] / singular.sum()]
    assert find(browser, "#explained").text == " and ".join(shares)
    mean = browser.execute_script("return [...plane.x.subarray(0, 180)].reduce((sum, x) => sum + x * x, 0) / 180")
    assert mean > 0.1


# ---- walls


def test_labels_and_similarity_filter_and_the_address_keeps_it(page, browser):
    follow(browser, "Kernels", "#views")
    choose(browser, "model", "beta")
    table = numbers(page, "beta", 5)
    assert shown(browser) == len(table)
    click(browser, "#filters summary")
    click(browser, "#labels input[value=Off-Centre]")
    assert shown(browser) == (table["label"] != "Off-Centre").sum()
    set_range(browser, "least", 0.97)
    left = (table["label"] != "Off-Centre") & (np.rint(table["similarity"] * 254) >= 0.97 * 254)
    assert 0 < shown(browser) == left.sum() < (table["label"] != "Off-Centre").sum()
    told = address(browser)
    assert told == {"view": "kernels", "left": "beta", "off": "Off-Centre", "least": "0.97"}
    visit(browser, page, browser.execute_script("return location.hash"))
    assert shown(browser) == left.sum() and address(browser) == told
    click(browser, "#reset")
    assert shown(browser) == len(table)


def test_a_label_can_be_the_only_one_and_none_is_listed_that_no_kernel_has(page, browser):
    visit(browser, page, "#view=kernels&left=alpha")
    click(browser, "#filters summary")
    table = numbers(page, "alpha", 5)
    boxes = [box for box in browser.find_elements(By.CSS_SELECTOR, "#labels input") if box.is_displayed()]
    assert {box.get_attribute("value") for box in boxes} == set(table["label"])
    click(browser, "[aria-label='only On-Centre']")
    assert shown(browser) == (table["label"] == "On-Centre").sum()
    box = find(browser, "#labels input[value=Off-Centre]")
    box.send_keys(Keys.SPACE)
    settle(browser)
    assert browser.switch_to.active_element == box  # a box that is ticked keeps the focus
    assert shown(browser) == table["label"].isin(["On-Centre", "Off-Centre"]).sum()


def test_an_address_that_is_wrong_shows_what_it_can(page, browser):
    visit(browser, page, "#view=kernels&left=nope&least=abc&order=foo&size=99x99&at=1,x&kernel=a/b/c")
    words = find(browser, "#left .count").text
    assert words == "no 5x5 kernels in nope: choose another network"
    visit(browser, page, "#view=kernels&left=alpha&least=abc&order=like&like=no/1/2&size=99x99")
    assert shown(browser) == len(numbers(page, "alpha", 5))
    visit(browser, page, "#network=nope")
    assert "There is no network nope" in find(browser, "#network-title").text


def test_a_clicked_kernel_is_the_one_of_the_tables(page, browser):
    visit(browser, page, "#view=kernels&left=alpha&order=dissimilarity&size=5x5")
    table = numbers(page, "alpha", 5).sort_values("dissimilarity")
    best, second = table.iloc[0], table.iloc[1]
    wall = find(browser, "#left .wall")
    click_at(browser, wall, 12, 12)
    told = chosen(browser)
    assert (told["Network"], told["label"], told["Channel"]) == ("alpha", best["label"], str(best["channel"]))
    assert_allclose(
        [float(told["Code"]), float(told["Dissimilarity"])], best[["code", "dissimilarity"]].tolist(), atol=1e-3
    )
    assert told["reason"].startswith(f"Cosine {best['similarity']:.2f} to this pattern; a pattern needs 0.80.")
    assert best["label"] in told["Formula"]
    wall.send_keys(Keys.ARROW_RIGHT)
    settle(browser)
    assert address(browser)["kernel"] == f"alpha/{second['layer_index']}/{second['channel']}"
    canvases = browser.find_elements(By.CSS_SELECTOR, "#kernel canvas")
    assert [canvas.get_attribute("width") for canvas in canvases] == ["5"] * 3


def test_the_detail_is_beside_the_wall_and_what_hovers_is_small(page, browser):
    visit(browser, page, "#view=kernels&left=alpha", width=1440)
    wall = find(browser, "#left .wall")
    click_at(browser, wall, 12, 12)
    detail = find(browser, "#chosen .own")
    assert detail.location["y"] < 300 and detail.location["x"] > wall.location["x"] + wall.size["width"]
    tip = find(browser, "#tip")
    assert tip.is_displayed() and tip.size["height"] < 70


def test_what_hovers_stays_inside_the_window(page, browser):
    visit(browser, page, "#view=kernels&left=alpha", width=400)
    wall = find(browser, "#left .wall")
    for right in (2, wall.size["width"] - 60):
        ActionChains(browser).move_to_element_with_offset(wall, right - wall.size["width"] // 2, 0).perform()
        tip = find(browser, "#tip").rect
        assert tip["x"] >= 0 and tip["x"] + tip["width"] <= 400


def test_home_end_and_page_keys_move_through_a_wall(page, browser):
    visit(browser, page, "#view=kernels&left=alpha&order=layer&side=64")
    wall, place = find(browser, "#left .wall"), "return panels[0].wall.shown.indexOf(panels[0].wall.picked)"
    count, found = shown(browser), []
    for key in (Keys.END, Keys.HOME, Keys.PAGE_DOWN, Keys.PAGE_UP):
        wall.send_keys(key)
        settle(browser)
        found.append(browser.execute_script(place))
    across = browser.execute_script("return panels[0].wall.across")
    assert found[0] == count - 1 and found[1] == 0 and found[2] >= across and found[3] == 0
    browser.back()  # a walk through a wall is one step, so this leaves the page as it was opened
    assert "atlas.html" not in browser.current_url


def test_the_frame_of_the_chosen_kernel_is_over_its_neighbours(page, browser):
    visit(browser, page, "#view=kernels&left=alpha&order=layer&side=64")
    click_at(browser, find(browser, "#left .wall"), 100, 100)
    frame = """const { wall } = panels[0], { canvas } = wall, place = wall.shown.indexOf(wall.picked);
    const wide = wall.cell.width * wall.scale, right = wide - wall.scale - 3;
    const low = (wall.cell.height - 1) * wall.scale - 3;
    const x = (place % wall.across) * wide, y = Math.floor(place / wall.across) * wall.high - wall.element.scrollTop;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const at = (across, down) => [...data.subarray(4 * ((y + down) * canvas.width + x + across)).subarray(0, 4)];
    return [at(2, low >> 1), at(right, low >> 1), at(right >> 1, 2), at(right >> 1, low)]"""
    sides = browser.execute_script(frame)
    assert all(max(pixel[:3]) < 90 and pixel[3] == 255 for pixel in sides), sides


def test_two_models_side_by_side_share_the_filters(page, browser):
    visit(browser, page, "#view=kernels&left=alpha")
    click(browser, "#compare")
    assert address(browser)["right"] == "beta"
    choose(browser, "layer", "1", "right")
    assert shown(browser, "right") == 90
    click(browser, "#filters summary")
    click(browser, "#labels input[value=Off-Centre]")
    beta = numbers(page, "beta", 5).query("layer_index == 1")
    assert shown(browser) == (numbers(page, "alpha", 5)["label"] != "Off-Centre").sum()
    assert shown(browser, "right") == (beta["label"] != "Off-Centre").sum()
    click(browser, "#compare")
    assert "right" not in address(browser)


def test_a_kernel_is_no_longer_chosen_when_no_wall_has_it(page, browser):
    visit(browser, page, "#view=kernels&left=alpha&right=beta/1&kernel=alpha/1/3")
    assert chosen(browser)["Network"] == "alpha"
    choose(browser, "layer", "3", "right")  # it is still on the left
    assert address(browser)["kernel"] == "alpha/1/3"
    choose(browser, "model", "chance")
    assert "kernel" not in address(browser) and not find(browser, "#kernel").is_displayed()


def test_the_first_kernel_is_near_the_top_of_a_phone(page, browser):
    visit(browser, page, width=400)
    assert find(browser, "section[data-view=patterns]:not([hidden]) canvas.film").location["y"] < 500
    visit(browser, page, "#view=kernels", width=400)
    assert find(browser, "#left .wall").location["y"] < 600


# ---- large runs: kernels beside the page


@pytest.fixture
def large(tested, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "LAYERS", 100)
    monkeypatch.setattr(blocks, "SAMPLE", (64, 128))
    return write_large(tested, tmp_path)


@pytest.mark.parametrize(
    "fragment",
    [
        "#view=patterns",
        "#view=kernels&left=alpha&order=code&off=Off-Centre&kernel=beta/1/7",
        "#view=kernels&left=alpha&right=chance&like=alpha/1/3&order=like",
        "#view=kernels&read=2",
        "#view=map&read=2&axes=0,2&at=0.1,0,20",
        "#network=beta",
        "#view=code&read=2",
    ],
)
def test_kernels_beside_the_page_are_shown_like_those_in_it(page, large, browser, fragment):
    seen = """const drawn = [...document.querySelectorAll('canvas')].filter((one) => one.offsetWidth);
    return [drawn.map((one) => one.toDataURL()), get('kernel').innerText, panels.map(({ wall }) => [...wall.shown])]"""
    both = []
    for path in (page, large):
        visit(browser, path, fragment)
        both.append(browser.execute_script(seen))
    assert both[0] == both[1] and both[0][0]


def test_of_a_large_run_no_more_is_read_than_is_shown(page, large, browser):
    def files_read():
        sent = [one["params"] for one in events(browser) if one["method"] == "Network.requestWillBeSent"]
        asked = [params["request"]["url"] for params in sent if params["request"]["url"] != "about:blank"]
        assert all(url.startswith(large.parent.as_uri()) for url in asked)
        return sum(url.endswith(".js") for url in asked)

    events(browser)  # those of the other page
    visit(browser, large, "#view=patterns")
    assert files_read() == 0
    visit(browser, large, "#view=kernels&left=alpha/1")
    assert files_read() == 1 and shown(browser) == 90
    visit(browser, large, "#view=kernels")
    assert files_read() == 1 and shown(browser) == 64
    count = len(everyone(page, 5))
    assert find(browser, "#sample").text == f"A random sample of 64 of {count} kernels."
    for more in (64 + 128, count):
        click(browser, "#more")
        assert shown(browser) == more
    assert not find(browser, "#sampled").is_displayed()
    visit(browser, large, "#view=map&at=0,0,6")  # nearer, so more of them
    assert browser.execute_script("return plane.shown.length") == 64 + 128


def test_a_page_without_its_kernels_says_so(large, browser):
    large.with_suffix("").rename(large.with_name("elsewhere"))
    visit(browser, large, "#view=patterns")
    assert not find(browser, "#missing").is_displayed()
    follow(browser, "Kernels", "#views")
    assert "large" in find(browser, "#missing").text
    complaints(browser)


# ---- networks and the code


def test_strips_have_each_layer_at_its_place(page, browser):
    visit(browser, page, "#view=networks&size=3x3")
    strip = find(browser, "section[data-view=networks]:not([hidden]) tr[data-model=alpha] .strip")
    cells = strip.find_elements(By.XPATH, "./*")
    assert [cell.tag_name for cell in cells] == ["a", "i", "a", "i"]  # layers 1 and 3 are 5x5
    cells[2].click()
    settle(browser)
    assert address(browser)["left"] == "alpha/2" and shown(browser) == 90
    visit(browser, page, "#view=networks&size=3x3&left=alpha/2")
    cell = find(browser, "section[data-view=networks]:not([hidden]) .strip [aria-current]")
    assert cell.get_attribute("title").startswith("layer 2,") and cell.value_of_css_property("outline-style") == "solid"
    assert cell.value_of_css_property("z-index") == "1"  # its frame is over its neighbours


def test_layers_without_shares_do_not_look_like_layers_with_none(browser, tmp_path):
    visit(browser, write_small(tmp_path), "#view=networks")
    cell = find(browser, ".strip a")
    assert cell.get_attribute("class") == "none" and "gradient" in cell.value_of_css_property("background-image")
    assert "no share" in cell.get_attribute("title") and complaints(browser) == []


def test_search_finds_networks(page, browser):
    follow(browser, "Networks", "#views")
    find(browser, "#search").send_keys("ET")
    settle(browser)
    rows = browser.find_elements(By.CSS_SELECTOR, "section[data-view=networks]:not([hidden]) tbody tr")
    assert [row.get_attribute("data-model") for row in rows if row.is_displayed()] == ["beta"]
    assert find(browser, "#found").text == "1 of 3 networks"


def test_the_code_draws_what_the_decoder_does(page, browser):
    clusters = pd.read_csv(page.parent / "autoencoder/5x5/clusters.tsv", sep="\t")
    visit(browser, page, "#size=5x5&view=code")
    for row in clusters.itertuples():
        set_range(browser, "code", round((row.code_low + row.code_high) / 2 / 0.005) * 0.005)
        assert row.label in find(browser, "#decoded-words").text
    set_range(browser, "code", 0.5)
    click_at(
        browser, find(browser, "#near canvas"), 10 * 42 + 5, 5
    )  # ten kernels before, each five taps and a gap of 7 px
    codes = everyone(page, 5)["code"]
    assert abs(float(chosen(browser)["Code"]) - codes[codes >= 0.5].min()) < 1e-3


def test_a_step_of_the_code_with_one_kernel_can_be_seen(page, browser):
    visit(browser, page, "#size=5x5&view=code")
    counts = pd.read_parquet(page.parent / "autoencoder/5x5/spectrum.parquet")["kernels"].to_numpy()
    heights = browser.execute_script("return [...get('density').children].map((bar) => bar.offsetHeight)")
    assert len(heights) == len(counts) and all(
        (height >= 3) == (count > 0) for height, count in zip(heights, counts, strict=True)
    )


# ---- what is kept, and how it looks


def downloaded(browser, ending):
    path = WebDriverWait(browser, 10).until(lambda _: next(iter(browser.downloads.glob(f"*.{ending}")), None))
    WebDriverWait(browser, 10).until(lambda _: path.stat().st_size > 0)
    return path


def test_a_selection_is_kept_as_csv_and_png(page, browser):
    visit(browser, page, "#size=5x5&view=kernels&left=alpha&off=other&order=code")
    for kind in ("csv", "png"):
        click(browser, f"#left .{kind}")
    with downloaded(browser, "csv").open() as file:
        rows = pd.DataFrame(list(csv.DictReader(file)))
    table = numbers(page, "alpha", 5).query("label != 'other'").sort_values("code")
    assert len(rows) == len(table) == shown(browser)
    assert sorted(
        zip(rows["layer_index"].astype(int), rows["channel"].astype(int), rows["label"], strict=True)
    ) == sorted(zip(table["layer_index"], table["channel"], table["label"], strict=True))
    raw = shards(page.parents[1], "alpha").query("kh == 5").set_index(["layer_index", "channel"])["weight"]
    for row in rows.head(5).itertuples():
        taps = raw[int(row.layer_index), int(row.channel)]
        assert_allclose(np.array(row.taps_8bit.split(), float), taps, atol=0.01 * np.ptp(taps))
    with Image.open(downloaded(browser, "png")) as image:
        assert image.width >= 1200 and image.height >= 400
        legend = np.asarray(image.convert("RGB"))[-100:]
        assert (legend == [0xD5, 0x5E, 0x00]).all(axis=2).any()  # the colour of On-Centre


@pytest.mark.parametrize("view", ["patterns", "kernels", "map", "networks", "code"])
@pytest.mark.parametrize("width", [320, 1920])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_and_can_be_read(tested, browser, width, dark, view):
    fragment = f"#view={view}" + ("&kernel=alpha/1/3" if view == "map" else "")
    visit(browser, tested / "results/atlas.html", fragment, width=width, dark=dark)
    photograph(browser, f"atlas_{view}_{width}_{'dark' if dark else 'light'}")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    for element in browser.find_elements(
        By.CSS_SELECTOR, "h1, h2, p, legend, label, a, button, select, figcaption, td, dd"
    ):
        if element.is_displayed() and element.text:
            assert contrast(browser, element) >= 4.5, element.text
    unnamed = "return [...document.querySelectorAll('input, select, button')].filter((one) => "
    assert browser.execute_script(unnamed + "!one.labels?.length && !one.textContent.trim()).length") == 0
    assert complaints(browser) == []


def contrast(browser, element):
    """WCAG 2: the ratio of the luminances of an element's text and of what lies behind it."""
    script = """let one = arguments[0], behind = "rgba(0, 0, 0, 0)";
    const ink = getComputedStyle(one).color;
    for (; one && behind === "rgba(0, 0, 0, 0)"; one = one.parentElement)
      behind = getComputedStyle(one).backgroundColor;
    return [ink, behind]"""
    light = []
    for colour in browser.execute_script(script, element):
        parts = np.array(re.findall(r"[\d.]+", colour)[:3], float) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        light.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(light) / min(light)


def test_names_are_never_code(browser, tmp_path):
    visit(browser, write_small(tmp_path), "#view=kernels&kernel=net/0/3")
    assert browser.title.startswith(NASTY) and not browser.find_elements(By.CSS_SELECTOR, "img")
    told = chosen(browser)
    assert (
        NASTY in told["Layer"]
        and told["Code"] == "\N{EN DASH}"
        and told["reason"] == "Only square kernels have patterns."
    )
    assert complaints(browser) == []

"use strict";
// What the page shows beside walls and the map: the gallery of patterns, the networks, one network, the code.

const get = (id) => document.getElementById(id);
const fixed = (value, digits = 3) => (value === null ? "–" : value.toFixed(digits));
const counted = (value) => value.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const MEMBERS = 20; // of a row of the gallery at most
const FILM = 40; // kernels of a layer on the page of a network

function element(name, text, more = {}) {
  const made = Object.assign(document.createElement(name), more);
  if (text !== undefined) made.textContent = text; // never as HTML: names come from other people's files
  return made;
}

function parent(name, children, more) {
  const made = element(name, undefined, more);
  made.append(...children);
  return made;
}

function link(text, changes, more) { // a way to another view: the browser keeps the way back
  return element("a", text, { href: address({ ...state, network: "", ...changes }), ...more });
}

const lookOf = (label) => facts.labels.find((one) => one.label === label);
const idOf = ({ model, layer_index: layer, channel }) => `${model}/${layer}/${channel}`;

function swatch(label) {
  const made = element("span", undefined, { className: "swatch" });
  made.style.background = lookOf(label).paint;
  return made;
}

function sectionOf(view, size) { // of those that are there once for each size
  const all = [...document.querySelectorAll(`section[data-view=${view}]`)];
  all.forEach((one) => { one.hidden = one.dataset.size !== size; });
  return all.find((one) => !one.hidden);
}

// ---- the gallery: a row a label; its words are in the page, its kernels are drawn when it is first shown

function showPatterns(kernels) {
  const places = [...sectionOf("patterns", kernels.size).querySelectorAll(".rows > li")];
  const room = places[0]?.querySelector(".members").clientWidth;
  places.forEach((place, n) => {
    const row = kernels.rows[n], taps = bytesOf(row.taps), box = place.querySelector(".members");
    const picture = place.querySelector("canvas.kernel");
    if (picture) drawKernel(picture, kernels, kernels.templateOf(row.template), palette);
    const members = row.kernels.map((_, member) => taps.subarray(member * kernels.taps, (member + 1) * kernels.taps));
    const pickMember = (member) => change({ kernel: row.kernels[member] });
    box.replaceChildren(filmstrip(kernels, members, palette, { room, side: 35, pick: pickMember, count: MEMBERS }));
  });
}

// ---- networks: a row a network; its numbers are in the page, its layers are drawn when it is first shown

function showNetworks(kernels) {
  const body = sectionOf("networks", kernels.size).querySelector("tbody"), rows = [...body.rows];
  const heads = [...body.parentElement.querySelectorAll("[data-sort]")];
  const by = Math.max(0, heads.findIndex((head) => head.dataset.sort === state.sort));
  heads.forEach((head, place) => { head.parentElement.ariaSort = place === by ? "descending" : "none"; });
  const share = (row) => Number(row.querySelectorAll("[data-share]")[by].dataset.share);
  rows.sort((a, b) => ("control" in a.dataset) - ("control" in b.dataset) || share(b) - share(a));
  body.append(...rows);
  rows.forEach((row) => {
    row.hidden = !row.dataset.model.toLowerCase().includes(state.search.toLowerCase());
    row.lastElementChild.replaceChildren(...layerStrip(row.dataset.model, kernels));
  });
  const left = rows.filter((row) => !row.hidden).length;
  get("found").textContent = state.search ? `${left} of ${rows.length} networks` : "";
}

function layerStrip(model, kernels) { // each layer at its place among all depthwise layers of the model
  const { blocks } = facts.models.find((one) => one.model === model);
  const layers = blocks.flatMap(({ size, layers: some }) => some.map((layer) => ({ ...layer, size })));
  return layers.sort((a, b) => a.layer_index - b.layer_index).map((one) => {
    const words = `layer ${one.layer_index}, ${one.layer}: ${one.size}, ${one.kernels} kernels`;
    if (one.size !== kernels.size) return element("i", undefined, { title: words });
    const place = `${model}/${one.layer_index}`, none = one.share === null;
    const often = one.most ? `, most often ${one.most}` : "";
    const title = words + (none ? ", no share" : `, ${percent(one.share)} with a pattern${often}`);
    const made = link("", { view: "kernels", left: place }, { title, ariaLabel: title, className: none ? "none" : "" });
    made.ariaCurrent = [state.left, state.right].includes(place) ? "true" : null;
    made.style.setProperty("--share", `${100 * one.share}%`);
    return made;
  });
}

// ---- one network: its layers in order

async function showNetwork() {
  const one = facts.models.find(({ model }) => model === state.network);
  get("network-title").textContent = one ? one.model : `There is no network ${state.network}`;
  get("network-words").textContent = "";
  get("layers").replaceChildren();
  if (!one) return;
  const words = [one.family, one.dataset && `trained on ${one.dataset}`, one.top1 && `top-1 accuracy ${one.top1} %`,
    one.use === "control" && "a control"];
  words.push(...Object.entries(one.patterned).map(([size, share]) => `${size}: ${share} with a pattern`));
  get("network-words").textContent = words.filter(Boolean).join("; ");
  const rows = one.blocks.flatMap(({ size, layers }) => layers.map((layer) => [sizes.get(size), layer]));
  await Promise.all(one.blocks.map(({ size }) => sizes.get(size).load(...sizes.get(size).rangeOf(one.model, ""))));
  rows.sort((a, b) => a[1].layer_index - b[1].layer_index);
  get("layers").replaceChildren(...rows.map(([kernels, layer]) => {
    const { layer_index: index, share, most } = layer, [first, end] = kernels.rangeOf(one.model, index);
    const go = { view: "kernels", size: kernels.size, left: `${one.model}/${index}`, only: "", off: "" };
    const told = share === null ? [] : [`, ${percent(share)} with a pattern`];
    if (most) told.push(", most often ", swatch(most), most);
    const size = ` ${kernels.size}, ${counted(end - first)} kernels`;
    const name = parent("p", [link(`${index}: ${layer.layer}`, go), size, ...told]);
    const count = Math.min(FILM, end - first), step = (end - first - 1) / Math.max(1, count - 1);
    const shown = Array.from({ length: count }, (_, n) => first + Math.round(n * step)); // first to last channel
    return parent("li", [name, filmOf(kernels, shown, get("layers").clientWidth, 28)]);
  }));
}

function filmOf(kernels, shown, room, side) { // of kernels by their numbers
  const pickOne = (place) => change({ kernel: idOf(kernels.facts(shown[place])) });
  return filmstrip(kernels, shown.map((kernel) => kernels.tapsOf(kernel)), palette, { room, side, pick: pickOne });
}

// ---- the code

async function showCode(kernels) {
  get("code-none").hidden = !!kernels.spectrum;
  get("code-body").hidden = !kernels.spectrum;
  if (!kernels.spectrum) return;
  const here = await everywhere(kernels);
  const most = Math.log1p(Math.max(...kernels.counts)), steps = kernels.counts.length;
  get("density").replaceChildren(...kernels.counts.map((count, step) => {
    const { label } = kernels.decoded((step + 0.5) / steps).stretch, bar = element("i");
    bar.style.height = `${count ? Math.max(3, (100 * Math.log1p(count)) / most) : 0}%`; // one kernel is seen, too
    bar.style.background = lookOf(label).colour;
    bar.title = `code ${((step + 0.5) / steps).toFixed(3)}, ${label}: ${counted(count)} training kernels`;
    return bar;
  }));
  const all = { passes: () => true, least: 0, order: "code" };
  const sorted = kernels.select(here, all).kernels.filter((kernel) => kernels.columns.code[kernel] <= FINE);
  decode(kernels, sorted);
  get("code").oninput = () => decode(kernels, sorted);
}

function decode(kernels, sorted) {
  const code = Math.min(Number(get("code").value), 0.9999), { taps, stretch, kernels: count } = kernels.decoded(code);
  drawKernel(get("decoded"), kernels, taps, palette);
  get("decoded-words").textContent = `Code ${code.toFixed(3)}: ${stretch.label}, cluster ${stretch.cluster} ` +
    `(${stretch.code_low.toFixed(3)} to ${stretch.code_high.toFixed(3)}); ${counted(count)} training kernels here`;
  const after = sorted.findIndex((kernel) => kernels.columns.code[kernel] >= code * FINE);
  const from = Math.max(0, Math.min((after < 0 ? sorted.length : after) - 10, sorted.length - 20));
  get("near").replaceChildren(filmOf(kernels, [...sorted.subarray(from, from + 20)], get("near").clientWidth, 35));
}

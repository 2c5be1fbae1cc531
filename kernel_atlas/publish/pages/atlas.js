"use strict";
// What the page shows is the state, the state is in the address, and every control changes the state.

const facts = JSON.parse(document.getElementById("facts-of-the-page").textContent);
const get = (id) => document.getElementById(id);
const palette = facts.colours.map(colourBytes);
const PICTURE = 20000; // kernels in a PNG at most
const largest = facts.sizes.map((one) => [one, new Kernels(facts, one.size)]);
const sizes = new Map(largest.map(([one, kernels]) => [one.size, kernels]));
const first = [...sizes.values()].sort((a, b) => !!b.spectrum - !!a.spectrum || b.count - a.count)[0];
const START = {
  size: first?.size ?? "", left: "", right: "", off: "", most: 2, dead: true, order: "code", side: 32, kernel: "", search: "",
};
let state = { ...START };

// ---- the address: left and right are MODEL or MODEL/LAYER, empty for all models and for no right wall

function readAddress() {
  const told = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  state = { ...START, ...told };
  if (!sizes.has(state.size)) state.size = START.size;
  const within = (name, low, high) => (isNaN(state[name]) ? START[name] : Math.min(high, Math.max(low, Number(state[name]))));
  state.most = within("most", 0, 2);
  state.side = within("side", 8, 96);
  state.dead = String(state.dead) !== "false";
  if (![...get("order").options].some((one) => one.value === state.order)) state.order = START.order;
  if (!("left" in told)) state.left = now().layers[0]?.model ?? "";
}

function address(shown) {
  const told = Object.entries(shown).filter(([name, value]) => name === "left" || value !== START[name]);
  return `#${new URLSearchParams(told)}`;
}

function change(changes) {
  Object.assign(state, changes);
  history.replaceState(null, "", address(state));
  return show();
}

const now = () => sizes.get(state.size);
const placeOf = (text) => {
  const [model, layer] = text.split("/");
  return { model, layer: layer === undefined || layer === "" ? "" : Number(layer) };
};

// ---- numbers as words

const fixed = (value, digits = 3) => (value === null ? "–" : value.toFixed(digits));
const counted = (value) => value.toLocaleString("en");

function describe(one) { // pairs of a name and a text
  return [
    ["Model", one.model],
    ["Layer", `${one.layer_index}: ${one.layer}`],
    ["Channel", String(one.channel)],
    ["Label", one.label],
    ["Code", fixed(one.code)],
    ["Dissimilarity", fixed(one.dissimilarity)],
    ["Most similar pattern", one.template ? `${one.template} (cosine ${fixed(one.template_cosine, 2)})` : "–"],
    ["Fit", one.fit ? `${one.fit} (cosine ${fixed(one.fit_cosine, 2)}${one.explained ? "" : ", no more than noise"})` : "not fitted"],
  ];
}

function element(name, text, more = {}) {
  const made = Object.assign(document.createElement(name), more);
  if (text !== undefined) made.textContent = text; // never as HTML: names come from other people's files
  return made;
}

function listOf(pairs) {
  return pairs.flatMap(([name, text]) => [element("dt", name), element("dd", text)]);
}

function tableOf(kernels, kernel) {
  const table = element("table", undefined, { className: "taps" });
  const values = kernels.values(kernel), most = Math.max(...values.map(Math.abs));
  const digits = Math.min(9, Math.max(0, 2 - Math.floor(Math.log10(most || 1)))); // three of the largest
  for (let row = 0; row < kernels.height; row++) {
    const line = table.insertRow();
    values.slice(row * kernels.width, (row + 1) * kernels.width)
      .forEach((value) => { line.insertCell().textContent = value.toFixed(digits); });
  }
  return table;
}

// ---- the walls

const panels = ["left", "right"].map((side) => {
  const box = get(side), part = (name) => box.querySelector(name);
  const panel = { side, box, model: part(".model"), layer: part(".layer"), count: part(".count"), png: part(".png") };
  const pick = (kernel) => {
    const { model, layer_index: layer, channel } = now().facts(kernel);
    change({ kernel: `${model}/${layer}/${channel}` });
  };
  panel.wall = new Wall(part(".wall"), palette, { hover: tell, pick });
  panel.model.addEventListener("change", () => change({ [side]: panel.model.value }));
  panel.layer.addEventListener("change", () => change({ [side]: `${panel.model.value}/${panel.layer.value}` }));
  part(".csv").addEventListener("click", () => keep(tableText(panel), panel, "csv"));
  panel.png.addEventListener("click", async () => keep(await panel.wall.picture(PICTURE), panel, "png"));
  return panel;
});

function tell(kernel, event) { // beside the pointer
  const tip = get("tip");
  tip.hidden = kernel === null || kernel === undefined;
  if (tip.hidden) return;
  const list = element("dl");
  list.replaceChildren(...listOf(describe(now().facts(kernel))));
  tip.replaceChildren(list, ...(now().width <= 11 ? [tableOf(now(), kernel)] : []));
  const { innerWidth, innerHeight } = window, { offsetWidth, offsetHeight } = tip;
  tip.style.left = `${Math.max(0, Math.min(event.clientX + 16, innerWidth - offsetWidth - 4))}px`;
  tip.style.top = `${event.clientY + 16 + offsetHeight > innerHeight ? Math.max(0, event.clientY - offsetHeight - 12) : event.clientY + 16}px`;
}

function fill(select, options, value) {
  const there = options.some(([one]) => one === value);
  const all = there ? options : [...options, [value, value]]; // a search must not take away what is shown
  select.replaceChildren(...all.map(([one, text]) => element("option", text, { value: one })));
  select.value = value;
}

async function showWall(panel, kernels, models) {
  const { model, layer } = placeOf(state[panel.side]);
  const names = [["", `all ${counted(new Set(kernels.layers.map((one) => one.model)).size)} models`]];
  fill(panel.model, [...names, ...models.map((name) => [name, name])], model);
  const layers = kernels.layers.filter((one) => one.model === model);
  const every = [["", model ? `all ${layers.length} layers` : "all layers"]];
  fill(panel.layer, [...every, ...layers.map((one) => [String(one.layer_index), `${one.layer_index}: ${one.layer}`])], String(layer));
  panel.layer.disabled = !model;
  const [begin, end] = kernels.rangeOf(model, layer);
  await kernels.load(begin, end);
  const hidden = new Set(state.off.split(",").filter(Boolean));
  const { kernels: shown, found } = kernels.select(begin, end, { ...state, hidden });
  panel.png.textContent = shown.length > PICTURE ? `PNG of the first ${counted(PICTURE)}` : "PNG";
  panel.count.textContent = end > begin ? `${counted(shown.length)} of ${counted(end - begin)} kernels`
    : `no ${state.size} kernels in ${state[panel.side]}: choose another model`;
  const same = String(shown.length && [state.size, state[panel.side], state.off, state.most, state.dead, state.order, state.side]);
  if (panel.same !== same) panel.wall.show(kernels, shown, state.side); // or else a click would scroll to the top
  panel.same = same;
  return found;
}

function tableText(panel) {
  const names = ["model", "layer_index", "layer", "channel", "size", "label", "code", "dissimilarity", "template",
    "template_cosine", "fit", "fit_cosine", "explained"];
  const quoted = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const lines = Array.from(panel.wall.shown, (kernel) => {
    const one = now().facts(kernel);
    const cells = names.map((name) => quoted(typeof one[name] === "number" && !Number.isInteger(one[name])
      ? one[name].toFixed(5) : String(one[name] ?? "")));
    return [...cells, now().values(kernel).map((value) => value.toPrecision(4)).join(" ")].join(",");
  });
  return new Blob([[...names, "taps_8bit"].join(","), "\n", lines.join("\n"), "\n"]);
}

function keep(data, panel, ending) {
  const name = ["kernels", state.size, ...state[panel.side].split("/")].filter(Boolean).join("_");
  const link = element("a", undefined, { href: URL.createObjectURL(data), download: `${name}.${ending}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// ---- labels

function showLabels(found) {
  const off = new Set(state.off.split(",").filter(Boolean));
  facts.labels.forEach(({ label }, place) => {
    const { box, input, words } = boxes[place];
    box.hidden = !found[place] && !off.has(label);
    input.checked = !off.has(label);
    words.textContent = ` ${label} (${counted(found[place])})`;
  });
}

const boxes = facts.labels.map((one) => { // made once: a box that is ticked keeps the focus
  const box = element("label"), input = element("input", undefined, { type: "checkbox", value: one.label });
  const swatch = element("span", undefined, { className: "swatch" }), words = element("span");
  swatch.style.background = one.off ? `repeating-linear-gradient(90deg, ${one.colour} 0 2px, #fff 2px 4px)` : one.colour;
  input.addEventListener("change", () => {
    const off = new Set(state.off.split(",").filter(Boolean));
    off[input.checked ? "delete" : "add"](one.label);
    change({ off: [...off].sort().join(",") });
  });
  box.append(input, " ", swatch, words);
  get("labels").append(box);
  return { box, input, words };
});

// ---- the map and the code, drawn by ECharts

const charts = { map: echarts.init(get("map")), density: echarts.init(get("density")) };
const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const words = () => ({ color: colourOf("--soft"), fontSize: 11 });
const ROW = 17, ROWS = 26; // pixels, and rows in sight

function showMap(kernels, models) {
  const rows = models.slice().reverse(), place = new Map(rows.map((name, row) => [name, row]));
  const before = new Map(), cells = [];
  kernels.layers.forEach((one) => {
    const column = before.get(one.model) ?? 0;
    before.set(one.model, column + 1);
    if (place.has(one.model)) cells.push({ value: [column, place.get(one.model), one.share ?? -1], one });
  });
  const chosen = panels.map((panel) => placeOf(state[panel.side]));
  const columns = Math.max(1, ...[...before.values()]), seen = Math.min(rows.length, ROWS);
  get("map").style.height = `${Math.max(seen, 3) * ROW + 88}px`;
  charts.map.resize();
  charts.map.setOption({
    animation: false,
    aria: { enabled: true, label: { enabled: false } },
    grid: { left: 8, right: rows.length > ROWS ? 34 : 12, top: 6, bottom: 52, containLabel: true },
    xAxis: { type: "category", data: Array.from({ length: columns }, (_, n) => n), name: `layer with ${state.size} kernels, from the input`,
      nameLocation: "middle", nameGap: 22, nameTextStyle: words(), axisLabel: words(), axisTick: { show: false } },
    yAxis: { type: "category", data: rows, axisLabel: { ...words(), width: get("map").clientWidth / 4, overflow: "truncate" }, axisTick: { show: false } },
    dataZoom: rows.length > ROWS ? [
      { type: "slider", yAxisIndex: 0, startValue: rows.length - ROWS, endValue: rows.length - 1, width: 14, right: 4, showDetail: false, brushSelect: false },
      { type: "inside", yAxisIndex: 0, zoomOnMouseWheel: false, moveOnMouseWheel: true },
    ] : [],
    visualMap: { min: 0, max: 1, orient: "horizontal", left: "center", bottom: 0, itemHeight: 120, itemWidth: 10, text: ["100 %", "0 % with a pattern"],
      textStyle: words(), inRange: { color: ["#f7f0d8", "#e6b96b", "#c46b3a", "#8b2f4a", "#451a52"] }, outOfRange: { color: "#9aa3ad" } },
    tooltip: { formatter: ({ data: { one } }) => echarts.format.encodeHTML(
      `${one.model}, layer ${one.layer_index}: ${one.layer}; ${counted(one.kernels)} kernels, ` +
      `${one.share === null ? "not square" : `${(100 * one.share).toFixed(1)} % with a pattern, most often ${one.most}`}`),
    confine: true, extraCssText: "max-width: 20rem; white-space: normal" },
    series: [{
      type: "heatmap",
      data: cells.map((cell) => ({
        ...cell,
        itemStyle: chosen.some(({ model, layer }) => model === cell.one.model && layer === cell.one.layer_index)
          ? { borderColor: colourOf("--ink"), borderWidth: 2.5 } : { borderColor: colourOf("--page"), borderWidth: 0.5 },
      })),
      emphasis: { itemStyle: { borderColor: colourOf("--link"), borderWidth: 2 } },
    }],
  }, true);
}

function showCode(kernels) {
  get("axis").hidden = !kernels.spectrum;
  if (!kernels.spectrum) return;
  const steps = kernels.counts.length, colours = new Map(facts.labels.map((one) => [one.label, one.colour]));
  charts.density.resize();
  charts.density.setOption({
    animation: false,
    aria: { enabled: true, label: { enabled: false } },
    grid: { left: 44, right: 10, top: 8, bottom: 22 },
    xAxis: { type: "value", min: 0, max: 1, axisLabel: words(), splitLine: { show: false } },
    yAxis: { type: "log", min: 0.5, axisLabel: words(), splitLine: { lineStyle: { color: colourOf("--line") } } },
    tooltip: { trigger: "axis", formatter: ([{ data }]) => echarts.format.encodeHTML(
      `code ${data.value[0].toFixed(3)}, ${data.label}: ${counted(data.kernels)} training kernels`) },
    series: [{
      type: "bar", barWidth: "100%", barGap: "0%",
      data: kernels.counts.map((count, step) => {
        const code = (step + 0.5) / steps, { label } = kernels.decoded(code).stretch;
        return { value: [code, count || null], label, kernels: count, itemStyle: { color: colours.get(label) } };
      }),
      markLine: { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: colourOf("--soft"), width: 1, type: "solid" },
        data: kernels.clusters.slice(1).map((one) => ({ xAxis: one.code_low })) },
    }],
  }, true);
  decode(kernels);
}

function decode(kernels) {
  const code = Number(get("code").value), { taps, stretch, kernels: count } = kernels.decoded(Math.min(code, 0.9999));
  drawKernel(get("decoded"), kernels, taps, palette);
  get("decoded-words").textContent = `Code ${code.toFixed(3)}: ${stretch.label}, cluster ${stretch.cluster} ` +
    `(${stretch.code_low.toFixed(3)} to ${stretch.code_high.toFixed(3)}); ${counted(count)} training kernels here`;
}

charts.map.on("click", ({ data: { one }, event }) => {
  change({ [event.event.shiftKey ? "right" : "left"]: `${one.model}/${one.layer_index}` });
});

get("code").addEventListener("input", () => {
  decode(now());
  if (state.order !== "code") return;
  const wanted = Number(get("code").value) * FINE;
  panels.forEach(({ wall, box }) => { // the walls go to the first kernel with this code
    const place = wall.shown.findIndex((kernel) => now().columns.code[kernel] >= wanted);
    if (!box.hidden && wall.kernels && place >= 0) wall.element.scrollTop = Math.floor(place / wall.across) * wall.cell.height * wall.scale;
  });
});

// ---- the chosen kernel

async function showKernel(kernels) {
  const [model, layer, channel] = state.kernel.split("/");
  let kernel = null;
  if (state.kernel) {
    await kernels.load(...kernels.rangeOf(model, Number(layer)));
    kernel = kernels.find(model, Number(layer), Number(channel));
  }
  get("none").hidden = kernel !== null;
  get("kernel").hidden = kernel === null;
  panels.forEach(({ wall, box }) => {
    if (box.hidden || !wall.kernels) return;
    if (kernel !== wall.picked && wall.shown.includes(kernel)) wall.reveal(wall.shown.indexOf(kernel));
    wall.mark(kernel);
  });
  if (kernel === null) return;
  const part = (name) => get("kernel").querySelector(name), one = kernels.facts(kernel);
  drawKernel(part(".own"), kernels, kernels.values(kernel), palette);
  const known = one.code !== null;
  [".reconstruction", ".prototype"].forEach((name) => { part(name).parentElement.hidden = !known; });
  if (known) {
    const nearest = kernels.prototypeOf(kernel);
    drawKernel(part(".reconstruction"), kernels, kernels.decoded(one.code).taps, palette);
    drawKernel(part(".prototype"), kernels, nearest.taps, palette);
    part(".prototype-words").textContent =
      `Its nearest prototype: ${nearest.label}, cluster ${nearest.cluster} (cosine ${fixed(nearest.cosine, 2)})`;
  }
  get("facts").replaceChildren(...listOf(describe(one)));
  get("taps").replaceChildren(tableOf(kernels, kernel));
  get("permalink").href = address(state);
}

// ---- all of it

let turn = 0, drawn = {};

async function show() {
  const mine = ++turn, kernels = now();
  if (!kernels) return;
  for (const name of ["size", "order", "side", "most"]) get(name).value = state[name];
  get("search").value = state.search;
  get("dead").checked = state.dead;
  document.querySelector("output[for=most]").textContent = state.most >= 2 ? "any" : Number(state.most).toFixed(2);
  const all = [...new Set(kernels.layers.map((one) => one.model))];
  const models = all.filter((name) => name.toLowerCase().includes(state.search.toLowerCase()));
  get("found").textContent = state.search ? `${models.length} of ${all.length} models` : "";
  const scheme = colourOf("--page"), map = String([scheme, state.size, state.search, state.left, state.right]);
  panels[1].box.hidden = !state.right;
  get("compare").textContent = state.right ? "Show one model" : "Compare with another model";
  const found = new Array(facts.labels.length).fill(0);
  for (const panel of panels.filter(({ box }) => !box.hidden)) {
    (await showWall(panel, kernels, models)).forEach((count, label) => { found[label] += count; });
    if (mine !== turn) return; // something newer is being shown
  }
  const [{ wall }] = panels;
  document.querySelector("output[for=side]").textContent = `${wall.scale * wall.fine * kernels.width} px`;
  showLabels(found);
  await showKernel(kernels);
  if (drawn.code !== scheme + state.size) showCode(kernels);
  if (drawn.map !== map) showMap(kernels, models);
  drawn = { code: scheme + state.size, map };
  performance.mark("shown");
}

fill(get("size"), facts.sizes.map(({ size }) => [size, `${size} (${counted(sizes.get(size).count)})`]), state.size);
const changed = (id, event, value) => get(id).addEventListener(event, () => change({ [id]: value(get(id)) }));
get("size").addEventListener("change", () => {
  const kernels = sizes.get(get("size").value), has = (text) => kernels.layers.some((one) => one.model === placeOf(text).model);
  const kept = (text) => (text && has(text) ? placeOf(text).model : "");
  change({ size: kernels.size, left: kept(state.left), right: kept(state.right), kernel: "", off: "" });
});
changed("order", "change", (one) => one.value);
changed("side", "input", (one) => Number(one.value));
changed("most", "input", (one) => Number(one.value));
changed("dead", "change", (one) => one.checked);
changed("search", "input", (one) => one.value);
get("reset").addEventListener("click", () => change({ off: "", most: START.most, dead: true, search: "" }));
get("hide").addEventListener("click", () => change({ off: facts.labels.map(({ label }) => label).sort().join(",") }));
get("compare").addEventListener("click", () => {
  const others = [...new Set(now().layers.map((one) => one.model))].filter((name) => name !== placeOf(state.left).model);
  change({ right: state.right ? "" : others[0] ?? placeOf(state.left).model });
});
window.addEventListener("hashchange", () => { readAddress(); show(); });
window.addEventListener("resize", () => Object.values(charts).forEach((chart) => chart.resize()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
readAddress();
show();

"use strict";
// What the page shows is the state, the state is in the address, and every control changes the state.

const facts = JSON.parse(get("facts-of-the-page").textContent);
const named = (values) => Object.fromEntries(facts.layer.map((name, place) => [name, values[place]]));
facts.models.forEach(({ blocks }) => blocks.forEach((block) => { block.layers = block.layers.map(named); }));
const palette = facts.colours.map(colourBytes);
const PICTURE = 20000; // kernels in a PNG at most
const sizes = new Map(facts.sizes.map(({ size }) => [size, new Kernels(facts, size)]));
const VIEWS = { patterns: showPatterns, kernels: showWalls, map: showMap, networks: showNetworks, code: showCode };
const START = { // left, right: NETWORK or NETWORK/LAYER; kernel, like: NETWORK/LAYER/CHANNEL; only, off: labels
  view: sizes.get(facts.start)?.rows.length ? "patterns" : "kernels", size: facts.start, network: "", kernel: "",
  left: "", right: "", only: "", off: "", least: 0, order: "similarity", side: 32, like: "", axes: "0,1", at: "0,0,1",
  sort: "with a pattern", search: "", read: 0, // read: level of a sample
};
let state = { ...START };

// ---- the address

function readAddress() {
  state = { ...START, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
  const options = (id) => [...get(id).options].map(({ value }) => value);
  const known = { size: [...sizes.keys()], view: Object.keys(VIEWS), order: options("order"), axes: options("axes") };
  Object.entries(known).forEach(([name, values]) => { if (!values.includes(state[name])) state[name] = START[name]; });
  for (const [name, low, high] of [["least", 0, 1], ["side", 8, 96], ["read", 0, 9]]) {
    state[name] = isNaN(state[name]) ? START[name] : Math.min(high, Math.max(low, Number(state[name])));
  }
  if (!/^[-.\de]+,[-.\de]+,[.\d]+$/.test(state.at)) state.at = START.at;
}

function address(shown) {
  return `#${new URLSearchParams(Object.entries(shown).filter(([name, value]) => value !== START[name]))}`;
}

function change(changes, how = "pushState") {
  Object.assign(state, changes);
  const walls = state.right ? [state.left, state.right] : [state.left];
  const inside = (wall) => `${state.kernel}/`.startsWith(wall && `${wall.replace(/\/$/, "")}/`);
  if (("left" in changes || "right" in changes) && !walls.some(inside)) state.kernel = "";
  if (address(state) !== (location.hash || "#")) history[how](null, "", address(state));
  return show();
}

const now = () => sizes.get(state.size);
const listed = (name) => new Set(state[name].split(",").filter(Boolean));
const placeOf = (text) => {
  const [model, layer] = text.split("/");
  return { model, layer: layer ? Number(layer) : "" };
};

async function everywhere(kernels, level = state.read, more = true) { // kernels of all networks; of a large run a sample
  const here = await kernels.loadLevel(level), next = kernels.sample[level + 1], whole = counted(kernels.count);
  const bytes = (next ? [next] : kernels.blocks).reduce((sum, one) => sum + one.bytes, 0);
  get("sampled").hidden = here.length === kernels.count;
  get("sample").textContent = `A random sample of ${counted(here.length)} of ${whole} kernels.`;
  get("more").textContent = `Read ${next ? `${counted(next.kernels)} more` : "all"} (${fixed(bytes / 1e6, 1)} MB)`;
  Object.assign(get("more"), { value: level + 1, hidden: !more });
  return here;
}

async function find(id) { // a kernel by its address, of whatever size: [kernels, number], or null
  const [model, ...place] = id.split("/"), [layer, channel] = place.map(Number);
  const kernels = [...sizes.values()].find((one) => one.rangeOf(model, layer)[1]);
  await kernels?.load(...kernels.rangeOf(model, layer));
  const number = kernels?.find(model, layer, channel) ?? null;
  return number === null ? null : [kernels, number];
}

// ---- labels

function filter() {
  const only = listed("only"), off = listed("off");
  return { ...state, passes: (label) => (only.size ? only.has(label) : !off.has(label)) };
}

function showLabels(found) {
  const { passes } = filter(), { only, off } = state;
  boxes.forEach(({ box, input, words, label }, place) => {
    box.hidden = !found[place];
    input.checked = passes(label);
    words.textContent = `${label} (${counted(found[place])})`;
  });
  get("filtered").textContent = (only ? `only ${only}` : off ? `all but ${off}` : "all").replaceAll(",", ", ");
}

const boxes = facts.labels.map(({ label }) => { // made once: a box that is ticked keeps the focus
  const input = element("input", undefined, { type: "checkbox", value: label }), words = element("span");
  const only = element("button", "only", { type: "button", ariaLabel: `only ${label}` });
  const box = parent("div", [parent("label", [input, " ", swatch(label), words]), " ", only]);
  input.addEventListener("change", () => {
    const name = state.only ? "only" : "off", labels = listed(name);
    labels[input.checked === !!state.only ? "add" : "delete"](label);
    change({ [name]: [...labels].sort().join(",") });
  });
  only.addEventListener("click", () => change({ only: label, off: "" }));
  get("labels").append(box);
  return { box, input, words, label };
});

// ---- the walls

const pick = (kernel, how) => change({ kernel: idOf(now().facts(kernel)) }, how);
const panels = ["left", "right"].map((side) => {
  const box = get(side), part = (name) => box.querySelector(name);
  const panel = { side, box, model: part(".model"), layer: part(".layer"), count: part(".count"), png: part(".png") };
  panel.wall = new Wall(part(".wall"), palette, { hover: (...what) => tell(...what, panel.cosines), pick });
  panel.model.addEventListener("change", () => change({ [side]: panel.model.value }));
  panel.layer.addEventListener("change", () => change({ [side]: `${panel.model.value}/${panel.layer.value}` }));
  part(".csv").addEventListener("click", () => keep(tableText(panel), panel, "csv"));
  panel.png.addEventListener("click", async () => {
    const title = `${state.size} kernels of ${state[side] || "all networks"}, ${get("filtered").textContent}`;
    keep(await panel.wall.picture(PICTURE, title), panel, "png");
  });
  return panel;
});

function tell(kernel, event, cosines) { // beside the pointer, inside the window
  const tip = get("tip");
  tip.hidden = kernel === null || kernel === undefined;
  if (tip.hidden) return;
  const one = now().facts(kernel), label = one.label + (cosines ? `, cosine ${fixed(cosines[kernel], 2)}` : "");
  const place = `${one.model}, layer ${one.layer_index}, channel ${one.channel}`;
  tip.replaceChildren(element("b", label), element("br"), place);
  const { offsetWidth: wide, offsetHeight: high } = tip, { clientX, clientY } = event;
  tip.style.left = `${Math.max(4, Math.min(clientX + 16, innerWidth - wide - 4))}px`;
  tip.style.top = `${clientY + 16 + high > innerHeight ? Math.max(4, clientY - high - 12) : clientY + 16}px`;
}

function fill(select, options, value) {
  const all = options.some(([one]) => one === value) ? options : [...options, [value, value]];
  select.replaceChildren(...all.map(([one, text]) => element("option", text, { value: one })));
  select.value = value;
}

async function showWalls(kernels) {
  const [same, number] = (state.like && await find(state.like)) || [], like = same === kernels ? number : null;
  const order = state.order === "like" && like === null ? START.order : state.order;
  get("like").textContent = `cosine to ${state.like}`;
  get("like").hidden = like === null;
  get("walls-title").textContent = order === "like" ? `Kernels like ${state.like}` : "Kernels";
  get("compare").textContent = state.right ? "Show one network" : "Compare with another network";
  panels[1].box.hidden = !state.right;
  const found = new Array(facts.labels.length).fill(0);
  for (const panel of panels.filter(({ box }) => !box.hidden)) {
    (await showWall(panel, kernels, order, like)).forEach((count, label) => { found[label] += count; });
  }
  const [{ wall }] = panels;
  document.querySelector("output[for=side]").textContent = `${wall.scale * wall.fine * kernels.width} px`;
  showLabels(found);
}

async function showWall(panel, kernels, order, like) {
  const { model, layer } = placeOf(state[panel.side]), layers = kernels.layers.filter((one) => one.model === model);
  const all = ["", `all ${counted(kernels.models.length)} networks`];
  fill(panel.model, [all, ...kernels.models.map((name) => [name, name])], model);
  const names = layers.map((one) => [String(one.layer_index), `${one.layer_index}: ${one.layer}`]);
  fill(panel.layer, [["", model ? `all ${layers.length} layers` : "all layers"], ...names], String(layer));
  panel.layer.disabled = !model;
  const here = await (model ? kernels.load(...kernels.rangeOf(model, layer)) : everywhere(kernels));
  const { size, only, off, least, side, read } = state;
  const same = String([size, model, layer, only, off, least, order, like, side, read]);
  if (panel.same === same) return panel.found; // or else a click would scroll to the top
  panel.cosines = order === "like" ? kernels.cosines(unit(kernels.tapsOf(like)), here) : null;
  const { kernels: shown, found } = kernels.select(here, { ...filter(), order }, panel.cosines);
  panel.png.textContent = shown.length > PICTURE ? `PNG of the first ${counted(PICTURE)}` : "PNG";
  panel.count.textContent = here.length ? `${counted(shown.length)} of ${counted(here.length)} kernels`
    : `no ${state.size} kernels in ${state[panel.side]}: choose another network`;
  panel.wall.show(kernels, shown, side);
  Object.assign(panel, { same, found });
  return found;
}

function tableText({ wall: { kernels, shown } }) {
  const lines = Array.from(shown, (kernel) => {
    const one = kernels.facts(kernel), taps = kernels.values(kernel).map((value) => value.toPrecision(4)).join(" ");
    return { ...one, template: formulaOf(kernels, one), taps_8bit: taps };
  });
  const text = (value) => String(Number.isInteger(value) || typeof value !== "number" ? value ?? "" : value.toFixed(5));
  const quoted = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const table = [Object.keys(lines[0] ?? {}), ...lines.map(Object.values)];
  return new Blob(table.map((line) => `${line.map((value) => quoted(text(value))).join(",")}\n`));
}

function keep(data, panel, ending) {
  const name = ["kernels", state.size, ...state[panel.side].split("/")].filter(Boolean).join("_");
  const made = element("a", undefined, { href: URL.createObjectURL(data), download: `${name}.${ending}` });
  made.click();
  setTimeout(() => URL.revokeObjectURL(made.href), 60000);
}

// ---- the map

const rounded = ({ x, y, zoom }) => String([x, y, zoom].map((one) => Number(one.toFixed(5))));
const moved = (at) => change({ at: rounded(at) }, "replaceState");
const plane = new KernelMap(get("plane"), palette, { hover: tell, pick, moved });

async function showMap(kernels) {
  const axes = state.axes.split(","), [x, y, zoom] = state.at.split(",").map(Number);
  const most = Math.max(kernels.sample.length - 1, state.read), near = Math.floor(Math.log2(zoom) / 2);
  const here = await everywhere(kernels, Math.min(near, most), near > most); // the nearer, the more
  const { kernels: shown, found } = kernels.select(here, { ...filter(), order: "layer" });
  showLabels(found);
  get("explained").textContent = axes.map((axis) => kernels.components.shares[axis]).join(" and ");
  const { size, only, off, least, at } = state, same = String([size, only, off, least, axes, here.length]);
  if (plane.same !== same || plane.told !== at) plane.show(kernels, shown, axes, { x, y, zoom });
  Object.assign(plane, { same, told: at });
}

// ---- the chosen kernel

function formulaOf(kernels, one) {
  if (one.template === null) return "";
  const { label, parameters } = kernels.templates[one.template];
  return [label, lookOf(label).formula, parameters].filter(Boolean).join(": ");
}

function reasonOf(kernels, one) {
  if (one.label === "dead") return "No tap is above 0.0001, or one is not finite.";
  if (one.similarity === null) return "Only square kernels have patterns.";
  const needed = `a pattern needs ${fixed(kernels.needed, 2)}`, cosine = fixed(one.similarity, 2);
  if (one.label === "other") return `Its most similar pattern, ${one.second}, has the cosine ${cosine}; ${needed}.`;
  return `Cosine ${cosine} to this pattern; ${needed}. The next name is ${one.second}, ${fixed(one.margin, 2)} less.`;
}

async function showKernel() {
  const found = state.kernel ? await find(state.kernel) : null, [kernels, kernel] = found ?? [];
  get("none").hidden = !!found;
  get("kernel").hidden = !found;
  const mark = kernels === now() ? kernel : null;
  panels.forEach(({ wall, box }) => {
    if (box.hidden || wall.kernels !== now()) return;
    if (mark !== wall.picked && wall.shown.includes(mark)) wall.reveal(wall.shown.indexOf(mark));
    wall.mark(mark);
  });
  plane.mark(mark);
  if (!found) return;
  const one = kernels.facts(kernel), draw = (name, taps) => {
    const canvas = get("kernel").querySelector(name);
    canvas.parentElement.hidden = !taps;
    if (taps) drawKernel(canvas, kernels, taps, palette);
  };
  draw(".own", kernels.tapsOf(kernel));
  draw(".template", one.template === null ? null : kernels.templateOf(one.template));
  draw(".reconstruction", one.code === null ? null : kernels.decoded(one.code).taps);
  get("label").replaceChildren(swatch(one.label), one.label);
  get("reason").textContent = reasonOf(kernels, one);
  const there = { ...START, view: "kernels", size: kernels.size, side: state.side, kernel: state.kernel };
  get("ways").replaceChildren(link("Kernels like this", { ...there, like: state.kernel, order: "like" }),
    link("Its layer", { ...there, left: `${one.model}/${one.layer_index}` }),
    link("Its network", { network: one.model }));
  const fit = one.fit ? `${one.fit}, cosine ${fixed(one.fit_cosine, 2)}` : "not fitted";
  const pairs = { Network: one.model, Layer: `${one.layer_index}: ${one.layer}`, Channel: String(one.channel),
    Formula: formulaOf(kernels, one) || "–", Fit: fit + (one.explained === false ? ", no more than noise" : ""),
    Code: fixed(one.code), Dissimilarity: fixed(one.dissimilarity) };
  const list = Object.entries(pairs).flatMap(([name, text]) => [element("dt", name), element("dd", text)]);
  get("facts").replaceChildren(...list);
  const taps = kernels.values(kernel).map((value) => value.toPrecision(3).padStart(10));
  get("taps").textContent = taps.map((text, tap) => text + ((tap + 1) % kernels.width ? "" : "\n")).join("");
}

// ---- all of it

let turn = Promise.resolve(), asked = 0;

function show() { // one after the other, and only what was asked for last
  const mine = ++asked;
  turn = turn.catch(() => {}).then(async () => {
    const kernels = now(), view = state.network ? "network" : state.view;
    if (!kernels || mine !== asked) return;
    for (const part of document.querySelectorAll("main > [data-view]")) {
      part.hidden = !part.dataset.view.split(" ").includes(view);
    }
    document.body.classList.toggle("roomy", !state.kernel && !["kernels", "map"].includes(view));
    document.querySelectorAll("#views a").forEach((one) => {
      one.href = address({ ...state, network: "", view: one.dataset.view });
      one.ariaCurrent = one.dataset.view === view || (state.network && one.dataset.view === "networks") ? "page" : null;
    });
    const whole = { left: "", right: "", kernel: "", like: "", at: START.at };
    get("sizes").replaceChildren(...Array.from(sizes.values(), ({ size, count }) => link(size, { ...whole, size },
      { title: `${counted(count)} kernels`, ariaCurrent: size === kernels.size ? "true" : null })));
    for (const name of ["order", "side", "least", "axes", "search"]) get(name).value = state[name];
    document.querySelector("output[for=least]").textContent = state.least > 0 ? state.least.toFixed(2) : "any";
    get("sampled").hidden = true;
    await (state.network ? showNetwork : VIEWS[view])(kernels);
    await showKernel();
    performance.mark("shown");
  });
  return turn;
}

for (const name of ["order", "axes"]) get(name).addEventListener("change", () => change({ [name]: get(name).value }));
for (const name of ["side", "least", "search"]) { // no step back for each letter
  const value = () => (name === "search" ? get(name).value : Number(get(name).value));
  get(name).addEventListener("input", () => change({ [name]: value() }, "replaceState"));
}
const clicks = {
  more: () => change({ read: Number(get("more").value) }),
  reset: () => change({ only: "", off: "", least: 0 }),
  close: () => change({ kernel: "" }),
  in: () => plane.zoom(1.5),
  out: () => plane.zoom(1 / 1.5),
  whole: () => change({ at: START.at }),
  compare: () => {
    const { models } = now(), left = state.left || models[0];
    change(state.right ? { right: "" } : { left, right: models.find((name) => name !== placeOf(left).model) ?? left });
  },
  share: async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      get("shared").textContent = "Copied";
    } catch { // a browser may keep the clipboard from a page
      prompt("The address of this view", location.href);
    }
  },
};
Object.entries(clicks).forEach(([id, act]) => get(id).addEventListener("click", act));
window.addEventListener("hashchange", () => { readAddress(); show(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
readAddress();
show();

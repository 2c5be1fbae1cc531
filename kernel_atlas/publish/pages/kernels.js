"use strict";
// The kernels of the page. `kernel_atlas/atlas.py` packs them: a block holds the kernels of one model and size, columns
// one after the other. A kernel's number counts through all blocks of its size.

const COLUMNS = [ // as pack_block orders them, wide types first
  ["low", Float32Array], ["step", Float32Array], ["channel", Uint32Array], ["code", Uint16Array],
  ["dissimilarity", Uint16Array], ["template", Uint16Array], ["label", Uint16Array], ["fit", Uint16Array],
  ["cosine", Uint8Array], ["fit_cosine", Uint8Array], ["explained", Uint8Array],
  ["taps", Uint8Array],
];
const FINE = 65534, COARSE = 254; // steps; one more is: there is none

function bytesOf(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let n = 0; n < bytes.length; n++) bytes[n] = letters.charCodeAt(n);
  return bytes;
}

async function unpack(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

class Kernels { // of one size
  constructor(facts, size) {
    Object.assign(this, facts.sizes.find((one) => one.size === size));
    this.taps = this.height * this.width;
    this.labels = facts.labels;
    this.layers = []; // {model, layer_index, layer, first, kernels, share, most}
    this.blocks = []; // {first, kernels, element}
    let place = 0;
    facts.models.forEach((model) => model.blocks.forEach((block) => {
      const element = document.getElementById(`block-${place++}`);
      if (block.size !== size) return;
      const first = this.count ?? 0;
      this.count = first;
      block.layers.forEach((layer) => {
        this.layers.push({ ...layer, model: model.model, first: this.count });
        this.count += layer.kernels;
      });
      this.blocks.push({ first, kernels: this.count - first, element });
    }));
    this.columns = {};
    COLUMNS.forEach(([name, Type]) => {
      this.columns[name] = new Type(this.count * (name === "taps" ? this.taps : 1));
    });
    if (this.spectrum) this.spectrum = bytesOf(this.spectrum);
    if (this.prototypes) this.prototypes = { ...this.prototypes, taps: bytesOf(this.prototypes.taps) };
  }

  async load(first, end) { // unpack what these kernels are in
    const wanted = this.blocks.filter((block) => block.element && block.first < end && block.first + block.kernels > first);
    await Promise.all(wanted.map(async (block) => {
      const buffer = await unpack(block.element.textContent);
      let place = 0;
      COLUMNS.forEach(([name, Type]) => {
        const each = name === "taps" ? this.taps : 1;
        const column = new Type(buffer, place, block.kernels * each);
        this.columns[name].set(column, block.first * each);
        place += column.byteLength;
      });
      block.element = null; // it is here now
    }));
  }

  layerOf(kernel) {
    let low = 0, high = this.layers.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.layers[middle].first <= kernel) low = middle; else high = middle - 1;
    }
    return this.layers[low];
  }

  rangeOf(model, layer) { // first kernel and the one after the last; of all models, a model, or a layer of it
    const inside = this.layers.filter((one) => (!model || one.model === model) && (layer === "" || one.layer_index === layer));
    if (!inside.length) return [0, 0];
    const last = inside[inside.length - 1];
    return [inside[0].first, last.first + last.kernels];
  }

  find(model, layer, channel) { // the number of a kernel, or null
    const [first, end] = this.rangeOf(model, layer);
    for (let kernel = first; kernel < end; kernel++) if (this.columns.channel[kernel] === channel) return kernel;
    return null;
  }

  values(kernel) { // the taps, to a 255th of the kernel's range
    const { taps, low, step } = this.columns;
    return Array.from({ length: this.taps }, (_, tap) => low[kernel] + step[kernel] * taps[kernel * this.taps + tap]);
  }

  facts(kernel) {
    const { channel, code, dissimilarity, template, label, cosine, fit, fit_cosine: fitCosine, explained } = this.columns;
    const layer = this.layerOf(kernel);
    const part = (value, steps, most = 1) => (value > steps ? null : (value / steps) * most);
    const there = this.templates.length && cosine[kernel] <= COARSE;
    return {
      model: layer.model,
      layer_index: layer.layer_index,
      layer: layer.layer,
      channel: channel[kernel],
      size: this.size,
      label: this.labels[label[kernel]].label,
      code: part(code[kernel], FINE),
      dissimilarity: part(dissimilarity[kernel], FINE, 2),
      template: there ? this.templates[template[kernel]] : null,
      template_cosine: there ? part(cosine[kernel], COARSE) : null,
      fit: fitCosine[kernel] > COARSE ? null : this.labels[fit[kernel]].label,
      fit_cosine: part(fitCosine[kernel], COARSE),
      explained: fitCosine[kernel] > COARSE ? null : !!explained[kernel],
    };
  }

  select(first, end, { hidden, most, dead, order }) { // numbers of the kernels that pass, in order; and labels of all
    const { code, dissimilarity, label } = this.columns;
    const off = this.labels.map((one) => hidden.has(one.label));
    const isDead = this.labels.findIndex((one) => one.label === "dead");
    const limit = most >= 2 ? Infinity : (most / 2) * FINE;
    const found = new Array(this.labels.length).fill(0), keys = [];
    for (let kernel = first; kernel < end; kernel++) {
      found[label[kernel]]++;
      if (off[label[kernel]] || (!dead && label[kernel] === isDead)) continue;
      if (dissimilarity[kernel] > limit && dissimilarity[kernel] <= FINE) continue;
      keys.push(({ code: code[kernel], dissimilarity: dissimilarity[kernel], layer: 0 })[order] * 2 ** 32 + kernel);
    }
    const sorted = Float64Array.from(keys).sort(); // numbers sort fast, and below 2^53 the kernel is in them
    return { kernels: Uint32Array.from(sorted, (key) => key % 2 ** 32), found };
  }

  prototypeOf(kernel) { // the prototype with the greatest cosine: {label, cluster, cosine, taps}
    const own = centred(this.values(kernel));
    let best = null;
    this.prototypes.labels.forEach((label, row) => {
      const taps = this.prototypes.taps.subarray(row * this.taps, (row + 1) * this.taps);
      const other = centred(taps);
      const cosine = own.reduce((sum, value, tap) => sum + value * other[tap], 0) / (length(own) * length(other) || 1);
      if (!best || cosine > best.cosine) best = { label, cluster: this.prototypes.clusters[row], cosine, taps };
    });
    return best;
  }

  decoded(code) { // what the decoder draws at the step of the spectrum that holds a code, and the stretch it lies in
    const steps = this.counts.length, step = Math.min(steps - 1, Math.floor(code * steps));
    const taps = this.spectrum.subarray(step * this.taps, (step + 1) * this.taps);
    const stretch = this.clusters.find((one) => code < one.code_high) ?? this.clusters[this.clusters.length - 1];
    return { taps, stretch, kernels: this.counts[step] };
  }
}

function centred(taps) {
  const mean = taps.reduce((sum, value) => sum + value, 0) / taps.length;
  return Array.from(taps, (value) => value - mean);
}

function length(taps) {
  return Math.sqrt(taps.reduce((sum, value) => sum + value * value, 0));
}

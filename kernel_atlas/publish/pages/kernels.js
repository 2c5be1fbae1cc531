"use strict";
// The kernels of the page. `publish/blocks.py` packs them: a block holds some layers of one model and size, columns one
// after the other. A kernel's number counts through all blocks of its size. Blocks of a large run lie beside the page.

const COLUMNS = [ // as pack_block orders them, wide types first
  ["low", Float32Array], ["step", Float32Array], ["channel", Uint32Array], ["code", Uint16Array],
  ["dissimilarity", Uint16Array], ["template", Uint16Array], ["label", Uint16Array], ["second", Uint16Array],
  ["fit", Uint16Array], ["similarity", Uint8Array], ["margin", Uint8Array], ["fit_cosine", Uint8Array],
  ["explained", Uint8Array],
  ["taps", Uint8Array],
];
const FINE = 65534, COARSE = 254; // steps; one more is: there is none

function bytesOf(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let n = 0; n < bytes.length; n++) bytes[n] = letters.charCodeAt(n);
  return bytes;
}

const awaited = new Map();
const receive = (block, text) => awaited.get(block)(text); // a file calls it

function textOf(block) { // in the page, or from its file: a script, as a page that lies on a disk may read nothing else
  const inside = document.getElementById(`block-${block}`);
  if (inside) return inside.textContent;
  return new Promise((resolve, reject) => {
    awaited.set(block, resolve);
    const src = `${facts.folder}/${block}.js`, missing = () => {
      get("missing").hidden = false;
      reject(new Error(`${src} is missing`));
    };
    document.head.append(element("script", undefined, { src, onerror: missing }));
  });
}

async function unpack(block) {
  const stream = new Blob([bytesOf(await textOf(block))]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

class Kernels { // of one size
  constructor(facts, size) {
    Object.assign(this, facts.sizes.find((one) => one.size === size));
    this.taps = this.height * this.width;
    this.labels = facts.labels;
    this.layers = []; // {model, layer_index, layer, first, kernels, share, most}
    this.blocks = []; // {block, bytes, first, kernels}
    this.count = 0;
    facts.models.forEach((model) => model.blocks.filter((block) => block.size === size).forEach((block) => {
      const first = this.count;
      block.layers.forEach((layer) => {
        this.layers.push({ ...layer, model: model.model, first: this.count });
        this.count += layer.kernels;
      });
      this.blocks.push({ ...block, first, kernels: this.count - first });
    }));
    this.columns = {};
    COLUMNS.forEach(([name, Type]) => {
      this.columns[name] = new Type(this.count * (name === "taps" ? this.taps : 1));
    });
    this.models = [...new Set(this.layers.map((one) => one.model))];
    if (this.spectrum) this.spectrum = bytesOf(this.spectrum);
    if (this.template_taps) this.template_taps = bytesOf(this.template_taps);
  }

  async load(first, end) { // what these kernels are in; gives their numbers
    await Promise.all(this.blocks.filter((one) => one.first < end && one.first + one.kernels > first)
      .map((one) => this.read(one)));
    return new Uint32Array(end - first).map((_, place) => first + place);
  }

  async loadLevel(level) { // all kernels of a small run; of a large one a sample, or all above its last level
    if (level >= this.sample.length) return this.load(0, this.count);
    const parts = await Promise.all(this.sample.slice(0, level + 1).map((one) => this.read(one)));
    return Uint32Array.from(parts.flatMap((one) => [...one]));
  }

  read(one) { // unpack a block, once; gives the numbers that a block of a sample has
    one.reading ??= unpack(one.block).then((buffer) => {
      const places = "first" in one ? null : new Uint32Array(buffer, 0, one.kernels);
      let at = places ? places.byteLength : 0;
      COLUMNS.forEach(([name, Type]) => {
        const each = name === "taps" ? this.taps : 1, column = new Type(buffer, at, one.kernels * each);
        at += column.byteLength;
        if (!places) this.columns[name].set(column, one.first * each);
        else column.forEach((value, n) => {
          this.columns[name][places[Math.floor(n / each)] * each + (n % each)] = value;
        });
      });
      return places;
    });
    return one.reading;
  }

  rangeOf(model, layer) { // first kernel and the one after the last; of all models, a model, or a layer of it
    const isIt = (one) => (!model || one.model === model) && (layer === "" || one.layer_index === layer);
    const inside = this.layers.filter(isIt);
    return inside.length ? [inside[0].first, inside.at(-1).first + inside.at(-1).kernels] : [0, 0];
  }

  find(model, layer, channel) { // the number of a kernel, or null
    const [first, end] = this.rangeOf(model, layer), place = this.columns.channel.subarray(first, end).indexOf(channel);
    return place < 0 ? null : first + place;
  }

  values(kernel) { // the taps, to a 255th of the kernel's range
    const { taps, low, step } = this.columns;
    return Array.from({ length: this.taps }, (_, tap) => low[kernel] + step[kernel] * taps[kernel * this.taps + tap]);
  }

  tapsOf(kernel) { // in steps of its range
    return this.columns.taps.subarray(kernel * this.taps, (kernel + 1) * this.taps);
  }

  templateOf(number) {
    return this.template_taps.subarray(number * this.taps, (number + 1) * this.taps);
  }

  facts(kernel) { // null is: there is none
    const of = Object.fromEntries(COLUMNS.map(([name]) => [name, this.columns[name][kernel]]));
    const part = (value, steps, most = 1) => (value > steps ? null : (value / steps) * most);
    const { model, layer_index, layer } = this.layers.findLast((one) => one.first <= kernel);
    const known = of.similarity <= COARSE, fitted = of.fit_cosine <= COARSE;
    const nameOf = (place) => this.labels[place].label;
    return {
      model, layer_index, layer, channel: of.channel, size: this.size, label: nameOf(of.label),
      similarity: part(of.similarity, COARSE), margin: part(of.margin, COARSE), second: known ? nameOf(of.second) : null,
      template: known ? of.template : null, // `other` has one, too
      code: part(of.code, FINE), dissimilarity: part(of.dissimilarity, FINE, 2),
      fit: fitted ? nameOf(of.fit) : null, fit_cosine: part(of.fit_cosine, COARSE),
      explained: fitted ? !!of.explained : null,
    };
  }

  select(kernels, { passes, least, order }, cosines) { // kernels that pass, in order; and how many each label has
    const { code, dissimilarity, similarity, label } = this.columns;
    const shown = this.labels.map((one) => passes(one.label)), limit = least * COARSE, keys = [];
    const found = new Array(this.labels.length).fill(0), known = (kernel) => similarity[kernel] <= COARSE;
    const key = {
      code: (kernel) => code[kernel],
      dissimilarity: (kernel) => dissimilarity[kernel],
      similarity: (kernel) => (known(kernel) ? COARSE - similarity[kernel] : FINE),
      layer: () => 0,
      like: (kernel) => Math.round((1 - cosines[kernel]) * 500000), // a key has 21 bits beside the kernel
    }[order];
    for (const kernel of kernels) {
      found[label[kernel]]++;
      if (!shown[label[kernel]] || (limit > 0 && (!known(kernel) || similarity[kernel] < limit))) continue;
      keys.push(key(kernel) * 2 ** 32 + kernel);
    }
    const sorted = Float64Array.from(keys).sort(); // numbers sort fast, and below 2^53 the kernel is in them
    return { kernels: Uint32Array.from(sorted, (one) => one % 2 ** 32), found };
  }

  cosines(direction, kernels) { // to taps with mean 0 and length 1, Float32Array [count]; 0 of constant kernels
    const { taps } = this.columns, all = new Float32Array(this.count).fill(NaN);
    for (const kernel of kernels) {
      let at = kernel * this.taps, product = 0, sum = 0, squares = 0;
      for (let tap = 0; tap < this.taps; tap++, at++) { // the direction has mean 0: the kernel's mean is in no product
        product += direction[tap] * taps[at];
        sum += taps[at];
        squares += taps[at] * taps[at];
      }
      const size = squares - (sum * sum) / this.taps;
      all[kernel] = size > 0 ? product / Math.sqrt(size) : 0;
    }
    return all;
  }

  decoded(code) { // what the decoder draws at the step of the spectrum that holds a code, and the stretch it lies in
    const steps = this.counts.length, step = Math.min(steps - 1, Math.floor(code * steps));
    const taps = this.spectrum.subarray(step * this.taps, (step + 1) * this.taps);
    const stretch = this.clusters.find((one) => code < one.code_high) ?? this.clusters[this.clusters.length - 1];
    return { taps, stretch, kernels: this.counts[step] };
  }
}

function unit(taps) { // centred and of length 1
  const mean = taps.reduce((sum, value) => sum + value, 0) / taps.length;
  const centred = Array.from(taps, (value) => value - mean);
  const size = Math.hypot(...centred) || 1;
  return centred.map((value) => value / size);
}

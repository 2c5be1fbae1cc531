"use strict";
// Kernels on two principal components, drawn as kernels over their density. A cell of the plane shows one of its
// kernels, the larger the more there are; zooming divides the cells until each kernel stands alone.

const CELL = 34; // CSS pixels of a cell at least; fewer than twice as many, as cells are halved

class KernelMap {
  constructor(canvas, palette, { hover, pick, moved }) {
    Object.assign(this, { canvas, palette, moved, drawn: [] });
    let way = 0; // of a pointer that is down: one that stays where it is picks, others drag
    canvas.addEventListener("pointerdown", (event) => {
      way = 0;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) return hover(this.kernelAt(event), event);
      way += Math.hypot(event.movementX, event.movementY);
      this.pan(event.movementX, event.movementY);
    });
    canvas.addEventListener("pointerleave", () => hover(null));
    canvas.addEventListener("click", (event) => {
      const kernel = this.kernelAt(event);
      if (way < 6 && kernel !== null) pick(kernel);
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(2 ** (-event.deltaY / 300), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const pan = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
      if (!pan) return;
      event.preventDefault();
      this.pan(...pan);
    });
    new ResizeObserver(() => this.kernels && this.draw()).observe(canvas);
  }

  show(kernels, shown, axes, at) { // at: the middle of what is seen, and how many times it is enlarged
    const [x, y] = axes.map((axis) => kernels.cosines(unit(kernels.components.axes[axis]), shown));
    Object.assign(this, { kernels, shown, x, y, at });
    this.draw();
  }

  get scale() { // CSS pixels that a component's 1 is
    return (this.at.zoom * Math.min(this.canvas.clientWidth, this.canvas.clientHeight)) / 2.05;
  }

  pan(x, y) {
    this.at = { ...this.at, x: this.at.x - x / this.scale, y: this.at.y + y / this.scale };
    this.soon();
  }

  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) { // what is at x, y stays there
    const zoom = Math.min(4096, Math.max(1, this.at.zoom * factor)), part = 1 - this.at.zoom / zoom;
    const right = (x - this.canvas.clientWidth / 2) / this.scale, up = (this.canvas.clientHeight / 2 - y) / this.scale;
    this.at = { x: this.at.x + right * part, y: this.at.y + up * part, zoom };
    this.soon();
  }

  soon() {
    oncePerFrame(this, () => {
      this.draw();
      this.moved(this.at);
    });
  }

  draw() {
    const { canvas } = this, wide = canvas.clientWidth, high = canvas.clientHeight, ratio = devicePixelRatio;
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(high * ratio);
    if (!wide || !high) return;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    this.seen = { wide, high, scale: this.scale }; // asked of the page once, not once a kernel
    const cells = this.drawDensity(context, wide, high);
    this.drawThumbnails(context, cells);
    if (this.picked === null || this.picked === undefined) return;
    context.beginPath();
    context.arc(...this.onScreen(this.picked), cells.pixels * 0.6, 0, 7);
    context.lineWidth = 3;
    context.strokeStyle = getComputedStyle(canvas).outlineColor;
    context.stroke();
  }

  drawDensity(context, wide, high) { // in blocks of four pixels; gives kernels of each cell and the one in its middle
    const { at, x: xs, y: ys, seen: { scale } } = this;
    const cell = 2 ** Math.ceil(Math.log2(CELL / scale)), pixels = cell * scale;
    const left = Math.floor((at.x - wide / 2 / scale) / cell), low = Math.floor((at.y - high / 2 / scale) / cell);
    const across = Math.ceil(wide / pixels) + 1, rows = Math.ceil(high / pixels) + 1, fine = Math.ceil(wide / 4);
    const count = new Uint32Array(across * rows), best = new Uint32Array(across * rows);
    const far = new Float32Array(across * rows).fill(Infinity), density = new Uint32Array(fine * Math.ceil(high / 4));
    for (const kernel of this.shown) {
      const x = xs[kernel] / cell - left, y = ys[kernel] / cell - low;
      if (x < 0 || y < 0 || x >= across || y >= rows) continue;
      const place = Math.floor(y) * across + Math.floor(x), away = ((x % 1) - 0.5) ** 2 + ((y % 1) - 0.5) ** 2;
      count[place]++;
      if (away < far[place]) {
        far[place] = away;
        best[place] = kernel;
      }
      const right = wide / 2 + (xs[kernel] - at.x) * scale, down = high / 2 - (ys[kernel] - at.y) * scale;
      if (right >= 0 && down >= 0 && right < wide && down < high) density[(down >> 2) * fine + (right >> 2)]++;
    }
    const ink = getComputedStyle(this.canvas).color.match(/\d+/g).map(Number), most = largest(density);
    const image = new ImageData(fine, density.length / fine);
    density.forEach((one, place) => {
      if (!one) return;
      for (let part = 0; part < 3; part++) image.data[4 * place + part] = ink[part];
      image.data[4 * place + 3] = (170 * Math.log1p(one)) / most;
    });
    context.drawImage(canvasOf(image), 0, 0, image.width * 4, image.height * 4);
    return { count, best, pixels };
  }

  drawThumbnails(context, { count, best, pixels }) { // of the fullest cells first, so that emptier ones are in front
    const { kernels } = this, { width, height } = kernels, most = largest(count);
    const order = [...count.keys()].filter((place) => count[place]).sort((a, b) => count[b] - count[a]);
    const image = new ImageData(width, Math.max(1, order.length) * height);
    order.forEach((place, row) => paint(image, 0, row * height, kernels, kernels.tapsOf(best[place]), 0, this.palette));
    const sheet = canvasOf(image);
    context.imageSmoothingEnabled = false;
    this.drawn = order.map((place, row) => {
      const kernel = best[place], side = pixels * (0.45 + (0.5 * Math.log1p(count[place])) / most);
      const [x, y] = this.onScreen(kernel).map((middle) => middle - side / 2);
      context.drawImage(sheet, 0, row * height, width, height, x, y, side, side);
      context.fillStyle = kernels.labels[kernels.columns.label[kernel]].colour;
      context.fillRect(x, y + side, side, 3);
      return { kernel, x, y, side };
    });
  }

  onScreen(kernel) {
    const { at, seen: { wide, high, scale } } = this;
    return [wide / 2 + (this.x[kernel] - at.x) * scale, high / 2 - (this.y[kernel] - at.y) * scale];
  }

  kernelAt({ offsetX, offsetY }) { // the one in front, or null
    const inside = ({ x, y, side }) => offsetX >= x && offsetY >= y && offsetX < x + side && offsetY < y + side + 3;
    return this.drawn.findLast(inside)?.kernel ?? null;
  }

  mark(kernel) {
    this.picked = kernel;
    if (this.kernels) this.draw();
  }
}

const largest = (counts) => Math.log1p(counts.reduce((most, one) => Math.max(most, one), 1)); // as a logarithm

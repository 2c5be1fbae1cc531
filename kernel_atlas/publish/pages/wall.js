"use strict";
// Kernels side by side on a canvas that is as large as what is seen of them, however many there are. Each is drawn small,
// a pixel a tap or a few, centred and scaled to its largest tap, and a line in the colour of its label below (broken where
// the label is Off-..., so that colour does not tell alone); the canvas enlarges that.

function colourBytes(hex) {
  return [...[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)), 255];
}

function paint(image, x, y, shape, taps, from, palette, fine = 1) { // a kernel, fine x fine pixels a tap
  let mean = 0, most = 0;
  for (let tap = 0; tap < shape.taps; tap++) mean += taps[from + tap];
  mean /= shape.taps;
  for (let tap = 0; tap < shape.taps; tap++) most = Math.max(most, Math.abs(taps[from + tap] - mean));
  const middle = (palette.length - 1) / 2, wide = shape.width * fine;
  for (let row = 0; row < shape.height * fine; row++) {
    let at = 4 * ((y + row) * image.width + x);
    for (let column = 0; column < wide; column++) {
      const tap = taps[from + Math.floor(row / fine) * shape.width + Math.floor(column / fine)];
      const colour = palette[Math.round(middle + (most ? (tap - mean) / most : 0) * middle)];
      image.data[at++] = colour[0];
      image.data[at++] = colour[1];
      image.data[at++] = colour[2];
      image.data[at++] = 255;
    }
  }
}

function drawKernel(canvas, kernels, taps, palette) { // one kernel alone; the canvas has a pixel a tap, CSS enlarges it
  canvas.width = kernels.width;
  canvas.height = kernels.height;
  const image = new ImageData(kernels.width, kernels.height);
  paint(image, 0, 0, kernels, taps, 0, palette);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

class Wall {
  constructor(element, palette, { hover, pick }) {
    this.element = element; // a box that scrolls: a tall box with the canvas in it, which stays in sight
    this.tall = element.querySelector(".tall");
    this.canvas = element.querySelector("canvas");
    this.palette = palette;
    this.shown = new Uint32Array();
    element.addEventListener("scroll", () => this.soon());
    new ResizeObserver(() => this.kernels && this.arrange()).observe(element);
    element.addEventListener("pointermove", (event) => hover(this.at(event), event));
    element.addEventListener("pointerleave", () => hover(null));
    element.addEventListener("click", (event) => this.at(event) !== null && pick(this.at(event)));
    element.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.across, ArrowUp: -this.across }[event.key];
      if (!step || !this.shown.length) return;
      event.preventDefault();
      const place = this.shown.indexOf(this.picked);
      const next = place < 0 ? 0 : Math.max(0, Math.min(this.shown.length - 1, place + step));
      pick(this.shown[next]);
      this.reveal(next);
    });
  }

  show(kernels, shown, side) { // side: of a kernel, in CSS pixels, about
    Object.assign(this, { kernels, shown, side });
    this.colours = kernels.labels.map((one) => ({ bytes: colourBytes(one.colour), off: one.off }));
    this.element.scrollTop = 0;
    this.arrange();
  }

  arrange() {
    const { width, height } = this.kernels;
    this.fine = Math.max(1, Math.round(8 / width)); // pixels a tap: lines and gaps are as thin whatever the size
    this.scale = Math.max(1, Math.round(this.side / (width * this.fine))); // CSS pixels a pixel
    this.cell = { width: width * this.fine + 1, height: height * this.fine + 3 }; // a kernel; a gap, its line and a gap
    this.across = Math.max(1, Math.floor(this.element.clientWidth / (this.cell.width * this.scale)));
    this.rows = Math.ceil(this.shown.length / this.across);
    this.tall.style.height = `${this.rows * this.cell.height * this.scale}px`; // the box is as high, up to its limit
    this.canvas.style.height = `${this.element.clientHeight}px`;
    this.draw();
  }

  soon() { // once a frame
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.draw();
    });
  }

  draw() {
    const high = this.cell.height * this.scale;
    const first = Math.floor(this.element.scrollTop / high);
    const rows = Math.min(Math.ceil(this.element.clientHeight / high) + 1, this.rows - first);
    const image = this.render(this.shown.subarray(first * this.across, (first + rows) * this.across), this.across);
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.element.clientWidth * ratio);
    this.canvas.height = Math.round(this.element.clientHeight * ratio);
    const context = this.canvas.getContext("2d");
    if (!image) return;
    context.scale(ratio, ratio);
    context.imageSmoothingEnabled = false;
    const up = this.element.scrollTop - first * high;
    context.drawImage(image, 0, -up, image.width * this.scale, image.height * this.scale);
    const place = this.shown.indexOf(this.picked) - first * this.across;
    if (place >= 0 && place < rows * this.across) {
      context.strokeStyle = getComputedStyle(this.element).color;
      context.lineWidth = 2;
      const wide = this.cell.width * this.scale;
      context.strokeRect(
        (place % this.across) * wide + 1, Math.floor(place / this.across) * high - up + 1,
        wide - 2, (this.cell.height - 1) * this.scale,
      );
    }
  }

  render(kernels, across) { // a canvas, before it is enlarged
    const rows = Math.ceil(kernels.length / across);
    if (!rows) return null;
    const { width, height, columns, taps } = this.kernels, fine = this.fine;
    const image = new ImageData(across * this.cell.width, rows * this.cell.height);
    kernels.forEach((kernel, place) => {
      const x = (place % across) * this.cell.width, y = Math.floor(place / across) * this.cell.height;
      paint(image, x, y, this.kernels, columns.taps, kernel * taps, this.palette, fine);
      const { bytes, off } = this.colours[columns.label[kernel]];
      let at = 4 * ((y + height * fine) * image.width + x);
      for (let column = 0; column < width * fine; column++, at += 4) {
        if (!off || column % 2 === 0) image.data.set(bytes, at);
      }
    });
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  at(event) { // the kernel below the pointer, or null
    const box = this.element.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - this.element.clientLeft) / (this.cell.width * this.scale));
    const down = event.clientY - box.top - this.element.clientTop + this.element.scrollTop;
    const row = Math.floor(down / (this.cell.height * this.scale));
    const place = row * this.across + column;
    return column < this.across && place < this.shown.length ? this.shown[place] : null;
  }

  mark(kernel) {
    this.picked = kernel;
    this.draw();
  }

  reveal(place) { // scroll no more than is needed to see it
    const high = this.cell.height * this.scale, top = Math.floor(place / this.across) * high;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    if (top + high > scrollTop + clientHeight) this.element.scrollTop = top + high - clientHeight;
  }

  async picture(limit) { // PNG of the first kernels, as many as the limit
    const kernels = this.shown.subarray(0, limit);
    const across = Math.ceil(Math.sqrt((kernels.length * this.cell.height) / this.cell.width));
    const image = this.render(kernels, across), scale = Math.max(1, Math.min(4, Math.floor(8000 / image.width)));
    const canvas = new OffscreenCanvas(image.width * scale, image.height * scale);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas.convertToBlob({ type: "image/png" });
  }
}
